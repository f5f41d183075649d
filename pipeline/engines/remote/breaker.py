"""The circuit breaker of a server that fails: whether it is worth another try. Sans-I/O."""

from typing import Literal

BreakerState = Literal["closed", "open", "half-open"]


class CircuitBreaker:
    """Keeps work away from a server that does not do it.

    Closed, everything passes. After some failures in a row, or at once when no server listens there, it opens and
    nothing passes for a pause. Then it is half-open: one try passes, and its outcome closes it or begins the next
    pause, which is twice as long up to a bound.

    Args:
        failures: in a row that open it.
        pause_s: the first pause.
        longest_pause_s: of all.
    """

    def __init__(self, failures: int = 3, pause_s: float = 0.5, longest_pause_s: float = 2.0) -> None:
        self._most = failures
        self._first_pause_s = pause_s
        self._longest_pause_s = longest_pause_s
        self._failed = 0
        self._pause_s = pause_s
        self._open_until: float | None = None

    def state(self, now: float) -> BreakerState:
        """As of a monotonic instant."""
        if self._open_until is None:
            return "closed"
        return "open" if now < self._open_until else "half-open"

    def enter(self, now: float) -> bool:
        """Whether a piece of work may pass now; half-open, the first one only."""
        if self._open_until is None:
            return True
        if now < self._open_until:
            return False
        self._open_until = now + self._pause_s
        return True

    def succeeded(self) -> None:
        """The server did what it was asked."""
        self._failed = 0
        self._pause_s = self._first_pause_s
        self._open_until = None

    def failed(self, now: float, *, gone: bool = False) -> None:
        """The server did not.

        Args:
            now: monotonic time.
            gone: no server listens there, or none answers: no use in finding that out some more times.
        """
        self._failed += 1
        if self._open_until is not None:
            self._pause_s = min(2 * self._pause_s, self._longest_pause_s)
        elif not gone and self._failed < self._most:
            return
        self._open_until = now + self._pause_s
