"""The instant of the call that a sample belongs to, on either side, however late it was handled. Sans-I/O.

Audio comes and goes in bursts when the network or the machine is busy; what the user says over what they hear does not.
"""

from bisect import bisect_right
from collections import deque

from pipeline.audio import HEARING_RATE

PERIOD_S = 5.0
"""The quickest arrival of the last one to two of these tells what the others were late by."""

OBSERVATIONS = 512
"""Positions of the playout that are kept: about 6 s."""


class CaptureClock:
    """When audio would have come if none came late."""

    def __init__(self) -> None:
        self._before = self._current = float("inf")
        self._renewed_at = float("-inf")

    def time(self, end: int, at: float) -> float:
        """The instant of a sample.

        Args:
            end: its number at 16 kHz since the call began.
            at: monotonic time at which it came.
        """
        offset = at - end / HEARING_RATE
        if at - self._renewed_at >= PERIOD_S:
            self._before, self._current, self._renewed_at = self._current, offset, at
        self._current = min(self._current, offset)
        return end / HEARING_RATE + min(self._before, self._current)


class PlayoutLine:
    """Where the playout was when."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=OBSERVATIONS)
        self._positions: deque[int] = deque(maxlen=OBSERVATIONS)

    def note(self, now: float, position: int) -> None:
        """Take in a position; call this every 20 to 30 ms, with times that do not fall."""
        self._times.append(now)
        self._positions.append(position)

    def position(self, at: float) -> int:
        """The position at an instant, between two that were noted by their share."""
        after = bisect_right(self._times, at)
        if after == 0:
            return self._positions[0] if self._positions else 0
        if after == len(self._times):
            return self._positions[-1]
        begin, end = self._times[after - 1], self._times[after]
        share = (at - begin) / (end - begin)
        return round(self._positions[after - 1] + share * (self._positions[after] - self._positions[after - 1]))
