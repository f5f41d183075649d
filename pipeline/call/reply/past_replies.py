"""Replies that are over, of which it is known where their words lie, so that a client may still cut them."""

from pipeline.audio import SPEECH_RATE
from pipeline.call.reply.heard import HeardText
from pipeline.call.reply.reply import Reply

KEPT = 50
"""Replies that are kept, the last ones."""


class PastReplies:
    """Where the words of the last replies of a call lie, by item id. Positions count samples of the speaker, 24 kHz."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[HeardText, int, int]] = {}

    def keep(self, reply: Reply, end: int) -> None:
        """Keep a reply whose sound ended at a position; one that had none is not kept."""
        start = reply.start_position()
        if start is not None:
            self._said[reply.item_id] = (reply.heard_text(), start, end)
            while len(self._said) > KEPT:
                del self._said[next(iter(self._said))]

    def audio_ms(self, item_id: str) -> int:
        """Length of the audio of a reply that went out, 0 where that is not known."""
        _, start, end = self._said.get(item_id, (None, 0, 0))
        return max(0, end - start) * 1000 // SPEECH_RATE

    def truncate(self, item_id: str, audio_end_ms: int) -> str | None:
        """Take in that less was heard than went out; returns the words that were, None for an unknown reply."""
        said = self._said.get(item_id)
        if said is None:
            return None
        text, start, _ = said
        end = start + audio_end_ms * SPEECH_RATE // 1000
        self._said[item_id] = (text, start, end)
        return text.heard(end)
