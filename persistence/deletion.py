"""Deleting for good: rows, copies in the fast tiers, speech, vectors."""

import uuid
from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

from persistence.cache.conversation_store import ConversationStore
from persistence.cache.preferences import Preferences
from persistence.cache.redis_tier import RedisTier
from persistence.errors import StoreUnavailableError
from persistence.ids import parse_uuid
from persistence.journal.operations import DeleteConversation, DeleteUser, Operation
from persistence.journal.outbox import Outbox
from persistence.postgres.conversations import Conversations
from persistence.postgres.pool import Postgres
from persistence.values import Conversation
from persistence.vectors.embedding_worker import EmbeddingWorker

DELETE_S = 3.0
"""How long a deletion waits to be carried out; it is carried out later otherwise."""


class DeletableParts(Protocol):
    """The parts of memory in which something of a user is kept."""

    postgres: Postgres
    redis: RedisTier
    outbox: Outbox
    store: ConversationStore
    preferences: Preferences
    conversations: Conversations
    worker: EmbeddingWorker
    on_deleted: Callable[[str, uuid.UUID | None], Awaitable[None]]

    async def find_conversation(self, conversation_id: str, user_id: str | None = None) -> Conversation | None:
        """A conversation; None where there is none, or not of that user."""

    async def settle(self) -> None:
        """Wait a moment for PostgreSQL to have what was written just now."""

    def record(self, operation: Operation) -> int:
        """Hand an operation to the outbox; returns its number, 0 when the journal could not take it."""

    def being_written(self, user_id: str) -> set[uuid.UUID]:
        """Conversations of a user that sessions write to just now."""

    def forget(self, user_id: str, conversations: set[uuid.UUID], sessions: Collection[str]) -> None:
        """Close the logs of these conversations, and drop the copies in the fast tiers."""


async def delete_conversation(memory: DeletableParts, user_id: str, conversation_id: str) -> bool:
    """Delete rows, copies and vectors of a conversation.

    With PostgreSQL down the deletion waits in the journal like a write.

    Returns:
        whether the user had such a conversation (taken to be so while PostgreSQL is down).
    """
    identity = parse_uuid(conversation_id)
    if identity is None:
        return False
    sessions: tuple[str, ...] = ()
    if memory.postgres.up.is_set():
        if await memory.find_conversation(conversation_id, user_id) is None:
            return False
        sessions = tuple(session.id for session in await memory.conversations.sessions(identity, user_id))
    memory.forget(user_id, {identity}, sessions)
    memory.store.forget(user_id, str(identity))
    await _carry_out(memory, DeleteConversation(identity, user_id))
    await memory.on_deleted(user_id, identity)
    return True


async def delete_user(memory: DeletableParts, user_id: str, wait_s: float = DELETE_S) -> tuple[uuid.UUID, ...]:
    """Delete everything of a user.

    Args:
        memory: all of it.
        user_id: whose.
        wait_s: how long to wait for it to be carried out; it is carried out later otherwise.

    Returns:
        ids of the conversations that were theirs.

    Raises:
        StoreUnavailableError: PostgreSQL does not answer, and which conversations there are is not known.
    """
    await memory.settle()
    found = await memory.conversations.ids_of(user_id)
    sessions = [session.id for each in found for session in await memory.conversations.sessions(each, user_id)]
    memory.forget(user_id, {*found, *memory.being_written(user_id)}, sessions)
    memory.store.forget(user_id)
    memory.preferences.forget(user_id)
    memory.redis.forget_user(user_id)
    await _carry_out(memory, DeleteUser(user_id), wait_s)
    await memory.on_deleted(user_id, None)
    return found


async def _carry_out(
    memory: DeletableParts, operation: DeleteConversation | DeleteUser, wait_s: float = DELETE_S
) -> None:
    number = memory.record(operation)
    if number == 0:
        raise StoreUnavailableError("the journal cannot take the deletion")
    if memory.postgres.up.is_set() and await memory.outbox.settle(wait_s, number):
        await memory.worker.idle(wait_s)
    await memory.redis.flush(0.5)
