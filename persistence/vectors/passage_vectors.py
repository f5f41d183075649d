"""Vectors of the passages of documents: what is owed to the index, for `EmbeddingWorker`."""

from typing import Any

from persistence.postgres.pool import Postgres
from persistence.values import DIMENSIONS, Embedder
from persistence.vectors.index import VectorIndex
from persistence.vectors.points import Point

EMBED_BATCH = 8
"""Few at a time: a batch holds the lane that a caller's recall waits for."""


class PassageVectors:
    """Embeds passages and puts them into the index.

    Args:
        postgres: where the passages are.
        index: where the vectors go.
        embedder: makes them; None leaves passages without.
    """

    def __init__(self, postgres: Postgres, index: VectorIndex, embedder: Embedder | None) -> None:
        self._postgres = postgres
        self._index = index
        self._embedder = embedder

    async def owe_all(self, connection: Any, *, embeddings: bool) -> int:
        """The index is lost: everything is to be put in again; returns how many there are."""
        await connection.execute(
            "UPDATE morgan_memory.passages "
            "SET indexed_at = NULL, embedding = CASE WHEN $1 THEN NULL ELSE embedding END",
            embeddings,
            timeout=600,
        )
        return int(await connection.fetchval("SELECT count(*) FROM morgan_memory.passages", timeout=600))

    async def owe_again(self, connection: Any, user_id: str, document_id: Any) -> None:
        """All that was the user's has gone out of the index: what they have added since goes in again."""
        if document_id is None:
            await connection.execute(
                """
                UPDATE morgan_memory.passages p SET indexed_at = NULL FROM morgan_memory.documents d
                WHERE d.id = p.document_id AND d.user_id = $1 AND p.indexed_at IS NOT NULL
                """,
                user_id,
            )

    async def embed_some(self) -> int:
        """Make some embeddings; returns how many. Passages are read with their title and place."""
        if self._embedder is None:
            return 0
        async with self._postgres.connection() as connection:
            rows = await connection.fetch(
                """
                SELECT p.id, d.title, p.place, p.content FROM morgan_memory.passages p
                JOIN morgan_memory.documents d ON d.id = p.document_id
                WHERE p.embedding IS NULL ORDER BY d.created_at, p.number LIMIT $1
                """,
                EMBED_BATCH,
            )
        if not rows:
            return 0
        vectors = await self._embedder.embed([f"{row['title']}. {row['place']}. {row['content']}" for row in rows])
        if len(vectors) != len(rows) or any(len(vector) != DIMENSIONS for vector in vectors):
            raise ValueError(f"the embedder did not give {len(rows)} vectors of {DIMENSIONS} dimensions")
        async with self._postgres.connection() as connection:
            await connection.executemany(
                "UPDATE morgan_memory.passages SET embedding = $2 WHERE id = $1",
                [(row["id"], vector) for row, vector in zip(rows, vectors, strict=True)],
            )
        return len(rows)

    async def index_some(self, limit: int) -> int:
        """Put some into the index; returns how many."""
        async with self._postgres.connection() as connection:
            rows = await connection.fetch(
                """
                SELECT p.id, p.document_id, d.user_id, d.title, p.place, p.content, d.created_at, p.embedding
                FROM morgan_memory.passages p JOIN morgan_memory.documents d ON d.id = p.document_id
                WHERE p.indexed_at IS NULL AND p.embedding IS NOT NULL ORDER BY d.created_at, p.number LIMIT $1
                """,
                limit,
            )
        if not rows:
            return 0
        await self._index.upsert([_point(row) for row in rows])
        async with self._postgres.connection() as connection:
            left = await connection.fetch(
                "UPDATE morgan_memory.passages SET indexed_at = now() WHERE id = ANY ($1) RETURNING id",
                [row["id"] for row in rows],
            )
        # Passages that were deleted while their vectors were on the way must not come back through the index.
        kept = {row["id"] for row in left}
        for row in rows:
            if row["id"] not in kept:
                await self._index.delete(row["user_id"], message_ids=[row["id"]])
        return len(rows)


def _point(row: Any) -> Point:
    source = ", ".join(part for part in (row["title"], row["place"]) if part)
    return Point(
        row["id"],
        row["document_id"],
        row["user_id"],
        "document",
        row["content"],
        row["created_at"].isoformat(),
        row["embedding"],
        source,
    )
