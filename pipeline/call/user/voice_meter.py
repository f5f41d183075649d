"""The amount of voice in a stretch of the user's audio: told from coughs, clicks and noise."""

from collections import deque

from pipeline.audio import HEARING_RATE
from pipeline.call.inputs import VoiceHeard
from pipeline.call.turn_taking.config import WINDOW_S

SURE = 0.9
"""Probability from which a window counts. On the clips of a dev set, 13 noises (a cough, a baby, dogs, music, babble
of a crowd) have no such window; words have nearly nothing else."""

AUDIBLE_DB = -55.0
"""Loudness (dBFS) below which it does not: nobody speaks so softly into a microphone of theirs."""

KEPT_S = 120
"""Voice is known of so much audio, as in `AudioBuffer`."""

SPOKEN_S = 0.19
"""Voice from which somebody spoke: six windows. Single digits and letters hold 0.13 to 0.42 s."""


class VoiceMeter:
    """Remembers where there was voice."""

    def __init__(self) -> None:
        self._ends: deque[int] = deque()

    def hear(self, voice: VoiceHeard, probability: float) -> None:
        """Take in a window.

        Args:
            voice: the window.
            probability: of voice in it; 0 where it is only echo.
        """
        if probability < SURE or max(voice.levels_db) < AUDIBLE_DB:
            return
        self._ends.append(voice.end)
        while self._ends[0] < voice.end - KEPT_S * HEARING_RATE:
            self._ends.popleft()

    def seconds(self, start: int, end: int) -> float:
        """Voice between two samples (16 kHz)."""
        return sum(start < each <= end for each in self._ends) * WINDOW_S
