"""The phase of the sending clock, brought into step with arriving packets so that one wake-up serves both."""

EARLY_S = 0.002
"""A frame due within this is sent along with a packet that has just arrived."""

_AIM_S = EARLY_S / 2
"""Where arrivals should lie before the frame: in the middle of what counts as early."""

_STEP_S = 0.0001
"""The most by which the clock moves in one frame: 0.5 % of it, too little to hear or to upset a jitter buffer."""

_RATE = 0.0002
"""Of the time, that the clock may move in the long run: more than the crystals of two machines differ by. Without this
bound two ends that follow each other would push each other on for ever."""


class PhaseLock:
    """Tells how far to move the grid of a sender after a packet has arrived. Sans-I/O.

    Args:
        frame_s: distance of the grid, s.
        now: monotonic, s.
    """

    def __init__(self, frame_s: float, now: float) -> None:
        self._frame_s = frame_s
        self._budget = frame_s  # any phase can be reached at once
        self._at = now

    def shift(self, now: float, next_at: float) -> float:
        """Seconds to move the grid by (negative: earlier); to be asked once per frame.

        Args:
            now: when a packet arrived.
            next_at: when the next frame is due.
        """
        self._budget = min(self._budget + (now - self._at) * _RATE, self._frame_s)
        self._at = now
        off = (now + _AIM_S - next_at) % self._frame_s
        if off > self._frame_s / 2:
            off -= self._frame_s
        step = max(min(off, _STEP_S, self._budget), -_STEP_S, -self._budget)
        self._budget -= abs(step)
        return step
