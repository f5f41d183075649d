"""Documents that users have given Morgan to read, in PostgreSQL: written at once, not through the journal, because
whoever adds one waits to learn that it is there."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from persistence.postgres.pool import Postgres
from persistence.values import Document, Passage

_DOCUMENT = "id, user_id, source, title, sha256, passage_count, created_at"
_OWED = "(SELECT count(*) FROM morgan_memory.passages p WHERE p.document_id = d.id AND p.indexed_at IS NULL) AS owed"


class Documents:
    """Reads and writes documents; everything on behalf of one user.

    All methods raise `StoreUnavailableError` when PostgreSQL does not answer.

    Args:
        postgres: the pool.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def put(self, user_id: str, source: str, title: str, sha256: str, passages: Sequence[Passage]) -> Document:
        """Put a document in, or in the place of the user's one from the same source; one that is the same stays."""
        identity = uuid.uuid4()
        async with self._postgres.connection() as connection, connection.transaction():
            # Two of the same source at the same time come one after the other.
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"{user_id}\n{source}")
            # One that is given again is wanted for as long as a new one.
            same = await connection.fetchrow(
                "UPDATE morgan_memory.documents d SET created_at = now() "  # noqa: S608
                f"WHERE user_id = $1 AND source = $2 AND sha256 = $3 RETURNING {_DOCUMENT}, {_OWED}",
                user_id,
                source,
                sha256,
            )
            if same is not None:
                return Document(**same)
            await _delete(connection, "user_id = $1 AND source = $2", user_id, source)
            row = await connection.fetchrow(
                f"INSERT INTO morgan_memory.documents (id, user_id, source, title, sha256, passage_count) "  # noqa: S608
                f"VALUES ($1, $2, $3, $4, $5, $6) RETURNING {_DOCUMENT}",
                identity,
                user_id,
                source,
                title,
                sha256,
                len(passages),
            )
            await connection.copy_records_to_table(
                "passages",
                schema_name="morgan_memory",
                columns=("id", "document_id", "number", "place", "content"),
                records=[
                    (uuid.uuid4(), identity, number, each.place, each.content)
                    for number, each in enumerate(passages, 1)
                ],
            )
        return Document(**row, owed=len(passages))

    async def list(self, user_id: str) -> tuple[Document, ...]:
        """A user's documents by their source."""
        async with self._postgres.connection() as connection:
            rows = await connection.fetch(
                f"SELECT {_DOCUMENT}, {_OWED} FROM morgan_memory.documents d WHERE user_id = $1 ORDER BY source",  # noqa: S608
                user_id,
            )
        return tuple(Document(**row) for row in rows)

    async def get(self, document_id: UUID, user_id: str | None) -> tuple[Document, tuple[Passage, ...]] | None:
        """A document and what is in it; None where there is none, or not of that user."""
        async with self._postgres.connection() as connection:
            row = await connection.fetchrow(
                f"SELECT {_DOCUMENT}, {_OWED} FROM morgan_memory.documents d "  # noqa: S608
                "WHERE id = $1 AND ($2::text IS NULL OR user_id = $2)",
                document_id,
                user_id,
            )
            if row is None:
                return None
            rows = await connection.fetch(
                "SELECT content, place FROM morgan_memory.passages WHERE document_id = $1 ORDER BY number", document_id
            )
        return Document(**row), tuple(Passage(**each) for each in rows)

    async def delete(self, document_id: UUID, user_id: str | None) -> bool:
        """Delete a document; whether the user had it."""
        async with self._postgres.connection() as connection, connection.transaction():
            where = "id = $1 AND ($2::text IS NULL OR user_id = $2)"
            return await _delete(connection, where, document_id, user_id) > 0

    async def delete_older(self, before: datetime, most: int) -> int:
        """Delete some of the documents that were last added before a time; how many there were."""
        async with self._postgres.connection() as connection, connection.transaction():
            chosen = "SELECT id FROM morgan_memory.documents WHERE created_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED"
            return await _delete(connection, f"id IN ({chosen})", before, most)


async def _delete(connection: Any, where: str, *given: object) -> int:
    """Delete documents, and have their vectors deleted: a vector is found under its document as under a conversation.

    Returns:
        how many there were.
    """
    rows = await connection.fetch(
        f"DELETE FROM morgan_memory.documents WHERE {where} RETURNING id, user_id",  # noqa: S608
        *given,
    )
    await connection.executemany(
        "INSERT INTO morgan_meta.vectors_to_delete (user_id, conversation_id) VALUES ($1, $2)",
        [(row["user_id"], row["id"]) for row in rows],
    )
    return len(rows)
