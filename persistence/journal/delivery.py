"""One batch of the journal into PostgreSQL: in order, exactly once, the position written in the same transaction."""

from collections.abc import Callable

import structlog

from persistence.journal import statements
from persistence.journal.figures import OutboxFigures
from persistence.journal.frames import Frame
from persistence.journal.journal import Journal
from persistence.journal.operations import decode
from persistence.journal.refused import RefusedRecords
from persistence.journal.thread import JournalThread
from persistence.postgres.outages import REFUSALS
from persistence.postgres.pool import Postgres

log = structlog.get_logger(__name__)

BATCH_RECORDS = 200
BATCH_BYTES = 4 * 1024 * 1024


class Delivery:
    """Delivers batches of one journal.

    Args:
        postgres: where to.
        journal: where from.
        refused: takes what PostgreSQL will never take.
        thread: that touches the journal.
        figures: `delivered` and `refused` are counted here.
        position: number of the last record that is known to be delivered.
        passed: told of each further one that is.
    """

    def __init__(
        self,
        postgres: Postgres,
        journal: Journal,
        refused: RefusedRecords,
        thread: JournalThread,
        figures: OutboxFigures,
        position: Callable[[], int],
        passed: Callable[[int], None],
    ) -> None:
        self._postgres = postgres
        self._journal = journal
        self._refused = refused
        self._thread = thread
        self._figures = figures
        self._position = position
        self._passed = passed
        self._position_known = False
        self._numbers_checked = False

    async def batch(self, written: int) -> None:
        """Deliver the next batch. Whatever it raises, what is in the journal has to be tried again.

        Args:
            written: number of the last record that is in the journal.
        """
        try:
            await self._batch(written)
        except BaseException:
            # Whether the commit came through is not known.
            self._position_known = False
            raise

    async def _batch(self, written: int) -> None:
        if not self._position_known:
            await self._find_position()
        after = self._position()
        frames = await self._thread.run(lambda: self._journal.read(after, BATCH_RECORDS, BATCH_BYTES))
        if not frames:
            # Numbers lost with a damaged segment: there is nothing to deliver up to what is written.
            self._passed(written)
            return
        try:
            await self._transaction(frames)
        except REFUSALS:
            for frame in frames:
                await self._deliver_alone(frame)
        self._figures.delivered += len(frames)
        last = frames[-1].number
        await self._thread.run(lambda: self._journal.acknowledge(last))
        self._passed(last)

    async def _find_position(self) -> None:
        async with self._postgres.connection() as connection:
            there = await connection.fetchval(
                "SELECT position FROM morgan_meta.deliveries WHERE journal = $1", self._journal.id
            )
        fresh, self._numbers_checked = not self._numbers_checked, True
        if there is not None and fresh and there > self._journal.last_at_open:
            # The end of the journal was lost in a power cut after it had been delivered: its numbers are taken.
            log.warning("journal is shorter than what was delivered of it, going on under a new identity")
            await self._thread.run(self._journal.renumber)
        elif there is not None and there > self._position():
            await self._thread.run(lambda: self._journal.acknowledge(there))
            self._passed(there)
        self._position_known = True

    async def _transaction(self, frames: list[Frame]) -> None:
        async with self._postgres.connection() as connection, connection.transaction():
            for frame in frames:
                operation = decode(frame)
                if operation is None:
                    log.error("record of a newer Morgan left out", number=frame.number)
                    continue
                await statements.apply(connection, operation)
            await connection.execute(
                """
                INSERT INTO morgan_meta.deliveries (journal, position) VALUES ($1, $2)
                ON CONFLICT (journal) DO UPDATE SET position = EXCLUDED.position, updated_at = now()
                """,
                self._journal.id,
                frames[-1].number,
            )

    async def _deliver_alone(self, frame: Frame) -> None:
        try:
            await self._transaction([frame])
        except REFUSALS as error:
            self._figures.refused += 1
            log.error("record refused by postgresql", number=frame.number, problem=type(error).__name__)
            reason = str(error)
            await self._thread.run(lambda: self._refused.add(frame, reason))
