"""The SQL that operations become. Every statement may run twice with the effect of once."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import structlog

from persistence.journal.operations import (
    DeleteConversation,
    DeleteUser,
    EndLostSessions,
    EndSession,
    Operation,
    PutConversation,
    PutGeneration,
    PutLatency,
    PutMessage,
    PutPreferences,
    PutSession,
    PutTranscription,
    RemoveMessage,
)

log = structlog.get_logger(__name__)

TITLE_CHARS = 80
"""The first words of the user name a conversation that has no other name."""


async def apply(connection: Any, operation: Operation) -> None:
    """Write one operation, in the caller's transaction."""
    await _APPLY[type(operation)](connection, operation)


async def _put_conversation(connection: Any, op: PutConversation) -> None:
    await connection.execute(
        """
        INSERT INTO conversations (id, user_id, channel, language, started_at, updated_at, metadata)
        VALUES ($1, $2, $3, $4, $5, $5, $6)
        ON CONFLICT (id) DO UPDATE
        SET language = coalesce(EXCLUDED.language, conversations.language),
            metadata = conversations.metadata || EXCLUDED.metadata,
            updated_at = greatest(conversations.updated_at, EXCLUDED.updated_at),
            ended_at = CASE WHEN conversations.ended_at < EXCLUDED.updated_at THEN NULL ELSE conversations.ended_at END
        WHERE conversations.user_id = EXCLUDED.user_id
        """,
        op.id,
        op.user_id,
        op.channel,
        op.language,
        op.at,
        op.metadata,
    )


async def _put_message(connection: Any, op: PutMessage) -> None:
    # Counting first takes the conversation's row lock, which makes a second writer wait: no gap, no number twice.
    inserted = await connection.fetchval(
        f"""
        WITH counted AS (
            UPDATE conversations
            SET message_count = message_count + 1, updated_at = greatest(updated_at, $6),
                language = coalesce($8, language),
                title = CASE WHEN $4 = 'user' THEN coalesce(title, left($5, {TITLE_CHARS})) ELSE title END
            WHERE id = $2 AND user_id = $3 AND NOT EXISTS (SELECT 1 FROM messages WHERE id = $1)
            RETURNING message_count
        )
        INSERT INTO messages (id, conversation_id, sequence_number, role, content, created_at, interrupted, latency,
                              metadata)
        SELECT $1, $2, message_count, $4, $5, $6, $7, $9, $10 FROM counted
        RETURNING 1
        """,  # noqa: S608
        op.id,
        op.conversation_id,
        op.user_id,
        op.role,
        op.content,
        op.at,
        op.interrupted,
        op.language,
        op.latency,
        op.metadata,
    )
    if inserted is not None:
        return
    updated = await connection.fetchval(
        """
        UPDATE messages AS m
        SET content = $3, interrupted = $4, latency = m.latency || $5, metadata = m.metadata || $6,
            embedding = CASE WHEN m.content = $3 THEN m.embedding END,
            indexed_at = CASE WHEN m.content = $3 THEN m.indexed_at END
        WHERE m.id = $1 AND m.conversation_id = $2
        RETURNING 1
        """,
        op.id,
        op.conversation_id,
        op.content,
        op.interrupted,
        op.latency,
        op.metadata,
    )
    if updated is None:
        # Its conversation was deleted while the call went on, or belongs to another user.
        log.warning("message of no conversation not stored", conversation_id=str(op.conversation_id))


async def _put_latency(connection: Any, op: PutLatency) -> None:
    await connection.execute(
        "UPDATE messages SET latency = latency || $3 WHERE id = $1 AND conversation_id = $2",
        op.message_id,
        op.conversation_id,
        op.latency,
    )


async def _remove_message(connection: Any, op: RemoveMessage) -> None:
    owner = await connection.fetchval("SELECT user_id FROM conversations WHERE id = $1 FOR UPDATE", op.conversation_id)
    number = await connection.fetchval(
        "DELETE FROM messages WHERE id = $1 AND conversation_id = $2 RETURNING sequence_number",
        op.message_id,
        op.conversation_id,
    )
    if number is None:
        return
    await connection.execute(
        "UPDATE messages SET sequence_number = sequence_number - 1 WHERE conversation_id = $1 AND sequence_number > $2",
        op.conversation_id,
        number,
    )
    await connection.execute(
        "UPDATE conversations SET message_count = message_count - 1 WHERE id = $1", op.conversation_id
    )
    await connection.execute(
        "INSERT INTO morgan_meta.vectors_to_delete (user_id, conversation_id, message_id) VALUES ($1, $2, $3)",
        owner,
        op.conversation_id,
        op.message_id,
    )


async def _put_session(connection: Any, op: PutSession) -> None:
    await connection.execute(
        """
        INSERT INTO streaming_sessions (id, conversation_id, user_id, kind, state, started_at, stats)
        SELECT $1, id, user_id, $4, $5, $6, jsonb_build_object('server', $7::text)
        FROM conversations WHERE id = $2 AND user_id = $3
        ON CONFLICT (id) DO UPDATE SET state = EXCLUDED.state, ended_at = NULL, end_reason = NULL,
                                       stats = streaming_sessions.stats || EXCLUDED.stats
        WHERE streaming_sessions.ended_at IS NULL OR streaming_sessions.end_reason = 'shutdown'
        """,
        op.id,
        op.conversation_id,
        op.user_id,
        op.kind,
        op.state,
        op.at,
        op.server,
    )


async def _end_lost_sessions(connection: Any, op: EndLostSessions) -> None:
    await connection.execute(
        """
        WITH lost AS (
            UPDATE streaming_sessions s SET state = 'ended', end_reason = 'server_lost', ended_at = greatest(
                s.started_at, (SELECT max(created_at) FROM messages m WHERE m.conversation_id = s.conversation_id)
            )
            WHERE s.stats->>'server' = $1 AND s.ended_at IS NULL AND s.started_at < $2
            RETURNING conversation_id, ended_at
        )
        UPDATE conversations c SET ended_at = lost.ended_at FROM lost WHERE c.id = lost.conversation_id
        """,
        op.server,
        op.at,
    )


async def _end_session(connection: Any, op: EndSession) -> None:
    await connection.execute(
        """
        UPDATE streaming_sessions SET state = 'ended', ended_at = $3, end_reason = $4, stats = stats || $5
        WHERE id = $1 AND conversation_id = $2 AND ended_at IS NULL
        """,
        op.id,
        op.conversation_id,
        op.at,
        op.reason,
        op.stats,
    )
    await connection.execute(
        """
        UPDATE conversations SET ended_at = $2, updated_at = greatest(updated_at, $2)
        WHERE id = $1 AND NOT EXISTS (
            SELECT 1 FROM streaming_sessions WHERE conversation_id = $1 AND ended_at IS NULL
        )
        """,
        op.conversation_id,
        op.at,
    )


async def _put_transcription(connection: Any, op: PutTranscription) -> None:
    await connection.execute(
        """
        INSERT INTO audio_transcriptions (id, session_id, message_id, audio_sha256, text, language, confidence,
                                          duration_ms, model, segments, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        ON CONFLICT (id) DO NOTHING
        """,
        op.id,
        op.session_id,
        op.message_id,
        op.audio_sha256,
        op.text,
        op.language,
        op.confidence,
        op.duration_ms,
        op.model,
        op.segments,
        op.at,
    )


async def _put_generation(connection: Any, op: PutGeneration) -> None:
    await connection.execute(
        """
        INSERT INTO tts_generations (key, text, voice, format, sample_rate, duration_ms, audio, conversation_id,
                                     created_at, last_used_at, words)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10)
        ON CONFLICT (key) DO NOTHING
        """,
        op.key,
        op.text,
        op.voice,
        op.format,
        op.sample_rate,
        op.duration_ms,
        op.audio,
        op.conversation_id,
        op.at,
        op.words,
    )


async def _put_preferences(connection: Any, op: PutPreferences) -> None:
    # What another server wrote later stays; what is dated in the future was written before a clock was set back.
    await connection.execute(
        """
        INSERT INTO user_preferences (user_id, preferences, updated_at) VALUES ($1, $2, $3)
        ON CONFLICT (user_id) DO UPDATE SET preferences = EXCLUDED.preferences, updated_at = EXCLUDED.updated_at
        WHERE user_preferences.updated_at <= EXCLUDED.updated_at OR user_preferences.updated_at > now()
        """,
        op.user_id,
        op.preferences,
        op.at,
    )


_DELETE_CONVERSATIONS = (
    """
    DELETE FROM audio_transcriptions t
    USING streaming_sessions s WHERE s.id = t.session_id AND s.conversation_id = ANY ($1)
    """,
    "DELETE FROM audio_transcriptions t USING messages m WHERE m.id = t.message_id AND m.conversation_id = ANY ($1)",
    "DELETE FROM tts_generations WHERE conversation_id = ANY ($1)",
    "DELETE FROM conversations WHERE id = ANY ($1)",
)
"""Messages and sessions go with their conversation by the foreign key."""


async def delete_conversations(connection: Any, ids: Sequence[UUID]) -> None:
    """Delete conversations with all that hangs on them, in the caller's transaction; the index is not told."""
    for statement in _DELETE_CONVERSATIONS:
        await connection.execute(statement, ids)


async def _delete_conversation(connection: Any, op: DeleteConversation) -> None:
    owned = await connection.fetch(
        "SELECT id FROM conversations WHERE id = $1 AND user_id = $2 FOR UPDATE", op.conversation_id, op.user_id
    )
    if not owned:
        return
    await delete_conversations(connection, [op.conversation_id])
    await connection.execute(
        "INSERT INTO morgan_meta.vectors_to_delete (user_id, conversation_id) VALUES ($1, $2)",
        op.user_id,
        op.conversation_id,
    )


async def _delete_user(connection: Any, op: DeleteUser) -> None:
    rows = await connection.fetch("SELECT id FROM conversations WHERE user_id = $1 ORDER BY id FOR UPDATE", op.user_id)
    await delete_conversations(connection, [row["id"] for row in rows])
    await connection.execute("DELETE FROM user_preferences WHERE user_id = $1", op.user_id)
    await connection.execute("DELETE FROM morgan_memory.documents WHERE user_id = $1", op.user_id)
    await connection.execute("INSERT INTO morgan_meta.vectors_to_delete (user_id) VALUES ($1)", op.user_id)


_APPLY: dict[type[Any], Callable[[Any, Any], Awaitable[None]]] = {
    PutConversation: _put_conversation,
    PutMessage: _put_message,
    PutLatency: _put_latency,
    RemoveMessage: _remove_message,
    PutSession: _put_session,
    EndLostSessions: _end_lost_sessions,
    EndSession: _end_session,
    PutTranscription: _put_transcription,
    PutGeneration: _put_generation,
    PutPreferences: _put_preferences,
    DeleteConversation: _delete_conversation,
    DeleteUser: _delete_user,
}
