"""An asyncio event loop that keeps the 20 ms clock in the midst of a pass.

A pass of asyncio's loop runs everything that was ready when it began, and looks at its timers only then. Two hundred
clients that are served by the loop of the calls make passes of 20 ms and more out of steps of a tenth of a
millisecond, and a timer waits for the whole of it. Here a timer that was set by `call_punctually` is looked at before
each step: it waits for the step that runs, not for those behind it.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from typing import Protocol


class Appointment(Protocol):
    """A timer that can be called off."""

    def cancel(self) -> None:
        """Do not call; nothing if it was called."""


class PunctualEventLoop(asyncio.SelectorEventLoop):
    """An event loop for `asyncio.Runner(loop_factory=...)` whose passes give way to `call_punctually`."""

    def __init__(self) -> None:
        super().__init__()
        self._punctual: list[_PunctualCall] = []
        self._ready = _GivingWay(self)


def call_punctually(loop: asyncio.AbstractEventLoop, when: float, callback: Callable[[bool], None]) -> Appointment:
    """Call at a time, in the midst of a pass if need be; with another kind of loop, in the order of all timers.

    Args:
        loop: the running one.
        when: in terms of `loop.time()`.
        callback: told whether a pass was interrupted: sockets that became readable since its begin were not read.
    """
    if not isinstance(loop, PunctualEventLoop):
        return loop.call_at(when, callback, False)
    call = _PunctualCall(loop, when, callback)
    heapq.heappush(loop._punctual, call)
    return call


class _PunctualCall:
    """What is called once: by its timer, which also wakes the loop, or before that in the midst of a pass."""

    __slots__ = ("_callback", "_timer", "over", "when")

    def __init__(self, loop: asyncio.AbstractEventLoop, when: float, callback: Callable[[bool], None]) -> None:
        self.when = when
        self.over = False
        self._callback = callback
        self._timer = loop.call_at(when, self.run, False)

    def __lt__(self, other: "_PunctualCall") -> bool:
        return self.when < other.when

    def run(self, in_pass: bool) -> None:
        """Call, unless it was called or called off."""
        if not self.over:
            self.cancel()
            self._callback(in_pass)

    def cancel(self) -> None:
        """Do not call; nothing if it was called."""
        self.over = True
        self._timer.cancel()


class _GivingWay(deque[asyncio.Handle]):
    """The steps of a pass, each asked for as it is run; what is due by then goes first.

    The step that was put off is left for the next pass, whose number of steps is counted when it begins.
    """

    def __init__(self, loop: PunctualEventLoop) -> None:
        super().__init__()
        self._loop = loop

    def popleft(self) -> asyncio.Handle:
        """The next step."""
        punctual = self._loop._punctual
        while punctual and punctual[0].over:
            heapq.heappop(punctual)
        if punctual and punctual[0].when <= self._loop.time():
            return asyncio.Handle(heapq.heappop(punctual).run, (True,), self._loop)
        return super().popleft()
