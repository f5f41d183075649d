"""Reads of conversations that show what was written a moment ago."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable

import asyncpg
import structlog

from persistence.errors import StoreUnavailableError
from persistence.ids import conversation_uuid, parse_uuid
from persistence.postgres.conversations import Conversations
from persistence.tasks import ended
from persistence.values import Conversation, ConversationContext, Message, Page

COUNTS_S = 5.0
"""Age at which counts of all conversations are taken anew."""

COUNTING_S = 1.0
"""What `/health` waits for them; a PostgreSQL that is slow or mute counts on meanwhile."""

log = structlog.get_logger(__name__)


class ConversationReads:
    """Reads from PostgreSQL, each behind a moment in which the journal's delivery catches up.

    Args:
        conversations: the queries.
        settle: waits for that moment.
    """

    def __init__(self, conversations: Conversations, settle: Callable[[], Awaitable[None]]) -> None:
        self._conversations = conversations
        self._settle = settle
        self._counted: tuple[float, tuple[int, int]] = (float("-inf"), (0, 0))
        self._counting: asyncio.Task[None] | None = None

    async def find_conversation(self, conversation_id: str, user_id: str | None = None) -> Conversation | None:
        """A conversation; None where there is none, or not of that user."""
        identity = parse_uuid(conversation_id)
        if identity is None:
            return None
        await self._settle()
        return await self._conversations.get(identity, user_id)

    async def list_conversations(self, user_id: str, limit: int = 50, cursor: str | None = None) -> Page[Conversation]:
        """A user's conversations, latest first; raises `BadCursorError`."""
        await self._settle()
        return await self._conversations.list(user_id, limit, cursor)

    async def messages(
        self,
        conversation_id: str,
        user_id: str,
        limit: int = 50,
        cursor: str | None = None,
        *,
        newest_first: bool = False,
    ) -> Page[Message]:
        """Messages of a user's conversation, none where it is not theirs; raises `BadCursorError`."""
        await self._settle()
        return await self._conversations.messages(
            conversation_uuid(conversation_id), user_id, limit, cursor, newest_first=newest_first
        )

    async def export(self, conversation_id: str, user_id: str) -> tuple[Conversation, tuple[Message, ...]] | None:
        """A conversation with all its messages, for `persistence.export`."""
        found = await self.find_conversation(conversation_id, user_id)
        return None if found is None else (found, await self._conversations.all_messages(found.id, user_id))

    async def context(self, user_id: str, conversation_id: str | None, count: int) -> ConversationContext | None:
        """The last messages of a conversation of the user, or of their last one; None if there is none."""
        await self._settle()
        wanted = None if conversation_id is None else uuid.UUID(conversation_id)
        return await self._conversations.context(user_id, wanted, count)

    async def counts(self) -> tuple[int, int]:
        """Conversations and messages in all, at most `COUNTS_S` old; the last ones known while PostgreSQL is down."""
        at, _ = self._counted
        if time.monotonic() - at > COUNTS_S and (self._counting is None or self._counting.done()):
            self._counting = asyncio.create_task(self._count(), name="count of conversations")
        if self._counting is not None:
            await asyncio.wait({self._counting}, timeout=COUNTING_S)
        return self._counted[1]

    async def close(self) -> None:
        """End what runs."""
        if self._counting is not None:
            await ended([self._counting])

    async def _count(self) -> None:
        try:
            counted = await self._conversations.counts()
            self._counted = (time.monotonic(), counted)
        except (StoreUnavailableError, asyncpg.PostgresError) as error:
            log.debug("conversations not counted", problem=str(error))
