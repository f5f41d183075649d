"""What the doors ask of conversations and messages in PostgreSQL. Writing them is `persistence.journal.statements`."""

import hashlib
from datetime import datetime
from typing import Any
from uuid import UUID

from persistence.errors import BadCursorError
from persistence.postgres.cursors import make_cursor, read_cursor
from persistence.postgres.pool import Postgres
from persistence.values import (
    ContextMessage,
    Conversation,
    ConversationContext,
    Message,
    Page,
    StreamingSession,
)

MAX_PAGE = 200
MAX_SEQUENCE_NUMBER = 2**31 - 1
_CONVERSATION = "id, user_id, title, language, started_at, updated_at, ended_at, channel, metadata, message_count"
_MESSAGE = "id, conversation_id, sequence_number, role, content, created_at, interrupted, latency, metadata"
_OWNED = "EXISTS (SELECT 1 FROM conversations c WHERE c.id = $1 AND c.user_id = $2)"
_SESSION = "id, conversation_id, user_id, kind, state, started_at, ended_at, end_reason, stats"


class Conversations:
    """Reads conversations; everything is asked for on behalf of one user.

    All methods raise `StoreUnavailableError` when PostgreSQL does not answer.

    Args:
        postgres: the pool.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def get(self, conversation_id: UUID, user_id: str | None = None) -> Conversation | None:
        """A conversation; None where there is none, or not of that user."""
        async with self._postgres.connection() as connection:
            row = await connection.fetchrow(
                f"SELECT {_CONVERSATION} FROM conversations WHERE id = $1 AND ($2::text IS NULL OR user_id = $2)",  # noqa: S608
                conversation_id,
                user_id,
            )
        return Conversation(**row) if row else None

    async def list(self, user_id: str, limit: int = 50, cursor: str | None = None) -> Page[Conversation]:
        """A user's conversations, latest first.

        Raises:
            BadCursorError: the cursor is of another list.
        """
        scope = f"conversations/{_digest(user_id)}"
        where, position = "", []
        if cursor is not None:
            where, position = "AND (updated_at, id) < ($3, $4)", [*_before(scope, cursor)]
        limit = _bounded(limit)
        async with self._postgres.connection() as connection:
            rows = await connection.fetch(
                f"SELECT {_CONVERSATION} FROM conversations WHERE user_id = $1 {where} "  # noqa: S608
                "ORDER BY updated_at DESC, id DESC LIMIT $2",
                user_id,
                limit + 1,
                *position,
            )
        found = [Conversation(**row) for row in rows]
        return _page(found, limit, lambda last: make_cursor(scope, last.updated_at.isoformat(), str(last.id)))

    async def messages(
        self,
        conversation_id: UUID,
        user_id: str,
        limit: int = 50,
        cursor: str | None = None,
        *,
        newest_first: bool = False,
    ) -> Page[Message]:
        """Messages of a user's conversation in order, or from the end; none where it is not theirs.

        Raises:
            BadCursorError: the cursor is of another list, or of the other direction.
        """
        scope = f"messages/{conversation_id}/{'down' if newest_first else 'up'}"
        where, position = "", []
        if cursor is not None:
            where, position = f"AND sequence_number {'<' if newest_first else '>'} $4", [*_after(scope, cursor)]
        limit = _bounded(limit)
        async with self._postgres.connection() as connection:
            rows = await connection.fetch(
                f"SELECT {_MESSAGE} FROM messages WHERE conversation_id = $1 AND {_OWNED} {where} "  # noqa: S608
                f"ORDER BY sequence_number {'DESC' if newest_first else 'ASC'} LIMIT $3",
                conversation_id,
                user_id,
                limit + 1,
                *position,
            )
        found = [Message(**row) for row in rows]
        return _page(found, limit, lambda last: make_cursor(scope, last.sequence_number))

    async def all_messages(self, conversation_id: UUID, user_id: str) -> tuple[Message, ...]:
        """All messages of a user's conversation in order, for an export."""
        async with self._postgres.connection() as connection:
            rows = await connection.fetch(
                f"SELECT {_MESSAGE} FROM messages WHERE conversation_id = $1 AND {_OWNED} "  # noqa: S608
                "ORDER BY sequence_number",
                conversation_id,
                user_id,
            )
        return tuple(Message(**row) for row in rows)

    async def sessions(self, conversation_id: UUID, user_id: str) -> tuple[StreamingSession, ...]:
        """Streaming sessions of a user's conversation, oldest first."""
        async with self._postgres.connection() as connection:
            rows = await connection.fetch(
                f"SELECT {_SESSION} FROM streaming_sessions WHERE conversation_id = $1 AND user_id = $2 "  # noqa: S608
                "ORDER BY started_at, id",
                conversation_id,
                user_id,
            )
        return tuple(StreamingSession(**row) for row in rows)

    async def ids_of(self, user_id: str) -> tuple[UUID, ...]:
        """Ids of all conversations of a user."""
        async with self._postgres.connection() as connection:
            rows = await connection.fetch("SELECT id FROM conversations WHERE user_id = $1", user_id)
        return tuple(row["id"] for row in rows)

    async def context(self, user_id: str, conversation_id: UUID | None, count: int) -> ConversationContext | None:
        """The last messages of a conversation, or of the user's last one."""
        async with self._postgres.connection() as connection:
            row = await connection.fetchrow(
                """
                SELECT id, title, language FROM conversations WHERE user_id = $1 AND ($2::uuid IS NULL OR id = $2)
                ORDER BY updated_at DESC, id DESC LIMIT 1
                """,
                user_id,
                conversation_id,
            )
            if row is None:
                return None
            messages = await connection.fetch(
                """
                SELECT id, role, content, created_at, interrupted FROM messages
                WHERE conversation_id = $1 ORDER BY sequence_number DESC LIMIT $2
                """,
                row["id"],
                count,
            )
        return ConversationContext(
            str(row["id"]), user_id, row["title"], row["language"], tuple(_heard(each) for each in reversed(messages))
        )

    async def counts(self) -> tuple[int, int]:
        """How many conversations and messages there are."""
        async with self._postgres.connection() as connection:
            row = await connection.fetchrow("SELECT count(*), coalesce(sum(message_count), 0) FROM conversations")
        return int(row[0]), int(row[1])


def _heard(row: Any) -> ContextMessage:
    return ContextMessage(
        str(row["id"]), row["role"], row["content"], row["created_at"].isoformat(), row["interrupted"]
    )


def _page(found: "list[Any]", limit: int, cursor_behind: Any) -> Page[Any]:
    items = tuple(found[:limit])
    return Page(items, cursor_behind(items[-1]) if len(found) > limit else None)


def _before(scope: str, cursor: str) -> tuple[datetime, UUID]:
    updated, identity = read_cursor(scope, cursor, (str, str))
    try:
        position = datetime.fromisoformat(updated), UUID(identity)
    except ValueError:
        raise BadCursorError("the cursor does not belong to this list") from None
    if position[0].tzinfo is None or not 1970 <= position[0].year < 9999:
        # Made up: rows have times with a zone, and the wire cannot carry every other.
        raise BadCursorError("the cursor does not belong to this list")
    return position


def _after(scope: str, cursor: str) -> tuple[int]:
    (number,) = read_cursor(scope, cursor, (int,))
    if not 0 <= number <= MAX_SEQUENCE_NUMBER:
        raise BadCursorError("the cursor does not belong to this list")
    return (number,)


def _bounded(limit: int) -> int:
    return max(1, min(limit, MAX_PAGE))


def _digest(user_id: str) -> str:
    return hashlib.sha256(user_id.encode()).hexdigest()
