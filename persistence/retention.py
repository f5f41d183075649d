"""What is older than its retention period goes: from PostgreSQL, the caches, the index, the journal, in batches."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import structlog

from persistence.cache.conversation_store import ConversationStore
from persistence.cache.tts_cache import TtsCache
from persistence.config import Retention
from persistence.journal.outbox import Outbox
from persistence.journal.statements import TITLE_CHARS, delete_conversations
from persistence.postgres.documents import Documents
from persistence.postgres.pool import Postgres
from persistence.vectors.embedding_worker import EmbeddingWorker

log = structlog.get_logger(__name__)

BATCH = 200
"""Conversations, or messages, of one transaction."""

REST_S = 0.05
"""Between two batches: calls come first."""


class AgeingParts(Protocol):
    """The parts of memory in which something grows old."""

    postgres: Postgres
    outbox: Outbox
    store: ConversationStore
    tts: TtsCache
    documents: Documents
    worker: EmbeddingWorker
    on_deleted: Callable[[str, UUID | None], Awaitable[None]]

    def forget(self, user_id: str, conversations: set[UUID], sessions: Collection[str]) -> None:
        """Close the logs of these conversations, and drop the copies in the fast tiers."""


@dataclass(slots=True)
class SweptFigures:
    """What went for its age since the start."""

    conversations: int = 0
    messages: int = 0
    transcriptions: int = 0
    generations: int = 0
    sessions: int = 0
    memories: int = 0
    documents: int = 0
    journals: int = 0
    refused: int = 0


class Sweeper:
    """Deletes what is too old. Several servers may do it at the same time: they take different rows.

    Args:
        memory: what is swept.
        retention: what is too old.
        batch: rows of one transaction.
    """

    def __init__(self, memory: AgeingParts, retention: Retention, batch: int = BATCH) -> None:
        self.figures = SweptFigures()
        self._memory = memory
        self._retention = retention
        self._batch = batch

    async def sweep(self) -> None:
        """Go once through all stores.

        Raises:
            StoreUnavailableError: PostgreSQL does not answer; the journal was swept all the same.
        """
        keep, swept = self._retention, self.figures
        journals, refused = await self._memory.outbox.tidy(keep.journals_s, keep.refused_s)
        swept.journals += journals
        swept.refused += refused
        if keep.messages_s is not None:
            await self._messages(_ago(keep.messages_s))
        if keep.memories_s is not None:
            swept.memories += await self._until_nothing(self._old_memories, _ago(keep.memories_s))
        if keep.documents_s is not None:
            swept.documents += await self._until_nothing(self._old_documents, _ago(keep.documents_s))

    async def _messages(self, before: datetime) -> None:
        swept = self.figures
        swept.conversations += await self._until_nothing(self._old_conversations, before)
        swept.messages += await self._until_nothing(self._old_messages, before)
        swept.transcriptions += await self._until_nothing(self._old_transcriptions, before)
        swept.generations += await self._until_nothing(self._old_generations, before)
        swept.sessions += await self._until_nothing(self._old_sessions, before)

    async def _until_nothing(self, step: Callable[[datetime], Awaitable[int]], before: datetime) -> int:
        """Repeat a step until it finds nothing; returns how much it found."""
        total = 0
        while (found := await step(before)) > 0:
            total += found
            await asyncio.sleep(REST_S)
        if total:
            self._memory.worker.wake()
            log.info("swept for age", what=step.__name__.strip("_"), count=total)
        return total

    async def _old_conversations(self, before: datetime) -> int:
        """Conversations in which nothing happened since then, unless a session that began later is still open."""
        async with self._memory.postgres.connection() as connection, connection.transaction():
            rows = await connection.fetch(
                """
                SELECT id, user_id, array(
                    SELECT s.id FROM streaming_sessions s WHERE s.conversation_id = c.id
                ) AS sessions
                FROM conversations c WHERE updated_at < $1 AND NOT EXISTS (
                    SELECT 1 FROM streaming_sessions s
                    WHERE s.conversation_id = c.id AND s.ended_at IS NULL AND s.started_at >= $1
                ) LIMIT $2 FOR UPDATE SKIP LOCKED
                """,
                before,
                self._batch,
            )
            await delete_conversations(connection, [row["id"] for row in rows])
            await connection.executemany(
                "INSERT INTO morgan_meta.vectors_to_delete (user_id, conversation_id) VALUES ($1, $2)",
                [(row["user_id"], row["id"]) for row in rows],
            )
        for row in rows:
            self._memory.forget(row["user_id"], {row["id"]}, row["sessions"])
            self._memory.store.forget(row["user_id"], str(row["id"]))
            await self._memory.on_deleted(row["user_id"], row["id"])
        return len(rows)

    async def _old_messages(self, before: datetime) -> int:
        """Messages of conversations that go on; those behind them move up."""
        async with self._memory.postgres.connection() as connection, connection.transaction():
            rows = await connection.fetch(
                """
                SELECT c.id, c.user_id FROM conversations c
                WHERE EXISTS (SELECT 1 FROM messages m WHERE m.conversation_id = c.id AND m.created_at < $1)
                LIMIT $2 FOR UPDATE SKIP LOCKED
                """,
                before,
                self._batch,
            )
            gone = [number for row in rows for number in [await _cut(connection, row["id"], row["user_id"], before)]]
        for row in rows:
            self._memory.store.expire(row["user_id"], str(row["id"]), before)
        return sum(gone)

    async def _old_transcriptions(self, before: datetime) -> int:
        return await self._delete("audio_transcriptions", "id", "created_at < $1", before)

    async def _old_generations(self, before: datetime) -> int:
        """Replies by when they were said, greetings and what belongs to nobody by when they were last used."""
        where = "CASE WHEN conversation_id IS NULL THEN last_used_at ELSE created_at END < $1"
        return await self._delete("tts_generations", "key", where, before)

    async def _old_sessions(self, before: datetime) -> int:
        return await self._delete("streaming_sessions", "id", "ended_at < $1", before)

    async def _delete(self, table: str, key: str, where: str, before: datetime) -> int:
        async with self._memory.postgres.connection() as connection:
            rows = await connection.fetch(
                f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {where} LIMIT $2) "  # noqa: S608
                f"RETURNING {key}",
                before,
                self._batch,
            )
        if table == "tts_generations":
            self._memory.tts.drop(row[key] for row in rows)
        return len(rows)

    async def _old_documents(self, before: datetime) -> int:
        return await self._memory.documents.delete_older(before, self._batch)

    async def _old_memories(self, before: datetime) -> int:
        """Embeddings; their vectors are owed to the index from then on."""
        async with self._memory.postgres.connection() as connection, connection.transaction():
            done = await connection.execute(
                """
                WITH old AS (
                    SELECT m.id, m.conversation_id, c.user_id FROM messages m
                    JOIN conversations c ON c.id = m.conversation_id
                    WHERE m.created_at < $1 AND (m.embedding IS NOT NULL OR m.indexed_at IS NOT NULL)
                    LIMIT $2 FOR UPDATE OF m SKIP LOCKED
                ), owed AS (
                    INSERT INTO morgan_meta.vectors_to_delete (user_id, conversation_id, message_id)
                    SELECT user_id, conversation_id, id FROM old
                )
                UPDATE messages m SET embedding = NULL, indexed_at = NULL FROM old WHERE m.id = old.id
                """,
                before,
                self._batch,
            )
        return int(done.split()[-1])


async def _cut(connection: Any, conversation_id: UUID, user_id: str, before: datetime) -> int:
    """Take the old messages out of a conversation that is locked; returns how many there were."""
    rows = await connection.fetch(
        "DELETE FROM messages WHERE conversation_id = $1 AND created_at < $2 RETURNING id", conversation_id, before
    )
    gone = [row["id"] for row in rows]
    await connection.execute("DELETE FROM audio_transcriptions WHERE message_id = ANY ($1)", gone)
    await connection.execute(
        """
        INSERT INTO morgan_meta.vectors_to_delete (user_id, conversation_id, message_id)
        SELECT $1, $2, unnest($3::uuid[])
        """,
        user_id,
        conversation_id,
        gone,
    )
    await connection.execute(
        """
        UPDATE messages m SET sequence_number = n.place FROM (
            SELECT id, row_number() OVER (ORDER BY sequence_number) AS place FROM messages WHERE conversation_id = $1
        ) AS n WHERE m.id = n.id AND m.sequence_number <> n.place
        """,
        conversation_id,
    )
    await connection.execute(
        f"""
        UPDATE conversations c SET message_count = (SELECT count(*) FROM messages WHERE conversation_id = c.id),
            title = (
                SELECT left(content, {TITLE_CHARS}) FROM messages
                WHERE conversation_id = c.id AND role = 'user' ORDER BY sequence_number LIMIT 1
            )
        WHERE id = $1
        """,  # noqa: S608
        conversation_id,
    )
    return len(gone)


def _ago(seconds: float) -> datetime:
    return datetime.now(tz=UTC) - timedelta(seconds=seconds)
