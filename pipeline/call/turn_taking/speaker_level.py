"""The caller's level, learnt from their turns, so that a television in their room is not taken for them."""

from collections import deque

import numpy as np

TURNS = 3
"""The quietest of so many last turns counts: who has once spoken softly may do so again."""

WINDOWS = 300
"""Windows of speech that are kept of a turn, the last of them: 10 s."""

FEWEST = 8
"""Windows of speech of which nothing is learnt: a cough, a click."""

LOUD_PERCENT = 90
"""Share of the windows of speech that are quieter than what counts as its level."""

FAR_DB = 11.0
"""Sound this much below the level of the caller's speech is somebody else's, or far away. Of babble 15 dB below the
caller a window in a hundred is louder; every word of the caller has a window that is."""

HOLD = 6
"""Windows for which loud ones count: the soft sounds of a word belong to its vowel."""

LOUD_WINDOWS = 2
"""So many of them it takes: a single one may be the peak of somebody far away."""


class SpeakerLevel:
    """The loudness of one caller's speech. Sans-I/O, 32 ms at a time."""

    def __init__(self) -> None:
        self._turns: deque[float] = deque(maxlen=TURNS)
        self._turn: deque[float] = deque(maxlen=WINDOWS)
        self._recent: deque[float] = deque(maxlen=HOLD)
        self._learnt = False

    def begin(self) -> None:
        """A turn begins."""
        self._turn.clear()
        self._learnt = False

    def hear(self, level_db: float) -> None:
        """Take in the level of a window (dBFS), of the caller's voice or any other sound."""
        self._recent.append(level_db)

    def speech(self, level_db: float) -> None:
        """Take in a window of the caller's turn with speech in it, dBFS."""
        self._turn.append(level_db)

    def committed(self) -> None:
        """The turn is over."""
        if len(self._turn) > FEWEST:
            self._turns.append(float(np.percentile(self._turn, LOUD_PERCENT)))
            self._learnt = True
        self._turn.clear()

    def dropped(self) -> None:
        """It was none: there were no words in it."""
        if self._learnt:
            self._turns.pop()
        self._learnt = False

    @property
    def known(self) -> float | None:
        """Level of the caller's speech in dBFS, None before the first turn."""
        return min(self._turns, default=None)

    def too_far(self, sounding: bool) -> bool:
        """Whether the window heard last is too quiet for the caller.

        Args:
            sounding: they were just speaking: a soft window behind a loud one is theirs.
        """
        known = self.known
        if known is None or not self._recent:
            return False
        limit = known - FAR_DB
        if not sounding:
            return self._recent[-1] < limit
        return sum(level >= limit for level in self._recent) < LOUD_WINDOWS
