"""Waiting longer after every failure in a row."""

import random


class Backoff:
    """Exponential back-off with full jitter above a half: delays double up to a bound.

    Args:
        first: seconds after the first failure.
        longest: bound, seconds.
        rng: for the jitter; processes that lost the same server must not come back in step.
    """

    def __init__(self, first: float = 0.1, longest: float = 5.0, rng: random.Random | None = None) -> None:
        self._first = first
        self._longest = longest
        self._rng = rng or random.Random()
        self.failures = 0

    def failed(self) -> float:
        """Seconds to wait after one more failure."""
        delay = min(self._first * 2.0 ** min(self.failures, 30), self._longest)
        self.failures += 1
        return delay * self._rng.uniform(0.5, 1.0)

    def succeeded(self) -> None:
        """Start over."""
        self.failures = 0
