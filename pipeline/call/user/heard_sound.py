"""The sound of the user as it was heard: where it ends, which sample came when, and where the speech in it stopped."""

from collections import deque

from pipeline.audio import HEARING_RATE
from pipeline.call.inputs import VoiceHeard
from pipeline.call.turn_taking.config import WINDOW_S

AUDIBLE_DB = 30.0
"""Sound within this much of the loudest of the turn is speech, for measuring where it ended."""

FLOOR_DB = -54.0
"""Sound below this is never speech, for the same purpose."""

UNEVEN = HEARING_RATE // 100
"""Samples by which what is counted in seconds may be off: times are those of arrival, less even than samples."""

REMEMBERED = 1000
"""Windows (32 s) of which it is known when they came."""


class HeardSound:
    """Samples are numbered at 16 kHz since the call began. Sans-I/O.

    Attributes:
        end: sample after the last one heard.
        audible_until: monotonic time at which the last sound came that was loud enough for speech.
    """

    def __init__(self) -> None:
        self.end = 0
        self.audible_until = 0.0
        self._loudest_db = -100.0
        self._windows: deque[tuple[float, int]] = deque(maxlen=REMEMBERED)

    def turn_began(self) -> None:
        """Measure loudness anew."""
        self._loudest_db = -100.0

    def hear(self, voice: VoiceHeard) -> None:
        """Note a window: where the audio ends, and where the speech in it does."""
        self.end = voice.end
        self._windows.append((voice.at, voice.end))
        self._loudest_db = max(self._loudest_db, *voice.levels_db)
        part = WINDOW_S / len(voice.levels_db)
        for index, level in enumerate(voice.levels_db):
            if level > max(self._loudest_db - AUDIBLE_DB, FLOOR_DB):
                self.audible_until = voice.at - WINDOW_S + (index + 1) * part

    def sample_at(self, at: float) -> int:
        """The last sample of which it is sure that it came before an instant, however late what followed it came."""
        return next((end for when, end in reversed(self._windows) if when <= at + WINDOW_S / 4), 0)

    def end_of_words(self, words_end: float, now: float) -> int:
        """Sample up to which there may be words.

        Args:
            words_end: monotonic time up to which there may be.
            now: monotonic time.
        """
        heard_at = self._windows[-1][0] if self._windows else now
        return self.end - int((min(now, heard_at) - words_end) * HEARING_RATE) - UNEVEN
