"""Erasing a user, and the proof of it: what was found in each store, and what is left."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from persistence.cache.keys import audio_key, conversation_key, preferences_key, session_key
from persistence.cache.tts_cache import TtsCache
from persistence.deletion import DeletableParts, delete_user
from persistence.errors import StoreUnavailableError
from persistence.journal.traces import Traces
from persistence.vectors.index import VectorIndex

ERASE_S = 20.0
"""How long an erasure waits to be carried out; its report says what is left otherwise."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did in one store.

    Attributes:
        store: "rows", "cache", "vectors", "journals", "refused", or what others keep, such as "recordings".
        found: of the user, before.
        left: of them, afterwards; None where the store does not answer.
        parts: what was found by table, where there are several.
    """

    store: str
    found: int | None
    left: int | None
    parts: dict[str, int] = field(default_factory=dict)

    @property
    def deleted(self) -> int | None:
        """How many went; None where that is not known."""
        return None if self.found is None or self.left is None else max(self.found - self.left, 0)


@dataclass(frozen=True, slots=True)
class Erasure:
    """The report of an erasure.

    Attributes:
        user_id: whose.
        at: when it was over.
        stores: by store.
    """

    user_id: str
    at: datetime
    stores: tuple[Erased, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing is left anywhere."""
        return all(each.left == 0 for each in self.stores)


class ErasableParts(DeletableParts, Protocol):
    """What is looked at besides."""

    vectors: VectorIndex
    tts: TtsCache


@dataclass(frozen=True, slots=True)
class _Belongings:
    """Ids of what is a user's, from before it went."""

    user_id: str
    conversations: Sequence[uuid.UUID]
    sessions: Sequence[str]
    messages: Sequence[uuid.UUID]

    def traces(self) -> Traces:
        ids = {str(each) for each in (*self.conversations, *self.sessions, *self.messages)}
        return Traces(self.user_id, frozenset(ids))

    def keys(self) -> list[str]:
        of_sessions = [key for each in self.sessions for key in (session_key(each), audio_key(each))]
        return [conversation_key(self.user_id), preferences_key(self.user_id), *of_sessions]


async def erase_user(memory: ErasableParts, user_id: str) -> Erasure:
    """Delete everything of a user, and look everywhere for what is left.

    Raises:
        StoreUnavailableError: PostgreSQL does not answer: nothing was deleted.
    """
    await memory.settle()
    theirs = await _belongings(memory, user_id)
    before = await _look(memory, theirs)
    await delete_user(memory, user_id, ERASE_S)
    # The deletion itself names the user, and lies in the journal too until it is delivered.
    if await memory.outbox.settle(0.0):
        await memory.outbox.leave_out(theirs.traces())
    after = await _look(memory, theirs)
    stores = tuple(
        Erased(store, None if found is None else sum(found.values()), left, found or {})
        for store, found in before.items()
        for left in (_total(after[store]),)
    )
    report = Erasure(user_id, datetime.now(tz=UTC), stores)
    log.info("user erased", complete=report.complete, left={each.store: each.left for each in stores})
    return report


async def _belongings(memory: ErasableParts, user_id: str) -> _Belongings:
    async with memory.postgres.connection() as connection:
        conversations = await connection.fetch("SELECT id FROM conversations WHERE user_id = $1", user_id)
        sessions = await connection.fetch("SELECT id FROM streaming_sessions WHERE user_id = $1", user_id)
        messages = await connection.fetch(
            "SELECT m.id FROM messages m JOIN conversations c ON c.id = m.conversation_id WHERE c.user_id = $1", user_id
        )
    return _Belongings(
        user_id,
        [*{*(row["id"] for row in conversations), *memory.being_written(user_id)}],
        [row["id"] for row in sessions],
        [row["id"] for row in messages],
    )


Found = dict[str, int]


async def _look(memory: ErasableParts, theirs: _Belongings) -> dict[str, Found | None]:
    """What is there of a user, by store and by part; None for a store that does not answer."""
    journals, refused = await memory.outbox.count(theirs.traces())
    return {
        "rows": await _rows(memory, theirs),
        "cache": await _cache(memory, theirs),
        "vectors": await _vectors(memory, theirs.user_id),
        "journals": {"records": journals},
        "refused": {"records": refused},
    }


_ROWS = {
    "conversations": "SELECT count(*) FROM conversations WHERE user_id = $1",
    "messages": "SELECT count(*) FROM messages WHERE id = ANY ($1) OR conversation_id = ANY ($2)",
    "streaming_sessions": "SELECT count(*) FROM streaming_sessions WHERE user_id = $1",
    "audio_transcriptions": "SELECT count(*) FROM audio_transcriptions WHERE session_id = ANY ($2) "
    "OR message_id = ANY ($1)",
    "tts_generations": "SELECT count(*) FROM tts_generations WHERE conversation_id = ANY ($1)",
    "documents": "SELECT count(*) FROM morgan_memory.documents WHERE user_id = $1",
    "passages": "SELECT count(*) FROM morgan_memory.passages p JOIN morgan_memory.documents d ON d.id = p.document_id "
    "WHERE d.user_id = $1",
    "user_preferences": "SELECT count(*) FROM user_preferences WHERE user_id = $1",
    "vectors_to_delete": "SELECT count(*) FROM morgan_meta.vectors_to_delete WHERE user_id = $1",
}


async def _rows(memory: ErasableParts, theirs: _Belongings) -> Found | None:
    arguments: dict[str, tuple[Any, ...]] = {
        "messages": (list(theirs.messages), list(theirs.conversations)),
        "audio_transcriptions": (list(theirs.messages), list(theirs.sessions)),
        "tts_generations": (list(theirs.conversations),),
    }
    try:
        async with memory.postgres.connection() as connection:
            return {
                table: int(await connection.fetchval(query, *arguments.get(table, (theirs.user_id,))))
                for table, query in _ROWS.items()
            }
    except StoreUnavailableError:
        return None


async def _cache(memory: ErasableParts, theirs: _Belongings) -> Found | None:
    here = {
        "conversations": memory.store.held(theirs.user_id),
        "preferences": memory.preferences.held(theirs.user_id),
        "speech": memory.tts.held(set(theirs.conversations)),
    }
    if not memory.redis.enabled:
        return here
    try:
        return {"redis": await memory.redis.held(theirs.keys(), theirs.user_id), **here}
    except StoreUnavailableError:
        return None


async def _vectors(memory: ErasableParts, user_id: str) -> Found | None:
    try:
        return {"points": await memory.vectors.count(user_id)}
    except StoreUnavailableError:
        return None


def _total(found: Found | None) -> int | None:
    return None if found is None else sum(found.values())
