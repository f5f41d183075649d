"""Inference lanes: bounded worker threads that take the most urgent job first.

An engine owns one lane, so that two models never share a thread and a model never runs on the event loop. Work is
ordered by what somebody is waiting for (`Urgency`), then by deadline. A job that nobody wants any more is dropped
before it starts; one that streams is stopped between two of its results.
"""

import asyncio
import concurrent.futures
import contextlib
import enum
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
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
    """Audio is playing and there is plenty of it, or what will be asked next is read ahead of time."""
    BACKGROUND = 6
    """Embeddings, warm-up, requests that are not calls."""


@dataclass(slots=True, eq=False)
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


class Precedence:
    """What is under way or waits in all lanes of a process, so that work nobody waits for keeps out of its way.

    Lanes are threads of their own and the cores are few: without this, a reply's far ends would be generated and spoken
    at the same speed as somebody else's first word.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tickets: list[Ticket] = []

    def enter(self, ticket: Ticket) -> None:
        """Work for a ticket waits or runs from now on."""
        with self._lock:
            self._tickets.append(ticket)

    def leave(self, ticket: Ticket) -> None:
        """One piece of a ticket's work is done or dropped."""
        with self._lock, contextlib.suppress(ValueError):
            self._tickets.remove(ticket)

    def must_wait(self, ticket: Ticket) -> bool:
        """Whether work for a ticket should let other work of the process go first.

        Look-ahead never starves of it: when its audio is about to run dry its urgency rises.
        """
        if ticket.urgency < Urgency.INTERIM:
            return False
        with self._lock:
            return any(other.urgency < Urgency.INTERIM and not other.cancelled for other in self._tickets)


PRECEDENCE = Precedence()
"""The one of this process."""

YIELD_S = 0.01
"""Pause between two looks at whether more urgent work is done."""


class LaneFullError(RuntimeError):
    """The lane's queue is at its bound; the caller should answer "busy"."""


class LaneClosedError(RuntimeError):
    """The lane has been shut down."""


@dataclass(slots=True, eq=False)
class _Job:
    """A piece of work. `work` runs in a worker; what it returns is called once it is counted, and tells the waiter."""

    ticket: Ticket
    order: int
    work: Callable[[], Callable[[], None]]
    abandon: Callable[[BaseException], None]
    since: float


@dataclass(slots=True)
class LaneLoad:
    """A lane's counters since its start, for health and metrics.

    Attributes:
        waiting: jobs in the queue now.
        running: jobs that a worker has in hand now.
        done: jobs finished.
        dropped: jobs cancelled before they started.
        rejected: jobs that found the queue full.
        busy_s: seconds of work, summed over the workers.
        waited_s: seconds that the jobs that were started had spent in the queue, summed.
        running_since: monotonic start of the oldest job now running, None when idle.
    """

    waiting: int = 0
    running: int = 0
    done: int = 0
    dropped: int = 0
    rejected: int = 0
    busy_s: float = 0.0
    waited_s: float = 0.0
    running_since: float | None = None


class Lane:
    """Worker threads behind one bounded, urgency-ordered queue.

    Args:
        name: thread name, also used in metrics.
        workers: jobs that run at the same time; more than one only where the model can take it.
        capacity: jobs that may wait; one more raises `LaneFullError`.
        backlog: results of a stream that its consumer may leave unread; one more ends the stream with
            `LaneFullError`, because a worker that waited for a slow consumer would hold up everybody else.
        nice: niceness added to the threads (Linux), so that inference never delays the media thread.
    """

    def __init__(self, name: str, *, workers: int = 1, capacity: int = 256, backlog: int = 1024, nice: int = 1) -> None:
        self.name = name
        self.load = LaneLoad()
        self._capacity = capacity
        self._backlog = backlog
        self._nice = nice
        self._jobs: list[_Job] = []
        self._started: list[float] = []
        self._order = 0
        self._closed = False
        self._wake = threading.Condition()
        self._ended: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._alive = workers
        self._threads = [
            threading.Thread(target=self._run, name=f"lane-{name}-{number}", daemon=True) for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, function: Callable[[], T], ticket: Ticket) -> T:
        """Run a blocking function in the lane and return what it returns.

        Cancelling the awaiting task takes the job out of the queue if it has not started.

        Raises:
            LaneFullError: the queue is full.
            LaneClosedError: the lane was closed before the job started.
            asyncio.CancelledError: the ticket was cancelled before the job started.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(set_result: Callable[[], object]) -> None:
            if not future.done():
                set_result()

        def work() -> Callable[[], None]:
            try:
                result = function()
            except BaseException as error:
                failure = _storable(error)
                return lambda: _post(loop, settle, lambda: future.set_exception(failure))
            return lambda: _post(loop, settle, lambda: future.set_result(result))

        def abandon(error: BaseException) -> None:
            if isinstance(error, asyncio.CancelledError):
                _post(loop, settle, future.cancel)
            else:
                _post(loop, settle, lambda: future.set_exception(error))

        job = self._submit(ticket, work, abandon)
        try:
            return await future
        except asyncio.CancelledError:
            self._withdraw(job)
            raise

    async def stream(self, function: Callable[[], Iterator[T]], ticket: Ticket) -> AsyncGenerator[T, None]:
        """Run a generator function in the lane and yield its items as they come.

        The generator is closed between two items when the ticket is cancelled, the consumer stops reading or the lane
        closes. A stream whose ticket is cancelled, before it starts or later, just ends early.

        Raises:
            LaneFullError: the queue is full, or the consumer left `backlog` results unread.
            LaneClosedError: the lane was closed before the generator was through.
        """
        pipe: _Pipe[T] = _Pipe(asyncio.get_running_loop(), self._backlog)

        def work() -> Callable[[], None]:
            failure: BaseException | None = None
            try:
                self._drain(function(), pipe, ticket)
            except BaseException as error:
                failure = _storable(error)
            return lambda: pipe.end(failure)

        def abandon(error: BaseException) -> None:
            pipe.end(None if isinstance(error, asyncio.CancelledError) else error)

        job = self._submit(ticket, work, abandon)
        try:
            while True:
                item = await pipe.results.get()
                if item.last:
                    if item.error is not None:
                        raise item.error
                    return
                pipe.read += 1
                if ticket.cancelled:
                    return
                yield item.value
        finally:
            pipe.stopped = True
            self._withdraw(job)

    def call(self, function: Callable[[], T]) -> T:
        """Run a function in the lane and block the calling thread until it is done.

        For constructors only: threads that a model library starts inherit the niceness of the worker that loads it.
        """
        outcome: concurrent.futures.Future[T] = concurrent.futures.Future()

        def work() -> Callable[[], None]:
            try:
                result = function()
            except BaseException as error:
                failure = error
                return lambda: outcome.set_exception(failure)
            return lambda: outcome.set_result(result)

        self._submit(Ticket(Urgency.FIRST_AUDIO), work, outcome.set_exception)
        return outcome.result()

    def close(self, timeout: float = 5.0) -> None:
        """Stop after the jobs in hand; jobs that wait fail with `LaneClosedError`. Blocks: not for the event loop."""
        self._shut()
        with contextlib.suppress(concurrent.futures.TimeoutError):
            self._ended.result(timeout)

    async def aclose(self, timeout: float = 5.0) -> None:
        """Like `close`, without blocking the event loop."""
        self._shut()
        with contextlib.suppress(TimeoutError):
            # The shield keeps a timeout from marking the shared future as cancelled.
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._ended)), timeout)

    def _shut(self) -> None:
        with self._wake:
            self._closed = True
            waiting, self._jobs = self._jobs, []
            self.load.waiting = 0
            self._wake.notify_all()
        for job in waiting:
            PRECEDENCE.leave(job.ticket)
            job.abandon(LaneClosedError(f"lane {self.name} is closed"))

    def _drain(self, iterator: Iterator[T], pipe: "_Pipe[T]", ticket: Ticket) -> None:
        """Send a generator's items until it ends or nobody wants more; runs in a worker."""
        try:
            for value in iterator:
                if pipe.stopped or ticket.cancelled:
                    return
                if self._closed:
                    raise LaneClosedError(f"lane {self.name} is closed")
                if not pipe.put(value):
                    raise LaneFullError(f"lane {self.name}: the consumer left {self._backlog} results unread")
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    def _submit(
        self, ticket: Ticket, work: Callable[[], Callable[[], None]], abandon: Callable[[BaseException], None]
    ) -> _Job:
        with self._wake:
            if self._closed:
                raise LaneClosedError(f"lane {self.name} is closed")
            swept = self._sweep() if len(self._jobs) >= self._capacity else []
            full = len(self._jobs) >= self._capacity
            self._order += 1
            job = _Job(ticket, self._order, work, abandon, time.monotonic())
            if full:
                self.load.rejected += 1
            else:
                self._jobs.append(job)
                PRECEDENCE.enter(ticket)
            self.load.waiting = len(self._jobs)
            self._wake.notify()
        for dead in swept:
            dead.abandon(asyncio.CancelledError())
        if full:
            raise LaneFullError(f"lane {self.name} has {self._capacity} jobs waiting")
        return job

    def _withdraw(self, job: _Job) -> None:
        with self._wake, contextlib.suppress(ValueError):
            self._jobs.remove(job)
            PRECEDENCE.leave(job.ticket)
            self.load.waiting = len(self._jobs)
            self.load.dropped += 1

    def _sweep(self) -> list[_Job]:
        """Take cancelled jobs out of the queue; the lock is held."""
        dead = [job for job in self._jobs if job.ticket.cancelled]
        if dead:
            self._jobs = [job for job in self._jobs if not job.ticket.cancelled]
            for job in dead:
                PRECEDENCE.leave(job.ticket)
            self.load.dropped += len(dead)
            self.load.waiting = len(self._jobs)
        return dead

    def _take(self) -> tuple[_Job, float] | None:
        """The most urgent job and its start, waiting for one; None once the lane is closed."""
        while True:
            with self._wake:
                while not self._jobs and not self._closed:
                    self._wake.wait()
                if self._closed:
                    return None
                swept = self._sweep()
                chosen = None
                if self._jobs and not swept:
                    # The queue is short and urgencies change under it, so a scan beats a heap.
                    job = min(self._jobs, key=lambda j: (j.ticket.urgency, j.ticket.deadline, j.order))
                    if PRECEDENCE.must_wait(job.ticket) or self._keeps_free(job.ticket):
                        self._wake.wait(YIELD_S)
                        continue
                    self._jobs.remove(job)
                    self.load.waiting = len(self._jobs)
                    started = time.monotonic()
                    self.load.waited_s += started - job.since
                    self._started.append(started)
                    self._count_running()
                    chosen = (job, started)
            for dead in swept:
                dead.abandon(asyncio.CancelledError())
            if chosen is not None:
                return chosen

    def _keeps_free(self, ticket: Ticket) -> bool:
        """Whether this work would take the last worker, which is for somebody who waits."""
        return ticket.urgency >= Urgency.INTERIM and 1 < len(self._threads) <= len(self._started) + 1

    def _count_running(self) -> None:
        self.load.running = len(self._started)
        self.load.running_since = min(self._started, default=None)

    def _run(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._nice)
        while (taken := self._take()) is not None:
            job, started = taken
            tell = job.work()
            with self._wake:
                self._started.remove(started)
                self._count_running()
                self.load.done += 1
                self.load.busy_s += time.monotonic() - started
            PRECEDENCE.leave(job.ticket)
            tell()
            # A worker that idles must not keep the last job's audio and results alive.
            del job, taken, tell
        with self._wake:
            self._alive -= 1
            last = self._alive == 0
        if last:
            self._ended.set_result(None)


@dataclass(slots=True)
class _Item(Generic[T]):
    value: Any = field(default=None)
    last: bool = False
    error: BaseException | None = None


class _Pipe(Generic[T]):
    """The way of a stream's results from the worker to the loop; `sent` belongs to the one, `read` to the other."""

    def __init__(self, loop: asyncio.AbstractEventLoop, backlog: int) -> None:
        self.results: asyncio.Queue[_Item[T]] = asyncio.Queue()
        self.stopped = False
        self.read = 0
        self._sent = 0
        self._loop = loop
        self._backlog = backlog

    def put(self, value: T) -> bool:
        """Send a result; False when too many are unread."""
        if self._sent - self.read >= self._backlog:
            return False
        self._sent += 1
        _post(self._loop, self.results.put_nowait, _Item(value=value))
        return True

    def end(self, error: BaseException | None) -> None:
        _post(self._loop, self.results.put_nowait, _Item(last=True, error=error))


def _storable(error: BaseException) -> BaseException:
    """The error in a form that a future takes: a StopIteration would be refused, and its waiter would wait for ever."""
    if isinstance(error, StopIteration):
        wrapped = RuntimeError("the job raised StopIteration")
        wrapped.__cause__ = error
        return wrapped
    return error


def _post(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object) -> None:
    """Call a function on the loop's thread; a loop that is gone needs no result any more."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *args)
