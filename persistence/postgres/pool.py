"""The pool of connections to PostgreSQL, and whether it answers.

A pooler between us and the server (PgBouncer, in transaction mode) lends a session for one transaction at a time.
Behind one, every borrowed connection is one transaction from its first statement on, and nothing is left in a session:
no prepared statement, no setting, no lock.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import structlog

from persistence.backoff import Backoff
from persistence.errors import MigrationError, StoreUnavailableError
from persistence.postgres.outages import OUTAGES
from persistence.postgres.schema import migrate
from persistence.tasks import ended, keep_running

log = structlog.get_logger(__name__)

APPLICATION = "morgan"

PROBE = """
SELECT to_regclass('morgan_meta.migrations') IS NOT NULL, current_setting('transaction_read_only')::boolean
"""

ATTEMPTS_OF_A_POOL = 2
"""Failures in a row after which the next attempt begins with a pool of its own."""


class ReadOnlyServerError(ConnectionError):
    """The server answers and takes no writes: a standby, a demoted primary, or one that was set so."""


async def _prepare(connection: Any) -> None:
    async with connection.transaction():
        for name in ("json", "jsonb"):
            await connection.set_type_codec(name, encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


async def _leave_as_it_is(_connection: Any) -> None:
    """What asyncpg would reset when a connection is given back was never set, and may be another client's session."""


async def _is_pooled(connection: Any, timeout_s: float) -> bool:
    """Whether a pooler stands in front of the server: another backend answered the connection than runs its work."""
    async with connection.transaction():
        there = await connection.fetchval("SELECT pg_backend_pid()", timeout=timeout_s)
        return bool(there != connection.get_server_pid())


class Postgres:
    """A pool that comes up when the server does.

    Attributes:
        pooled: whether there is a pooler in front of the server.

    Args:
        dsn: where the server is.
        pool_min: connections kept open.
        pool_max: most connections; a task that wants one more waits for `acquire_timeout_s`.
        connect_timeout_s: of one attempt to connect.
        command_timeout_s: of one statement.
    """

    def __init__(
        self,
        dsn: str,
        *,
        pool_min: int = 5,
        pool_max: int = 20,
        connect_timeout_s: float = 3.0,
        command_timeout_s: float = 10.0,
        acquire_timeout_s: float = 2.0,
    ) -> None:
        self.dsn = dsn
        self.latency_ms: float | None = None
        self.problem = "not connected yet"
        self.up = asyncio.Event()
        self.pooled = False
        self._sizes = {"min_size": pool_min, "max_size": pool_max}
        self._connect_timeout_s = connect_timeout_s
        self._command_timeout_s = command_timeout_s
        self._acquire_timeout_s = acquire_timeout_s
        self._pool: Any = None
        self._watch: asyncio.Task[None] | None = None
        self._look = asyncio.Event()
        self._unfit: MigrationError | None = None

    async def start(self, patience_s: float) -> bool:
        """Keep the pool connected from now on; waits for the first connection up to `patience_s` seconds.

        Returns:
            whether it is up.

        Raises:
            MigrationError: the database is there, but its schema is of another Morgan.
        """
        self._watch = keep_running(self._run, "postgres pool")
        first = asyncio.create_task(self.up.wait(), name="postgres first connection")
        await asyncio.wait({first, self._watch}, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        first.cancel()
        if self._unfit is not None:
            raise self._unfit
        return self.up.is_set()

    @property
    def pool_size(self) -> int:
        """Connections open now."""
        return self._pool.get_size() if self._pool is not None else 0

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection of the pool.

        Raises:
            StoreUnavailableError: PostgreSQL does not answer, before or while the body ran.
        """
        # The pool of a mute server is given up before the watch, which hangs in it, says that it is down.
        if not self.up.is_set() or self._pool is None:
            raise StoreUnavailableError(f"PostgreSQL does not answer: {self.problem}")
        try:
            async with (
                self._pool.acquire(timeout=self._acquire_timeout_s) as connection,
                self._transaction(connection),
            ):
                yield connection
        except OUTAGES as error:
            self._suspect(error)
            raise StoreUnavailableError(f"PostgreSQL: {type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Give the connections back; statements that run get a second."""
        if self._watch is not None:
            await ended([self._watch])
        self.up.clear()
        if self._pool is not None:
            try:
                async with asyncio.timeout(1.0):
                    await self._pool.close()
            except OUTAGES:
                self._pool.terminate()
            self._pool = None

    def _transaction(self, connection: Any) -> contextlib.AbstractAsyncContextManager[Any]:
        """What statements run in that belong together: behind a pooler each might reach another session otherwise."""
        return connection.transaction() if self.pooled else contextlib.nullcontext()

    def _suspect(self, error: BaseException) -> None:
        # A statement may have run into a lock or a restart: the watch tells which.
        self.problem = f"{type(error).__name__}: {error}"
        self._look.set()

    async def _run(self) -> None:
        backoff = Backoff(0.1, 3.0)
        while True:
            try:
                await self._probe()
            except MigrationError as error:
                # Nothing but an upgrade helps; calls go on, and the journal keeps what they say.
                self._unfit, self.problem = error, str(error)
                self.up.clear()
                log.error("postgresql has a schema that does not fit", problem=self.problem)
                return
            except Exception as error:  # whatever it is, nobody else brings the server back
                if not isinstance(error, (*OUTAGES, asyncpg.PostgresError)):
                    log.exception("probe of postgresql failed")
                self._went_down(error)
                pause = backoff.failed()
                # The primary of now is found by connecting anew.
                hopeless = (asyncpg.InternalClientError, ReadOnlyServerError)
                if backoff.failures >= ATTEMPTS_OF_A_POOL or isinstance(error, hopeless):
                    self._give_up_pool()
                await asyncio.sleep(pause)
                continue
            backoff.succeeded()
            if not self.up.is_set():
                log.info("postgresql is up", latency_ms=round(self.latency_ms or 0.0, 1))
                self.up.set()
            self._look.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2.0):
                    await self._look.wait()

    def _give_up_pool(self) -> None:
        """A server that died while connections were made or given back has left the pool without them for good."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    async def _probe(self) -> None:
        if self._pool is None:
            self._pool = await self._open()
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(self._connect_timeout_s):
                connection = await stack.enter_async_context(self._pool.acquire())
            started = time.monotonic()
            # Not a timeout, behind which asyncpg would wait for the server to confirm that the statement is cancelled:
            # a server that is mute would keep all who ask it waiting until then.
            mute = asyncio.get_running_loop().call_later(self._connect_timeout_s, self._give_up_pool)
            stack.callback(mute.cancel)
            await stack.enter_async_context(self._transaction(connection))
            known, read_only = await connection.fetchrow(PROBE)
            mute.cancel()
            if read_only:
                raise ReadOnlyServerError("it is read-only")
            self.latency_ms = (time.monotonic() - started) * 1000
            if not known:
                # An empty database is in the place of ours.
                await migrate(connection)

    async def _open(self) -> Any:
        # Of several hosts in the DSN, the one that takes writes.
        connect = {
            "dsn": self.dsn,
            "timeout": self._connect_timeout_s,
            "target_session_attrs": asyncpg.connect_utils.SessionAttribute.read_write,
        }
        try:
            connection = await asyncpg.connect(**connect, statement_cache_size=0)
        except asyncpg.TargetServerAttributeNotMatched as error:
            raise ReadOnlyServerError("it is read-only") from error
        try:
            self.pooled = await _is_pooled(connection, self._connect_timeout_s)
            await migrate(connection)
        finally:
            await connection.close(timeout=1.0)
        pooled = {"statement_cache_size": 0, "reset": _leave_as_it_is} if self.pooled else {}
        return await asyncpg.create_pool(
            **connect,
            **self._sizes,
            **pooled,
            init=_prepare,
            command_timeout=self._command_timeout_s,
            server_settings={"application_name": APPLICATION},
        )

    def _went_down(self, error: BaseException) -> None:
        self.problem = f"{type(error).__name__}: {error}"
        if self.up.is_set() or self.latency_ms is not None:
            log.error("postgresql does not answer", problem=self.problem)
        self.up.clear()
        self.latency_ms = None
