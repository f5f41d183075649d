"""After a restart: what the journal holds and PostgreSQL does not have yet is known all the same."""

from collections.abc import Iterable

from persistence.cache.conversation_store import ConversationStore
from persistence.cache.preferences import Preferences
from persistence.journal.operations import (
    DeleteConversation,
    DeleteUser,
    Operation,
    PutMessage,
    PutPreferences,
    RemoveMessage,
)
from persistence.values import ContextMessage


def restore(operations: Iterable[Operation], number: int, store: ConversationStore, preferences: Preferences) -> None:
    """Take undelivered operations into the fast tiers.

    Args:
        operations: in order.
        number: of the last of them.
        store: takes in messages.
        preferences: takes in preferences.
    """
    for operation in operations:
        match operation:
            case PutMessage():
                said = ContextMessage(
                    str(operation.id),
                    operation.role,
                    operation.content,
                    operation.at.isoformat(),
                    operation.interrupted,
                )
                store.restore(operation.user_id, str(operation.conversation_id), said, number)
            case RemoveMessage():
                store.take_back(str(operation.conversation_id), str(operation.message_id))
            case PutPreferences():
                preferences.restore(operation)
            case DeleteConversation():
                store.forget(operation.user_id, str(operation.conversation_id))
            case DeleteUser():
                store.forget(operation.user_id)
                preferences.forget(operation.user_id)
