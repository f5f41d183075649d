"""Delivers the journal to PostgreSQL: in order, in batches, exactly once, however often either side dies.

The position of the delivery is written in the transaction that delivers. After any failure it is read back first, so a
batch whose commit was not confirmed is neither lost nor written twice.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from persistence.backoff import Backoff
from persistence.config import PersistenceConfig
from persistence.errors import JournalFullError
from persistence.journal.anteroom import Anteroom
from persistence.journal.delivery import Delivery
from persistence.journal.figures import OutboxFigures
from persistence.journal.frames import MAX_FRAME_BYTES, Frame, frame_size
from persistence.journal.journal import Journal
from persistence.journal.operations import Operation, decode, encode
from persistence.journal.refused import RefusedRecords
from persistence.journal.thread import JournalThread
from persistence.journal.traces import Traces
from persistence.postgres.pool import Postgres
from persistence.tasks import ended, keep_running
from persistence.trouble import Trouble

log = structlog.get_logger(__name__)

MARKS = 4096
"""Of the times at which records came that wait: over an hour's worth; the lag of what comes later is told too long."""

WARN_AT = (0.5, 0.8, 0.95)
"""Shares of the bound at which the log says so."""


class Outbox:
    """The write-behind queue in front of PostgreSQL.

    Args:
        config: folder, bound and fsync policy of the journal.
        postgres: where it delivers to.
        on_delivered: called after each batch, on the event loop.

    Attributes:
        disk: what keeps records from the journal's files.
        refusal: what keeps them from PostgreSQL, also from one that answers and takes none.
    """

    def __init__(
        self, config: PersistenceConfig, postgres: Postgres, on_delivered: Callable[[], None] = lambda: None
    ) -> None:
        self.figures = OutboxFigures()
        self.disk = Trouble("journal cannot be written", "journal can be written again")
        self.refusal = Trouble("postgresql does not take the journal", "postgresql takes the journal again")
        self._postgres = postgres
        self._bound = config.journal_max_bytes
        self._config = config
        self._on_delivered = on_delivered
        self._refused = RefusedRecords(config.journal_dir)
        self._thread = JournalThread()
        self._waiting: list[Frame] = []
        self._waiting_bytes = 0
        self._marks: deque[tuple[int, float]] = deque()
        self._warned = 0.0
        self._wake_writer = asyncio.Event()
        self._wake_delivery = asyncio.Event()
        self._settled: list[tuple[int, asyncio.Future[None]]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False
        self._journal: Journal
        self._anteroom: Anteroom
        self._delivery: Delivery
        self.recorded = 0
        self.written = 0
        self.delivered = 0

    async def start(self) -> None:
        """Open the journal and begin to write and to deliver."""
        self._journal, self._anteroom = await self._thread.run(self._open)
        self._delivery = Delivery(
            self._postgres,
            self._journal,
            self._refused,
            self._thread,
            self.figures,
            lambda: self.delivered,
            self._passed,
        )
        self.recorded = self.written = self._journal.last
        self.delivered = self._journal.delivered
        if self.recorded > self.delivered:
            self._marks.append((self.recorded, time.monotonic()))
            log.info("journal holds undelivered records", records=self.recorded - self.delivered)
        self._tasks = [
            keep_running(self._write, "journal writer"),
            keep_running(self._deliver, "outbox delivery"),
        ]
        self._wake_delivery.set()

    def _open(self) -> tuple[Journal, Anteroom]:
        journal = Journal(self._config.journal_dir, self._config.journal_fsync)
        anteroom = Anteroom(self._config.journal_dir)
        left = anteroom.left(journal.id, journal.last)
        if left:
            log.info("records that a kill kept from the journal are taken in", records=len(left))
            journal.append(left, time.monotonic())
        return journal, anteroom

    def append(self, operation: Operation) -> int:
        """Record an operation; never waits.

        Returns:
            its number, for `settle`.

        Raises:
            JournalFullError: the bound is reached; the operation is not recorded.
        """
        body, blob = encode(operation)
        size = frame_size(body, blob)
        if self._closing or size > MAX_FRAME_BYTES or self._pending_bytes() + size > self._bound:
            self.figures.lost += 1
            reason = "closed" if self._closing else "full"
            log.error("journal cannot take a record", reason=reason, lost=self.figures.lost, bytes=size)
            raise JournalFullError(f"the journal is {reason}; records are being lost")
        self.recorded += 1
        self.figures.recorded += 1
        frame = Frame(self.recorded, body, blob)
        self._anteroom.put(self._journal.id, frame)
        self._waiting.append(frame)
        self._waiting_bytes += size
        self._mark()
        self._warn()
        self._wake_writer.set()
        return self.recorded

    def measure(self) -> OutboxFigures:
        """The counters, brought up to date."""
        self.figures.pending = self.recorded - self.delivered
        self.figures.pending_bytes = self._pending_bytes() if self.figures.pending else 0
        self.figures.fill = self.figures.pending_bytes / self._bound
        self.figures.lag_s = time.monotonic() - self._marks[0][1] if self._marks else 0.0
        return self.figures

    async def settle(self, timeout_s: float, number: int | None = None) -> bool:
        """Wait until PostgreSQL has everything up to a record (all so far, if not given).

        Returns:
            whether it has, within the time.
        """
        number = self.recorded if number is None else number
        if self.delivered >= number:
            return True
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (number, done)
        self._settled.append(entry)
        try:
            async with asyncio.timeout(timeout_s):
                await done
        except TimeoutError:
            return False
        finally:
            with contextlib.suppress(ValueError):
                self._settled.remove(entry)
        return True

    async def pending(self, limit: int = 100_000) -> list[Operation]:
        """What was recorded by an earlier run and is not delivered yet, oldest first."""

        def read() -> list[Operation]:
            frames = self._journal.read(self._journal.delivered, limit, self._bound)
            return [operation for frame in frames if (operation := decode(frame)) is not None]

        return await self._thread.run(read)

    async def count(self, traces: Traces) -> tuple[int, int]:
        """How many records on disk are a user's: in the journal (delivered or not, damaged files count as one), and
        among those that were refused."""

        def read() -> tuple[int, int]:
            damaged = sum(traces.in_bytes(path.read_bytes()) for path in self._journal.damaged())
            return self._journal.count(traces.of_frame) + damaged, self._refused.count(traces.of_record)

        return await self._thread.run(read)

    async def leave_out(self, traces: Traces) -> None:
        """Take what is a user's out of the files, and all that is delivered; what is not delivered of it is lost.

        A damaged file in which they are named goes as a whole.
        """

        def rewrite() -> None:
            self._journal.leave_out(traces.of_frame)
            self._refused.leave_out(traces.of_record)
            for path in self._journal.damaged():
                if traces.in_bytes(path.read_bytes()):
                    path.unlink()

        await self._flush(1.0)
        await self._thread.run(rewrite)

    async def tidy(self, journals_s: float | None, refused_s: float | None) -> tuple[int, int]:
        """Take out of the files what is delivered, and what is too old.

        Args:
            journals_s: age at which a record goes that PostgreSQL still has not taken; None: never.
            refused_s: age at which a refused one goes; None: never.

        Returns:
            how many records went for their age: of those that waited, and of the refused ones.
        """

        def rewrite() -> tuple[int, int]:
            self._journal.leave_out()
            lost = 0 if journals_s is None else self._journal.expire(time.time() - journals_s)
            if refused_s is None:
                return lost, 0
            return lost, self._refused.expire(datetime.fromtimestamp(time.time() - refused_s, tz=UTC))

        lost, refused = await self._thread.run(rewrite)
        if lost:
            self.figures.lost += lost
            log.error("records that waited too long for postgresql are dropped", records=lost)
        return lost, refused

    async def close(self, timeout_s: float = 2.0, deliver_s: float = 2.0) -> None:
        """Write everything to disk, deliver what can be delivered in time, and stop."""
        self._closing = True
        if self._tasks:
            await self._flush(timeout_s)
            if self._postgres.up.is_set():
                await self.settle(deliver_s)
            await ended(self._tasks)
            await self._thread.run(lambda: self._journal.close(time.monotonic()))
            if self.written == self.recorded:
                self._anteroom.close()
        self._thread.shutdown()

    async def _flush(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self.written < self.recorded and time.monotonic() < deadline:
            self._wake_writer.set()
            await asyncio.sleep(0.005)
        if self.written < self.recorded:
            log.error("journal could not be written to disk", records_lost=self.recorded - self.written)

    def _mark(self) -> None:
        """Remember when the newest record came: one a second is enough to tell the lag."""
        now = time.monotonic()
        if not self._marks or (now - self._marks[-1][1] >= 1.0 and len(self._marks) < MARKS):
            self._marks.append((self.recorded, now))

    def _pending_bytes(self) -> int:
        on_disk = self._journal.pending_bytes if self.written > self.delivered else 0
        return self._waiting_bytes + on_disk

    def _warn(self) -> None:
        fill = self._pending_bytes() / self._bound
        reached = max((mark for mark in WARN_AT if fill >= mark), default=0.0)
        if reached > self._warned:
            log.error("journal fills up, beyond its bound records are lost", fill=round(fill, 3), bound=self._bound)
        self._warned = reached

    async def _write(self) -> None:
        backoff = Backoff(0.05, 2.0)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._wake_writer.wait()
            self._wake_writer.clear()
            frames = list(self._waiting)
            if not frames and not self._journal.unsynced:
                continue
            try:
                await self._thread.run(lambda batch=frames: self._append(batch))  # type: ignore[misc]
                self.disk.passed()
                backoff.succeeded()
            except OSError as error:
                self.disk.met(error, waiting=len(self._waiting))
            self._written()
            if self.disk.problem:
                await asyncio.sleep(backoff.failed())
                self._wake_writer.set()

    def _append(self, frames: list[Frame]) -> None:
        now = time.monotonic()
        if frames:
            self._journal.append(frames, now)
        else:
            self._journal.tick(now)

    def _written(self) -> None:
        self.written = self._journal.last
        kept = [frame for frame in self._waiting if frame.number > self.written]
        if len(kept) < len(self._waiting):
            self._waiting = kept
            self._waiting_bytes = sum(frame_size(frame.json, frame.blob) for frame in kept)
            if not kept:
                self._anteroom.clear()
            self._wake_delivery.set()

    async def _deliver(self) -> None:
        backoff = Backoff(0.05, 3.0)
        while True:
            await self._wake_delivery.wait()
            self._wake_delivery.clear()
            while self.delivered < self.written:
                try:
                    await self._postgres.up.wait()
                    await self._delivery.batch(self.written)
                    backoff.succeeded()
                    self.refusal.passed()
                except Exception as error:  # whatever it is, what is in the journal has to be tried again
                    self.figures.failures += 1
                    if backoff.failures:
                        # Of a server that is gone the pool tells; this one is there.
                        self.refusal.met(error)
                    await asyncio.sleep(backoff.failed())

    def _passed(self, number: int) -> None:
        self.delivered = number
        while self._marks and self._marks[0][0] <= number:
            self._marks.popleft()
        for wanted, done in self._settled:
            if wanted <= number and not done.done():
                done.set_result(None)
        self._on_delivered()
