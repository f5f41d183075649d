"""Points of the vector index, and what an index can do with them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from persistence.values import PointRole, Recalled

COLLECTION = "morgan_messages"

INDEXED_FIELDS = ("user_id", "conversation_id", "role")
"""Fields of the payload by which points are found. A search by one without an index reads every payload: 160 ms of a
core for 100,000 points in place of 22."""


@dataclass(frozen=True, slots=True)
class Point:
    """A message, or a passage of a document, with its embedding; see `Recalled` for what its fields are then."""

    message_id: UUID
    conversation_id: UUID
    user_id: str
    role: PointRole
    content: str
    created_at: str
    vector: Sequence[float]
    source: str = ""

    def payload(self) -> dict[str, Any]:
        """What is kept beside the vector."""
        kept = {
            "user_id": self.user_id,
            "conversation_id": str(self.conversation_id),
            "role": self.role,
            "content": self.content,
            "created_at": self.created_at,
        }
        return {**kept, "source": self.source} if self.source else kept


@dataclass(frozen=True, slots=True)
class Nearest:
    """A search.

    Attributes:
        user_id: whose points; no other user's are looked at.
        vector: what is near.
        count: how many at most.
        roles: whose words; empty for everybody's.
        without: messages that are not wanted.
    """

    user_id: str
    vector: Sequence[float]
    count: int
    roles: tuple[PointRole, ...] = ()
    without: Collection[UUID] = ()


class PointStore(Protocol):
    """Where points are. Every method blocks; what it raises depends on the transport."""

    def check(self) -> None:
        """A round trip."""

    def upsert(self, points: Sequence[Point]) -> None:
        """Put points in, or in place of those with the same message id."""

    def search(self, wanted: Nearest) -> list[Recalled]:
        """The nearest points, best first."""

    def delete(self, user_id: str, conversation_id: UUID | None, message_ids: Sequence[UUID] | None) -> None:
        """Take out messages, a conversation, or (with neither) everything of a user."""

    def clear(self) -> None:
        """Take out everything."""

    def count(self, user_id: str | None = None) -> int:
        """How many points there are, in all or of a user."""

    def close(self) -> None:
        """Let go of files or connections."""


def recalled(message_id: object, payload: dict[str, Any], score: float) -> Recalled:
    """A found point."""
    return Recalled(
        str(message_id),
        payload["conversation_id"],
        payload["role"],
        payload["content"],
        payload["created_at"],
        float(score),
        payload.get("source", ""),
    )
