"""Inference lanes: bounded worker threads that take the most urgent job first.

An engine owns one lane, so that two models never share a thread and a model never runs on the event loop. Work is
ordered by what somebody is waiting for (`Urgency`), then by deadline. A job that nobody wants any more is dropped
before it starts; one that streams is stopped between two of its results.
"""

import asyncio
import contextlib
import enum
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Urgency(enum.IntEnum):
    """Who waits for the result; lower runs first."""

    FIRST_AUDIO = 0
    """The turn is committed and the caller hears silence."""
    RUNNING_DRY = 1
    """Audio is playing and this is what comes next."""
    FINAL_TRANSCRIPT = 2
    SPECULATION = 3
    """The turn may be over; nobody has decided yet."""
    INTERIM = 4
    LOOK_AHEAD = 5
    """Audio is playing and there is plenty of it."""
    BACKGROUND = 6
    """Embeddings, warm-up, requests that are not calls."""


@dataclass(slots=True)
class Ticket:
    """The place of a piece of work in every lane that it passes through.

    Mutable on purpose: raising the urgency (a speculated turn was committed) takes effect on work that already waits.

    Attributes:
        urgency: see `Urgency`.
        deadline: `time.monotonic()` seconds at which the result stops being on time; orders work of one urgency.
        cancelled: set by `cancel()`; a lane skips such work and stops such streams.
    """

    urgency: Urgency = Urgency.BACKGROUND
    deadline: float = float("inf")
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class LaneFullError(RuntimeError):
    """The lane's queue is at its bound; the caller should answer "busy"."""


class LaneClosedError(RuntimeError):
    """The lane has been shut down."""


@dataclass(slots=True)
class _Job:
    ticket: Ticket
    order: int
    work: Callable[[], None]
    abandon: Callable[[BaseException], None]


@dataclass(slots=True)
class LaneLoad:
    """A lane's counters since its start, for health and metrics.

    Attributes:
        waiting: jobs in the queue now.
        done: jobs finished.
        dropped: jobs cancelled before they started.
        busy_s: seconds of work.
        running_since: monotonic start of the job now running, None when idle.
    """

    waiting: int = 0
    done: int = 0
    dropped: int = 0
    busy_s: float = 0.0
    running_since: float | None = None


class Lane:
    """One worker thread with a bounded, urgency-ordered queue.

    Args:
        name: thread name, also used in metrics.
        capacity: jobs that may wait; one more raises `LaneFullError`.
        nice: niceness added to the thread (Linux), so that inference never delays the media thread.
    """

    def __init__(self, name: str, *, capacity: int = 256, nice: int = 5) -> None:
        self.name = name
        self.load = LaneLoad()
        self._capacity = capacity
        self._nice = nice
        self._jobs: list[_Job] = []
        self._order = 0
        self._closed = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"lane-{name}", daemon=True)
        self._thread.start()

    async def run(self, function: Callable[[], T], ticket: Ticket) -> T:
        """Run a blocking function in the lane and return what it returns.

        Cancelling the awaiting task cancels the ticket's job if it has not started.

        Raises:
            LaneFullError: the queue is full.
            asyncio.CancelledError: the ticket was cancelled before the job started.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        job_ticket = ticket

        def settle(set_result: Callable[[], None]) -> None:
            if not future.done():
                set_result()

        def work() -> None:
            try:
                result = function()
            except BaseException as error:
                failure = error
                _post(loop, settle, lambda: future.set_exception(failure))
            else:
                _post(loop, settle, lambda: future.set_result(result))

        def abandon(error: BaseException) -> None:
            if isinstance(error, asyncio.CancelledError):
                _post(loop, settle, future.cancel)
            else:
                _post(loop, settle, lambda: future.set_exception(error))

        job = self._submit(job_ticket, work, abandon)
        try:
            return await future
        except asyncio.CancelledError:
            self._withdraw(job)
            raise

    async def stream(self, function: Callable[[], Iterator[T]], ticket: Ticket) -> AsyncIterator[T]:
        """Run a generator function in the lane and yield its items as they come.

        The generator is closed between two items when the ticket is cancelled or the consumer stops reading.
        """
        loop = asyncio.get_running_loop()
        results: asyncio.Queue[_Item[T]] = asyncio.Queue()
        stopped = threading.Event()

        def work() -> None:
            failure: BaseException | None = None
            try:
                iterator = function()
                try:
                    for value in iterator:
                        _post(loop, results.put_nowait, _Item(value=value))
                        if stopped.is_set() or ticket.cancelled:
                            break
                finally:
                    close = getattr(iterator, "close", None)
                    if close is not None:
                        close()
            except BaseException as error:
                failure = error
            _post(loop, results.put_nowait, _Item(last=True, error=failure))

        def abandon(error: BaseException) -> None:
            _post(loop, results.put_nowait, _Item(last=True, error=error))

        job = self._submit(ticket, work, abandon)
        try:
            while True:
                item = await results.get()
                if item.last:
                    if item.error is not None:
                        raise item.error
                    return
                yield item.value
        finally:
            stopped.set()
            self._withdraw(job)

    def close(self, timeout: float = 5.0) -> None:
        """Stop after the job in hand; jobs that wait fail with `LaneClosedError`."""
        with self._wake:
            self._closed = True
            waiting, self._jobs = self._jobs, []
            self._wake.notify_all()
        for job in waiting:
            job.abandon(LaneClosedError(f"lane {self.name} is closed"))
        self._thread.join(timeout)

    def _submit(self, ticket: Ticket, work: Callable[[], None], abandon: Callable[[BaseException], None]) -> _Job:
        with self._wake:
            if self._closed:
                raise LaneClosedError(f"lane {self.name} is closed")
            if len(self._jobs) >= self._capacity:
                raise LaneFullError(f"lane {self.name} has {len(self._jobs)} jobs waiting")
            self._order += 1
            job = _Job(ticket, self._order, work, abandon)
            self._jobs.append(job)
            self.load.waiting = len(self._jobs)
            self._wake.notify()
        return job

    def _withdraw(self, job: _Job) -> None:
        with self._wake, contextlib.suppress(ValueError):
            self._jobs.remove(job)
            self.load.waiting = len(self._jobs)
            self.load.dropped += 1

    def _take(self) -> _Job | None:
        """The most urgent job, waiting for one; None once the lane is closed."""
        while True:
            with self._wake:
                while not self._jobs and not self._closed:
                    self._wake.wait()
                if self._closed:
                    return None
                # The queue is short and urgencies change under it, so a scan beats a heap.
                job = min(self._jobs, key=lambda j: (j.ticket.urgency, j.ticket.deadline, j.order))
                self._jobs.remove(job)
                self.load.waiting = len(self._jobs)
                if not job.ticket.cancelled:
                    self.load.running_since = time.monotonic()
                    return job
                self.load.dropped += 1
            job.abandon(asyncio.CancelledError())

    def _run(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._nice)
        while (job := self._take()) is not None:
            job.work()
            with self._wake:
                started = self.load.running_since
                self.load.running_since = None
                self.load.done += 1
                if started is not None:
                    self.load.busy_s += time.monotonic() - started


@dataclass(slots=True)
class _Item(Generic[T]):
    value: Any = field(default=None)
    last: bool = False
    error: BaseException | None = None


def _post(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object) -> None:
    """Call a function on the loop's thread; a loop that is gone needs no result any more."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *args)
