"""Inference lanes: bounded worker threads that take the most urgent job first.

An engine owns one lane, so that two models never share a thread and a model never runs on the event loop. Work is
ordered by how much it is waited for (`Urgency`), then by deadline, over the lanes of all engines: a job starts when
`pipeline.scheduling.cores` gives it a core. A job that is not wanted any more is dropped before it starts; one
that streams is stopped between two of its results.
"""

import asyncio
import concurrent.futures
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from pipeline.scheduling.core_budget import Claim, Room
from pipeline.scheduling.cores import CORES, Cores
from pipeline.scheduling.lane_load import LaneLoad
from pipeline.scheduling.pipe import Pipe, post, storable
from pipeline.scheduling.thread_cpu import name_thread
from pipeline.scheduling.ticket import Ticket, Urgency

__all__ = ["Lane", "LaneClosedError", "LaneFullError", "LaneLoad", "Ticket", "Urgency"]

T = TypeVar("T")


class LaneFullError(RuntimeError):
    """The lane's queue is at its bound; the caller should answer "busy"."""


class LaneClosedError(RuntimeError):
    """The lane has been shut down."""


@dataclass(slots=True, eq=False)
class _Job:
    """A piece of work. `work` runs in a worker; what it returns is called once it is counted, and tells the waiter."""

    claim: Claim
    work: Callable[["_Job"], Callable[[], None]]
    abandon: Callable[[BaseException], None]
    started: float = 0.0
    paused_s: float = 0.0


class Lane:
    """Worker threads behind one bounded, urgency-ordered queue.

    Args:
        name: thread name, also used in metrics.
        workers: jobs that run at the same time; more than one only where the model can take it.
        capacity: jobs that may wait; one more raises `LaneFullError`.
        backlog: results of a stream that its consumer may leave unread; one more ends the stream with
            `LaneFullError`, because a worker that waited for a slow consumer would hold up everybody else.
        nice: niceness added to the threads (Linux), so that inference never delays the media thread.
        threads: that one job keeps busy; it starts when as many cores are free.
        pausing: whether a stream may rest between two of its items while other jobs of the lane run, so that it gives
            its core to more urgent work; not for models whose state belongs to one stream at a time.
        cores: where the cores come from.

    Attributes:
        threads: that a job keeps busy, from the next one on.
    """

    def __init__(
        self,
        name: str,
        *,
        workers: int = 1,
        capacity: int = 256,
        backlog: int = 1024,
        nice: int = 1,
        threads: int = 1,
        pausing: bool = False,
        cores: Cores = CORES,
    ) -> None:
        self.name = name
        self.load = LaneLoad(threads=name)
        self._capacity = capacity
        self._backlog = backlog
        self._nice = nice
        self.threads = threads
        self._pausing = pausing
        self._cores = cores
        self._room = Room(workers)
        self._waiting: set[_Job] = set()
        self._ready: deque[_Job] = deque()
        self._running: set[_Job] = set()
        self._closed = False
        self._wake = threading.Condition(cores.lock)
        self._ended: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._alive = self._taken = self._numbered = 0
        with self._wake:
            for _ in range(workers):
                self._add_worker()

    def among(self, cores: Cores, workers: int) -> "Lane":
        """This lane, or one in its place whose jobs find room elsewhere; for one that has no jobs yet.

        Engines load in their lane, and know only then where they compute.

        Args:
            cores: where the cores come from.
            workers: jobs that run at the same time, where the lane is another one.
        """
        if cores is self._cores:
            return self
        self._shut()
        return Lane(
            self.name,
            workers=workers,
            capacity=self._capacity,
            backlog=self._backlog,
            nice=self._nice,
            pausing=self._pausing,
            cores=cores,
        )

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

        def work(_job: _Job) -> Callable[[], None]:
            try:
                result = function()
            except BaseException as error:
                failure = storable(error)
                return lambda: post(loop, settle, lambda: future.set_exception(failure))
            return lambda: post(loop, settle, lambda: future.set_result(result))

        def abandon(error: BaseException) -> None:
            if isinstance(error, asyncio.CancelledError):
                post(loop, settle, future.cancel)
            else:
                post(loop, settle, lambda: future.set_exception(error))

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
        pipe: Pipe[T] = Pipe(asyncio.get_running_loop(), self._backlog)

        def work(job: _Job) -> Callable[[], None]:
            failure: BaseException | None = None
            try:
                self._drain(function(), pipe, job)
            except BaseException as error:
                failure = storable(error)
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

        def work(_job: _Job) -> Callable[[], None]:
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
            waiting = list(self._waiting)
            for job in waiting:
                self._cores.withdraw(job.claim)
            self._waiting.clear()
            self.load.waiting = 0
            for job in self._running:
                # A stream that rests ends now.
                if self._cores.withdraw(job.claim):
                    job.claim.dropped()
            self._wake.notify_all()
            self._end_if_empty()
        for job in waiting:
            job.abandon(LaneClosedError(f"lane {self.name} is closed"))

    def _drain(self, iterator: Iterator[T], pipe: "Pipe[T]", job: _Job) -> None:
        """Send a generator's items until it ends or no more are wanted; runs in a worker."""
        ticket = job.claim.ticket

        def wanted() -> bool:
            return not (pipe.stopped or ticket.cancelled or self._closed)

        try:
            for value in iterator:
                if wanted() and not pipe.put(value):
                    raise LaneFullError(f"lane {self.name}: the consumer left {self._backlog} results unread")
                if self._pausing:
                    job.paused_s += self._cores.pause(job.claim, wanted)
                if not wanted():
                    if not (pipe.stopped or ticket.cancelled):
                        raise LaneClosedError(f"lane {self.name} is closed")
                    return
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    def _submit(
        self, ticket: Ticket, work: Callable[["_Job"], Callable[[], None]], abandon: Callable[[BaseException], None]
    ) -> _Job:
        claim = Claim(ticket, self._room, self.threads)
        job = _Job(claim, work, abandon)
        claim.start, claim.dropped = (lambda: self._begin(job)), (lambda: self._drop(job))
        with self._wake:
            if self._closed:
                raise LaneClosedError(f"lane {self.name} is closed")
            if len(self._waiting) >= self._capacity:
                self.load.rejected += 1
                raise LaneFullError(f"lane {self.name} has {self._capacity} jobs waiting")
            self._waiting.add(job)
            self.load.waiting = len(self._waiting)
            if not ticket.cancelled:
                self._cores.ask(claim)
        if ticket.cancelled:
            self._drop(job)
        return job

    def _begin(self, job: _Job) -> None:
        """A job was given a core; the lock is held."""
        self._waiting.remove(job)
        self.load.waiting = len(self._waiting)
        job.started = time.monotonic()
        self.load.waited_s += job.started - job.claim.since
        self._ready.append(job)
        self._running.add(job)
        self._count_running()
        if self._alive - self._taken < len(self._ready):
            # The others hold streams that rest.
            self._add_worker()
        self._wake.notify()

    def _drop(self, job: _Job) -> None:
        """A job's ticket was cancelled before it started."""
        with self._wake:
            if not self._forget(job):
                return
        job.abandon(asyncio.CancelledError())

    def _withdraw(self, job: _Job) -> None:
        """Drop a job whose result is not awaited any more."""
        with self._wake:
            if not self._forget(job) and self._cores.withdraw(job.claim):
                # It is a stream that rests.
                job.claim.dropped()

    def _forget(self, job: _Job) -> bool:
        """Take a job out of the queue; False if it is not there. The lock is held."""
        if job not in self._waiting:
            return False
        self._waiting.remove(job)
        self._cores.withdraw(job.claim)
        job.claim.forget()
        self.load.waiting = len(self._waiting)
        self.load.dropped += 1
        return True

    def _count_running(self) -> None:
        self.load.running = len(self._running)
        self.load.running_since = min((job.started for job in self._running), default=None)

    # Workers -----------------------------------------------------------------------------------------------

    def _add_worker(self) -> None:
        """The lock is held."""
        thread = threading.Thread(target=self._run, name=f"lane-{self.name}-{self._numbered}", daemon=True)
        self._numbered += 1
        self._alive += 1
        thread.start()

    def _take(self) -> _Job | None:
        """The next job, waiting for one; None once the lane is closed."""
        with self._wake:
            while not self._ready and not self._closed:
                self._wake.wait()
            if not self._ready:
                return None
            self._taken += 1
            return self._ready.popleft()

    def _run(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._nice)
        name_thread(self.name)
        while (job := self._take()) is not None:
            tell = job.work(job)
            with self._wake:
                self._taken -= 1
                self._running.remove(job)
                self._count_running()
                self.load.done += 1
                self.load.busy_s += time.monotonic() - job.started - job.paused_s
                job.claim.forget()
                self._cores.end(job.claim)
            tell()
            # A worker that idles must not keep the last job's audio and results alive.
            del job, tell
        with self._wake:
            self._alive -= 1
            self._end_if_empty()

    def _end_if_empty(self) -> None:
        if self._closed and self._alive == 0 and not self._ended.done():
            self._ended.set_result(None)
