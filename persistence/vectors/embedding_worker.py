"""Embeds new messages and keeps the vector index in step with PostgreSQL, whenever nothing else is to be done.

What is owed stands in PostgreSQL (`embedding` or `indexed_at` is null, rows of `vectors_to_delete`), so a restart
goes on where the last run stopped.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from persistence.backoff import Backoff
from persistence.errors import StoreUnavailableError
from persistence.postgres.pool import Postgres
from persistence.tasks import ended, keep_running
from persistence.trouble import Trouble
from persistence.values import DIMENSIONS, Embedder
from persistence.vectors.index import VectorIndex
from persistence.vectors.passage_vectors import PassageVectors
from persistence.vectors.points import Point

log = structlog.get_logger(__name__)

EMBED_BATCH = 8
"""Few at a time: a batch holds the lane that a caller's recall waits for."""

INDEX_BATCH = 64
REBUILD_BATCH = 256
POLL_S = 15.0
EPOCH = datetime.fromtimestamp(0, tz=UTC)

_POINT = """
    m.id, m.conversation_id, c.user_id, m.role, m.content, m.created_at, m.embedding
    FROM messages m JOIN conversations c ON c.id = m.conversation_id
"""


@dataclass(slots=True)
class EmbeddingFigures:
    """Counters since the start."""

    embedded: int = 0
    indexed: int = 0
    deleted: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """Of a rebuild: messages in the index, and messages in all."""

    done: int
    total: int


class EmbeddingWorker:
    """One background task.

    Args:
        postgres: where the messages are.
        index: where the vectors go.
        embedder: makes them; None leaves messages without.
        keep_s: age from which on messages are not remembered by their meaning; None: all are.
    """

    def __init__(
        self, postgres: Postgres, index: VectorIndex, embedder: Embedder | None, keep_s: float | None = None
    ) -> None:
        self.figures = EmbeddingFigures()
        self._postgres = postgres
        self._index = index
        self._embedder = embedder
        self._keep = None if keep_s is None else timedelta(seconds=keep_s)
        self._passages = PassageVectors(postgres, index, embedder)
        self._trouble = Trouble("embedding put off", "embedding goes on")
        self._wake = asyncio.Event()
        self._wake.set()
        self._idle = asyncio.Event()
        self._working = asyncio.Lock()
        self._rebuilding = False
        self._checked_after: int | None = None
        self._rounds = 0
        self._round_done = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work."""
        self._task = keep_running(self._run, "embedding worker")

    def wake(self) -> None:
        """There may be something to do."""
        self._idle.clear()
        self._wake.set()

    async def caught_up(self, timeout_s: float) -> bool:
        """Wait a moment until what was delivered is in the index; returns whether it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        return self._idle.is_set()

    async def idle(self, timeout_s: float) -> bool:
        """Wait until a round that began after this call is over; returns whether it is."""
        # A round may be running now: the one behind it is the first that sees what is there now.
        wanted = self._rounds + 2
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._rounds < wanted:
                    self._round_done.clear()
                    self.wake()
                    await self._round_done.wait()
        return self._rounds >= wanted

    async def close(self) -> None:
        """Stop; what is in hand is done again later."""
        if self._task is not None:
            await ended([self._task])

    @property
    def rebuilding(self) -> bool:
        """Whether the index is being made anew."""
        return self._rebuilding

    async def rebuild(self, *, embeddings: bool = False) -> AsyncGenerator[Progress, None]:
        """Make the index anew from PostgreSQL, with its progress; searches find what is in it again until then.

        Broken off, the worker goes on with it. Raises what embedder and stores raise.

        Args:
            embeddings: make the embeddings anew, too, because another model is to make them.
        """
        self._rebuilding = True
        try:
            async with self._working:
                await self._index.clear()
                async with self._postgres.connection() as connection:
                    await connection.execute(
                        "UPDATE messages SET indexed_at = NULL, embedding = CASE WHEN $1 THEN NULL ELSE embedding END",
                        embeddings,
                        timeout=600,
                    )
                    total = await connection.fetchval(
                        "SELECT count(*) FROM messages WHERE created_at >= $1", self._since(), timeout=600
                    )
                    total += await self._passages.owe_all(connection, embeddings=embeddings)
                done = 0
                yield Progress(0, total)
                while (
                    (indexed := await self._index_some(REBUILD_BATCH))
                    or (indexed := await self._passages.index_some(REBUILD_BATCH))
                    or await self._embed_some()
                    or await self._passages.embed_some()
                ):
                    if indexed:
                        done += indexed
                        yield Progress(done, max(done, total))
        finally:
            self._rebuilding = False
            self.wake()

    async def _run(self) -> None:
        backoff = Backoff(0.5, 30.0)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._postgres.up.wait()
                async with self._working:
                    await self._round()
                backoff.succeeded()
                self._trouble.passed()
            except Exception as error:  # an embedder or an index of any kind: what is owed stays owed
                self.figures.failures += 1
                if not isinstance(error, StoreUnavailableError):  # of which the stores themselves tell
                    self._trouble.met(error)
                await asyncio.sleep(backoff.failed())
                self._wake.set()
            if not self._wake.is_set():
                self._idle.set()
            self._rounds += 1
            self._round_done.set()

    async def _check_index(self) -> None:
        """An index that was lost, before the start or in an outage, is made anew."""
        if await self._index.count() > 0:
            return
        async with self._postgres.connection() as connection:
            lost = await connection.execute("UPDATE messages SET indexed_at = NULL WHERE indexed_at IS NOT NULL")
            await self._passages.owe_all(connection, embeddings=False)
        if lost != "UPDATE 0":
            log.warning("vector index is empty, making it anew from postgresql", rows=lost)

    async def _round(self) -> None:
        failure: StoreUnavailableError | None = None
        while True:
            # What was said a moment ago comes before a document, which may be long.
            embedded = await self._embed_some() or await self._passages.embed_some()
            try:
                outages = self._index.outages
                if outages != self._checked_after:
                    await self._check_index()
                    self._checked_after = outages
                await self._delete_some()
                indexed = await self._index_some(INDEX_BATCH) + await self._passages.index_some(INDEX_BATCH)
            except StoreUnavailableError as error:
                # Without Qdrant the embeddings go into PostgreSQL all the same.
                failure, indexed = error, 0
            if not embedded and not indexed:
                break
            await asyncio.sleep(0)
        if failure is not None:
            raise failure

    def _since(self) -> datetime:
        """When the oldest message was said that is to be remembered."""
        return EPOCH if self._keep is None else datetime.now(tz=UTC) - self._keep

    async def _embed_some(self) -> int:
        if self._embedder is None:
            return 0
        async with self._postgres.connection() as connection:
            rows = await connection.fetch(
                "SELECT id, content FROM messages WHERE embedding IS NULL AND created_at >= $2 "
                "ORDER BY created_at LIMIT $1",
                EMBED_BATCH,
                self._since(),
            )
        if not rows:
            return 0
        vectors = await self._embedder.embed([row["content"] for row in rows])
        if len(vectors) != len(rows) or any(len(vector) != DIMENSIONS for vector in vectors):
            raise ValueError(f"the embedder did not give {len(rows)} vectors of {DIMENSIONS} dimensions")
        async with self._postgres.connection() as connection:
            # A message that was replaced meanwhile is left for the next round.
            await connection.executemany(
                "UPDATE messages SET embedding = $3 WHERE id = $1 AND content = $2",
                [(row["id"], row["content"], vector) for row, vector in zip(rows, vectors, strict=True)],
            )
        self.figures.embedded += len(rows)
        return len(rows)

    async def _index_some(self, limit: int) -> int:
        async with self._postgres.connection() as connection:
            rows = await connection.fetch(
                f"SELECT {_POINT} WHERE m.indexed_at IS NULL AND m.embedding IS NOT NULL AND m.created_at >= $2 "
                "ORDER BY m.created_at LIMIT $1",
                limit,
                self._since(),
            )
        if not rows:
            return 0
        await self._index.upsert([_point(row) for row in rows])
        async with self._postgres.connection() as connection:
            await connection.execute(
                """
                UPDATE messages m SET indexed_at = now() FROM unnest($1::uuid[], $2::text[]) AS done (id, content)
                WHERE m.id = done.id AND m.content = done.content
                """,
                [row["id"] for row in rows],
                [row["content"] for row in rows],
            )
            left = await connection.fetch("SELECT id FROM messages WHERE id = ANY ($1)", [row["id"] for row in rows])
        await self._take_back(rows, {row["id"] for row in left})
        self.figures.indexed += len(rows)
        return len(rows)

    async def _take_back(self, rows: Sequence[Any], left: set[Any]) -> None:
        """Messages that were deleted while their vectors were on the way must not come back through the index."""
        for row in rows:
            if row["id"] not in left:
                await self._index.delete(row["user_id"], message_ids=[row["id"]])

    async def _delete_some(self) -> None:
        async with self._postgres.connection() as connection:
            rows = await connection.fetch(
                "SELECT id, user_id, conversation_id, message_id FROM morgan_meta.vectors_to_delete ORDER BY id"
            )
        for row in rows:
            message_ids = None if row["message_id"] is None else [row["message_id"]]
            await self._index.delete(row["user_id"], row["conversation_id"], message_ids)
            async with self._postgres.connection() as connection, connection.transaction():
                # What the user has said since then went out of the index with the rest: it goes in again.
                await connection.execute(
                    """
                    UPDATE messages m SET indexed_at = NULL FROM conversations c
                    WHERE c.id = m.conversation_id AND c.user_id = $1 AND m.indexed_at IS NOT NULL
                      AND ($2::uuid IS NULL OR c.id = $2) AND ($3::uuid IS NULL OR m.id = $3)
                    """,
                    row["user_id"],
                    row["conversation_id"],
                    row["message_id"],
                )
                await self._passages.owe_again(connection, row["user_id"], row["conversation_id"])
                await connection.execute("DELETE FROM morgan_meta.vectors_to_delete WHERE id = $1", row["id"])
            self.figures.deleted += 1


def _point(row: Any) -> Point:
    return Point(
        row["id"],
        row["conversation_id"],
        row["user_id"],
        row["role"],
        row["content"],
        row["created_at"].isoformat(),
        row["embedding"],
    )
