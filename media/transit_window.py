"""Transit times of the last packets: how fast the fastest are, how far others lag behind, which stay late."""

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass

MIN_TARGET_S, MAX_TARGET_S = 0.02, 0.12
"""Bounds of the time by which a packet may come behind the fastest ones and still be waited for."""

START_TARGET_S = 0.04
"""Least target while too few packets have come to know the jitter."""

LATE_S = 0.12
"""A packet that comes so much later than the fastest was held up by a stall, and tells nothing of the path's jitter."""

_ENOUGH = 20
_STREAK_PACKETS, _STREAK_S = 3, 0.03


@dataclass(slots=True)
class _LateStreak:
    """Packets in a row that all came late."""

    since: float
    transit: float
    count: int


class TransitWindow:
    """The transit times of the last packets, kept sorted.

    A transit time is arrival less media time; the constant in it (two clocks without a common zero) falls out of every
    difference. A window of packets, not of seconds, because a sender that is silent by DTX sends only a few a second.

    Args:
        length: packets to look back on; 100 are 2 s of 20 ms frames.
    """

    def __init__(self, length: int = 100) -> None:
        self._length = length
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []
        self._late: _LateStreak | None = None

    def clear(self) -> None:
        """Forget everything."""
        self._recent.clear()
        self._sorted.clear()
        self._late = None

    def add(self, transit: float) -> None:
        """Take the transit time of a packet that came in time, in seconds; ends a streak of late ones."""
        self._late = None
        if len(self._recent) == self._length:
            del self._sorted[bisect_left(self._sorted, self._recent.popleft())]
        self._recent.append(transit)
        insort(self._sorted, transit)

    @property
    def fastest(self) -> float:
        """The lowest transit time. There must be one."""
        return self._sorted[0]

    @property
    def target(self) -> float:
        """How far behind the fastest packets all but 2 % come, within bounds, in seconds."""
        count = len(self._sorted)
        if not count:
            return START_TARGET_S
        spread = self._sorted[min(count - 1, int(count * 0.98))] - self._sorted[0]
        return min(max(spread, MIN_TARGET_S if count >= _ENOUGH else START_TARGET_S), MAX_TARGET_S)

    def is_late(self, transit: float) -> bool:
        """Whether a packet with this transit time was held up by a stall."""
        return transit - self.fastest > LATE_S

    def stays_late(self, at: float, transit: float) -> bool:
        """Whether the stream has become later for good: the path got longer, or the sender's clock stood still.

        Late packets then keep coming at their own pace. After a mere stall they come faster than real time, so their
        transit times fall.

        Args:
            at: arrival of a packet, s; every packet has to be shown, once.
            transit: of it, s.
        """
        if not self.is_late(transit):
            return False
        if self._late is None:
            self._late = _LateStreak(at, transit, 0)
        self._late.count += 1
        span = at - self._late.since
        return self._late.count >= _STREAK_PACKETS and span >= _STREAK_S and transit > self._late.transit - span / 2
