"""The silence that Whisper's window needs behind speech, learnt from how often its words were doubted."""

from collections import deque
from typing import Final

QUICK_PADDING_S: Final = 2.5
"""Seconds of silence in the one window behind which comes silence that was encoded before (`encoded_silence`)."""

KNOWN_SILENCE_S: Final = 15.0
"""Seconds of it: with 6 s, sentences still come out twice; with all that the full window has, short ones get lost."""

PLAIN_PADDING_S: Final = 8.0
"""The least silence that does by itself."""

PADDINGS_S: Final = (QUICK_PADDING_S, PLAIN_PADDING_S, 10.0, 12.0, 15.0)
"""Seconds of silence that a first window may have. Of 134 real clips whisper-base (int8, with VNNI) says 16 twice or
more with 4 s, 12 with 5 s, 6 with 6 s, 1 with 8 s (`morgan bench hearing FOLDER --windows 4,5,6,8`). Clear voices do
not show it: of a read book none was doubled with 5 s, so none on clear speech makes a window of its own silence
shorter than 8 s.
"""

FULL_PADDING_S: Final = 30.0
"""Fills Whisper's window behind any speech."""

DEFAULT_PADDING_S: Final = QUICK_PADDING_S

_COUNTED: Final = 60
_MOST_DOUBTED: Final = 6


def known_silence_s(padding_s: float | None) -> float:
    """Seconds of silence encoded before that come behind so much silence of the window's own."""
    return KNOWN_SILENCE_S if padding_s == QUICK_PADDING_S else 0.0


class WindowChoice:
    """The silence behind the speech in first windows. Grows when too many of them are doubted, never shrinks by itself.

    Args:
        padding_s: to begin with, seconds.

    Attributes:
        padding_s: what holds now.
    """

    def __init__(self, padding_s: float = DEFAULT_PADDING_S) -> None:
        self.padding_s = padding_s
        self._recent: deque[bool] = deque(maxlen=_COUNTED)

    def heard(self, doubted: bool) -> None:
        """Take in whether the words of a first window were doubted."""
        self._recent.append(doubted)
        if sum(self._recent) < _MOST_DOUBTED:
            return
        self.padding_s = next((padding for padding in PADDINGS_S if padding > self.padding_s), self.padding_s)
        self._recent.clear()
