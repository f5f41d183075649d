"""The index over embeddings, off the event loop. Everything in it is in PostgreSQL too."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import structlog

from persistence.errors import StoreUnavailableError, WritesRefusedError
from persistence.trouble import Trouble
from persistence.values import PointRole, Recalled
from persistence.vectors.points import Nearest, Point, PointStore

log = structlog.get_logger(__name__)

T = TypeVar("T")

MAX_WAITING = 256
REMOTE_THREADS = 4
RETRY_S = 5.0

SCHEME = "file://"
NOT_OPENED = "not opened yet"


class VectorIndex:
    """Search by meaning in one user's messages; blocking work runs in threads of its own.

    All methods raise `StoreUnavailableError` when Qdrant does not answer or too much waits; those that write, when it
    takes nothing (`WritesRefusedError`; the disk under a local one may be full): what is there is found all the same.

    Args:
        url: of a server, file:///folder for a Qdrant in this process.
        api_key: of the server.
        timeout_s: of one request to a server.

    Attributes:
        outages: how often it did not answer. It may have come back without what was in it.
        refusal: what keeps one that answers from taking writes.
    """

    def __init__(self, url: str, api_key: str | None = None, timeout_s: float = 5.0) -> None:
        self.local = url.startswith(SCHEME)
        self.latency_ms: float | None = None
        self.problem = NOT_OPENED
        self.refusal = Trouble("qdrant takes no writes, what is new is not recalled", "qdrant takes writes again")
        self.outages = 0
        self.up = False
        self._url = url
        self._api_key = api_key
        self._timeout_s = timeout_s
        self._store: PointStore | None = None
        self._waiting = 0
        self._tried_at = float("-inf")
        self._threads = ThreadPoolExecutor(1 if self.local else REMOTE_THREADS, thread_name_prefix="morgan-vectors")

    async def open(self) -> None:
        """Load the local index, or find the server."""
        await self._run(lambda store: store.check())

    async def upsert(self, points: Sequence[Point]) -> None:
        """Put points in, or in place of those with the same message id."""
        await self._run(lambda store: store.upsert(points), writes=True)

    async def search(
        self,
        user_id: str,
        vector: Sequence[float],
        count: int,
        *,
        roles: tuple[PointRole, ...] = (),
        without: Collection[UUID] = (),
    ) -> list[Recalled]:
        """The points of this user that are nearest, best first; see `Nearest` for the arguments."""
        wanted = Nearest(user_id, vector, count, roles, without)
        return await self._run(lambda store: store.search(wanted))

    async def search_all(self, wanted: Sequence[Nearest]) -> list[list[Recalled]]:
        """Several searches, one after the other, in one go."""
        return await self._run(lambda store: [store.search(each) for each in wanted])

    async def delete(
        self, user_id: str, conversation_id: UUID | None = None, message_ids: Sequence[UUID] | None = None
    ) -> None:
        """Take out messages, a conversation, or (with neither) everything of a user."""
        await self._run(lambda store: store.delete(user_id, conversation_id, message_ids), writes=True)

    async def clear(self) -> None:
        """Take out everything."""
        await self._run(lambda store: store.clear(), writes=True)

    async def count(self, user_id: str | None = None) -> int:
        """How many points there are, in all or of a user."""
        return await self._run(lambda store: store.count(user_id))

    async def check(self) -> float:
        """Milliseconds of a round trip; connects again after an outage."""
        started = time.monotonic()
        await self._run(lambda store: store.check())
        self.latency_ms = (time.monotonic() - started) * 1000
        return self.latency_ms

    async def close(self) -> None:
        """Let go of the files or the connections."""

        def close() -> None:
            if self._store is not None:
                self._store.close()

        await asyncio.get_running_loop().run_in_executor(self._threads, close)
        self._threads.shutdown()
        self.up = False

    async def _run(self, function: Callable[[PointStore], T], *, writes: bool = False) -> T:
        if self._waiting >= MAX_WAITING:
            raise StoreUnavailableError("Qdrant: too much waits")
        if not self.up and time.monotonic() - self._tried_at < RETRY_S:
            raise StoreUnavailableError(f"Qdrant does not answer: {self.problem}")
        self._waiting += 1
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._threads, lambda: function(self._opened()))
        except WritesRefusedError as error:
            self.refusal.met(error)
            self.up = self._store is not None
            raise
        except Exception as error:  # the client raises what its transport raises; for us each means "not now"
            problem = str(error) if isinstance(error, StoreUnavailableError) else f"{type(error).__name__}: {error}"
            if self.up or self.problem == NOT_OPENED:
                log.error("qdrant does not answer, nothing is recalled", problem=problem)
            self.problem = problem
            self.outages += 1
            self.up = False
            self._tried_at = time.monotonic()
            self.latency_ms = None
            raise StoreUnavailableError(f"Qdrant: {self.problem}") from error
        finally:
            self._waiting -= 1
        if not self.up and self.problem != NOT_OPENED:
            log.info("qdrant answers again")
        self.up = True
        if writes:
            self.refusal.passed()
        return result

    def _opened(self) -> PointStore:
        if self._store is None:
            self._store = self._open()
        return self._store

    def _open(self) -> PointStore:
        # Imported where they are used: each takes a tenth of a second and more, and one of the two is not needed.
        if self.local:
            from persistence.vectors.qdrant_embedded import EmbeddedQdrant

            return EmbeddedQdrant(Path(self._url.removeprefix(SCHEME)))
        from persistence.vectors.qdrant_server import QdrantServer

        return QdrantServer(self._url, self._api_key, self._timeout_s)
