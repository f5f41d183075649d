"""Deleting for good: rows, copies in the fast tiers, speech, vectors."""

import uuid
from typing import TYPE_CHECKING

from persistence.errors import StoreUnavailableError
from persistence.ids import parse_uuid
from persistence.journal.operations import DeleteConversation, DeleteUser

if TYPE_CHECKING:
    from persistence.memory import Memory

DELETE_S = 3.0
"""How long a deletion waits to be carried out; it is carried out later otherwise."""


async def delete_conversation(memory: "Memory", user_id: str, conversation_id: str) -> bool:
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
        sessions = tuple(session.id for session in await memory.conversations.sessions(identity))
    memory.forget(user_id, {identity}, sessions)
    memory.store.forget(user_id, str(identity))
    await _carry_out(memory, DeleteConversation(identity, user_id))
    await memory.on_deleted(user_id, identity)
    return True


async def delete_user(memory: "Memory", user_id: str) -> tuple[uuid.UUID, ...]:
    """Delete everything of a user.

    Returns:
        ids of the conversations that were theirs.

    Raises:
        StoreUnavailableError: PostgreSQL does not answer, and which conversations there are is not known.
    """
    await memory.settle()
    found = await memory.conversations.ids_of(user_id)
    sessions = [session.id for each in found for session in await memory.conversations.sessions(each)]
    memory.forget(user_id, set(found), sessions)
    memory.store.forget(user_id)
    memory.preferences.forget(user_id)
    memory.redis.forget_user(user_id)
    await _carry_out(memory, DeleteUser(user_id))
    await memory.on_deleted(user_id, None)
    return found


async def _carry_out(memory: "Memory", operation: DeleteConversation | DeleteUser) -> None:
    number = memory.record(operation)
    if number == 0:
        raise StoreUnavailableError("the journal cannot take the deletion")
    if memory.postgres.up.is_set() and await memory.outbox.settle(DELETE_S, number):
        await memory.worker.idle(DELETE_S)
    await memory.redis.flush(0.5)
