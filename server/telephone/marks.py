"""Where in what was sent the far end is: marks of ours that come back, and marks of theirs that we send back. Sans-I/O.

A bridge plays what it is sent in order and says when it has come to a mark. Our own marks tell how long what is sent
takes to the ear, and when the last word was heard. A client that stands in for a bridge may ask the same of us: what it
calls a mark comes back when what waits to be sent has gone out, and at once when that is thrown away.
"""

from collections import deque

OURS = "morgan-"
"""How the names of our marks begin; they are answers, and never asked back."""

MOST = 64
"""Marks under way, each way; the oldest are forgotten, or sent back early."""

LONGEST_S = 5.0
"""A mark that takes longer tells nothing of the way to the ear."""


class MarkBook:
    """The marks of one line."""

    def __init__(self) -> None:
        self._number = 0
        self._ours: dict[str, float] = {}
        self._theirs: deque[tuple[str, int]] = deque()
        self._answered: deque[str] = deque(maxlen=MOST)

    def make(self, now: float) -> str:
        """A new mark, sent now; returns its name."""
        self._number += 1
        name = f"{OURS}{self._number}"
        self._ours[name] = now
        while len(self._ours) > MOST:
            del self._ours[next(iter(self._ours))]
        return name

    def came(self, name: str, position: int, now: float) -> float | None:
        """A mark came.

        Args:
            name: of it.
            position: up to where sound has been written; a mark of theirs is due when that has gone out.
            now: monotonic, s.

        Returns:
            Seconds since the mark was sent, where it is one of ours; None otherwise.
        """
        if name.startswith(OURS):
            sent_at = self._ours.pop(name, None)
            return None if sent_at is None or now - sent_at > LONGEST_S else now - sent_at
        # A bridge answers what we send back, too: the same name is not sent for ever.
        if name in self._answered:
            self._answered.remove(name)
        else:
            self._theirs.append((name, position))
        return None

    def waits_for(self, name: str) -> bool:
        """Whether a mark of ours has not come back."""
        return name in self._ours

    def due(self, position: int) -> list[str]:
        """The marks of theirs that everything up to `position` has gone out for."""
        names = []
        while self._theirs and (self._theirs[0][1] <= position or len(self._theirs) > MOST):
            names.append(self._theirs.popleft()[0])
        self._answered.extend(names)
        return names

    def cleared(self) -> list[str]:
        """What waited was thrown away: the marks of theirs that waited for it. Ours come back early now, if at all."""
        self._ours.clear()
        names = [name for name, _ in self._theirs]
        self._theirs.clear()
        self._answered.extend(names)
        return names
