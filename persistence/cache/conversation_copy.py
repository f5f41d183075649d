"""The copy of a conversation that the fast tiers keep."""

import json
from dataclasses import dataclass, field
from typing import Any

import structlog

from persistence.values import ContextMessage, ConversationContext

log = structlog.get_logger(__name__)

MAX_CACHED_CHARS = 64_000
"""Of one conversation in the fast tiers; older messages are left to PostgreSQL."""


@dataclass(slots=True)
class ConversationCopy:
    """The copy of one conversation.

    Attributes:
        complete: nothing of it is missing; else only what this process added is here.
        version: grows with every change, across processes (microseconds of the wall clock).
        number: of the journal's record that holds its last change.
        used_at: monotonic seconds.
        generation: of the subscription under which it was last known to be the newest.
    """

    conversation_id: str
    user_id: str
    title: str | None = None
    language: str | None = None
    messages: list[ContextMessage] = field(default_factory=list)
    complete: bool = False
    version: int = 0
    number: int = 0
    used_at: float = 0.0
    generation: int = 0

    def put(self, message: ContextMessage, limit: int) -> None:
        """Append a message, or replace the one with its id; the oldest go beyond the limits."""
        for index, known in enumerate(self.messages):
            if known.id == message.id:
                self.messages[index] = message
                break
        else:
            self.messages.append(message)
        del self.messages[:-limit]
        while len(self.messages) > 1 and sum(len(each.content) for each in self.messages) > MAX_CACHED_CHARS:
            del self.messages[0]

    def context(self, count: int) -> ConversationContext:
        """The last messages."""
        return ConversationContext(
            self.conversation_id, self.user_id, self.title, self.language, tuple(self.messages[-count:])
        )

    def document(self) -> bytes:
        """The copy as `conversation:{user_id}` holds it."""
        document = {
            "conversation_id": self.conversation_id,
            "user_id": self.user_id,
            "title": self.title,
            "language": self.language,
            "version": self.version,
            "messages": [_plain(message) for message in self.messages],
        }
        return json.dumps(document, ensure_ascii=False).encode()


def _plain(message: ContextMessage) -> dict[str, Any]:
    # `dataclasses.asdict` copies deeply, at ten times the cost, in every turn of every call.
    return {
        "id": message.id,
        "role": message.role,
        "content": message.content,
        "created_at": message.created_at,
        "interrupted": message.interrupted,
    }


def parse(value: bytes | None, user_id: str) -> ConversationCopy | None:
    """A document of Redis; None for what is not one: keys can be written by any client that has the password."""
    if value is None:
        return None
    try:
        document = json.loads(value)
        messages = [ContextMessage(**message) for message in document["messages"]]
        entry = ConversationCopy(
            document["conversation_id"],
            document["user_id"],
            document["title"],
            document["language"],
            messages,
            complete=True,
            version=document["version"],
        )
    except (ValueError, TypeError, KeyError):
        log.warning("conversation in redis is unreadable, ignored")
        return None
    return entry if entry.user_id == user_id else None
