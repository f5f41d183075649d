"""What of a reply was sent to a client that plays it by itself. Sans-I/O."""

from dataclasses import dataclass, field

UNEVEN_MS = 25.0
"""A last frame is filled up with silence; a reply is taken up again at a word, which lies further back."""

KEPT = 50
"""Replies that are over of which it is known."""


@dataclass(slots=True)
class _Sent:
    """Audio of one reply: `ms` of it, and where in the reply the stretches of it begin (sent ms, ms of the reply)."""

    ms: float = 0.0
    stretches: list[tuple[float, float]] = field(default_factory=list)


class SentAudio:
    """Knows how a moment in what a client has got lies in the reply.

    The two differ behind an overlap: after it, the reply goes on from the beginning of the word that it broke off, so
    that the client gets some of it twice.
    """

    def __init__(self) -> None:
        self._replies: dict[str, _Sent] = {}

    def add(self, item_id: str, at_ms: float, ms: float) -> None:
        """Audio was sent.

        Args:
            item_id: of the reply.
            at_ms: where in the reply it begins.
            ms: how long it is.
        """
        sent = self._replies.get(item_id)
        if sent is None:
            sent = self._replies[item_id] = _Sent()
            while len(self._replies) > KEPT:
                del self._replies[next(iter(self._replies))]
        last = sent.stretches[-1] if sent.stretches else None
        if last is None or abs(last[1] + sent.ms - last[0] - at_ms) > UNEVEN_MS:
            sent.stretches.append((sent.ms, at_ms))
        sent.ms += ms

    def length_ms(self, item_id: str) -> int | None:
        """How much of a reply was sent; None where that is not known."""
        sent = self._replies.get(item_id)
        return None if sent is None else int(sent.ms)

    def at(self, item_id: str, sent_ms: int) -> int:
        """Where in a reply the client was when it had played so much, ms."""
        sent = self._replies.get(item_id)
        if sent is None:
            return sent_ms
        begun = [stretch for stretch in sent.stretches if stretch[0] <= sent_ms]
        start, at = begun[-1] if begun else (0.0, 0.0)
        return int(at + sent_ms - start)
