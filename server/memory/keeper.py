"""What is kept of users beside memory: recordings, calls that were handed over, webhooks that wait."""

from typing import Protocol
from uuid import UUID


class Keeper(Protocol):
    """Keeps something that goes with its user, and with its conversation.

    Attributes:
        store: its name in the report of an erasure.
        part: what it keeps.
    """

    store: str
    part: str

    async def count(self, user_id: str) -> int | None:
        """How much there is of a user; None where that cannot be found out now."""

    async def delete(self, user_id: str, conversation_id: UUID | None = None) -> None:
        """Delete what is of a conversation, or (without one) all of a user."""
