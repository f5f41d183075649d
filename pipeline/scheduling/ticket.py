"""The place of a piece of work in every queue that it passes through: who waits for it, by when, whether still."""

import enum
import threading
from collections.abc import Callable


class Urgency(enum.IntEnum):
    """Who waits for the result; lower runs first."""

    FIRST_AUDIO = 0
    """The turn is committed and the caller hears silence."""
    RUNNING_DRY = 1
    """Audio is playing and this is what comes next."""
    FINAL_TRANSCRIPT = 2
    SPECULATION = 3
    """The turn may be over; that is not decided yet."""
    INTERIM = 4
    """From here on: the result is not waited for, it can come later as well. It never takes the last free core."""
    LOOK_AHEAD = 5
    """Audio is playing and there is plenty of it, or what will be asked next is read ahead of time."""
    BACKGROUND = 6
    """Embeddings, warm-up, requests that are not calls."""


Watcher = Callable[["Ticket"], None]

_watching = threading.Lock()


class Ticket:
    """How urgent a piece of work is; mutable, and what waits for a core is told of every change.

    A raised urgency (a speculated turn was committed) takes effect on work that already waits. All of it may be changed
    from any thread.

    Args:
        urgency: see `Urgency`.
        deadline: `time.monotonic()` seconds at which the result stops being on time; orders work of one urgency.
    """

    __slots__ = ("_cancelled", "_given_up", "_resting", "_urgency", "_watchers", "deadline")

    def __init__(self, urgency: Urgency = Urgency.BACKGROUND, deadline: float = float("inf")) -> None:
        self.deadline = deadline
        self._urgency = urgency
        self._cancelled = False
        self._given_up = False
        self._resting = False
        self._watchers: tuple[Watcher, ...] = ()

    def __repr__(self) -> str:
        flags = ", cancelled" * self._cancelled + ", resting" * self._resting
        return f"Ticket({self._urgency.name}, {self.deadline}{flags})"

    @property
    def urgency(self) -> Urgency:
        """Who waits."""
        return self._urgency

    @urgency.setter
    def urgency(self, urgency: Urgency) -> None:
        if urgency != self._urgency:
            self._urgency = urgency
            self._tell()

    @property
    def optional(self) -> bool:
        """Whether the result is not waited for now."""
        return self._urgency >= Urgency.INTERIM

    @property
    def cancelled(self) -> bool:
        """Whether the result is not wanted any more: such work is not begun, and streams of it end."""
        return self._cancelled

    def cancel(self) -> None:
        """Say that the result is not wanted any more."""
        if not self._cancelled:
            self._cancelled = True
            self._tell()

    @property
    def given_up(self) -> bool:
        """Whether it was cancelled because there was no sign of the result for too long: its engine has failed."""
        return self._given_up

    def give_up(self) -> None:
        """Say that the result was waited for long enough, and is not wanted any more."""
        if not self._cancelled:
            self._given_up = True
            self.cancel()

    @property
    def resting(self) -> bool:
        """Whether what there is of the result is enough for now: a stream stops between two items until this is over.

        Engines that cannot do so go on.
        """
        return self._resting

    @resting.setter
    def resting(self, resting: bool) -> None:
        if resting != self._resting:
            self._resting = resting
            self._tell()

    def watch(self, watcher: Watcher) -> None:
        """Have a function called after every change, on the thread that made it; it must return at once."""
        with _watching:
            self._watchers = (*self._watchers, watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """No longer; once for each `watch`."""
        with _watching:
            left = list(self._watchers)
            left.remove(watcher)
            self._watchers = tuple(left)

    def _tell(self) -> None:
        for watcher in self._watchers:
            watcher(self)
