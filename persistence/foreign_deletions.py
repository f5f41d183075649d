"""Deletions that another server has made: what this process keeps of them goes too."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from persistence.ids import conversation_uuid

log = structlog.get_logger(__name__)


class ForeignDeletions:
    """Carries out here what other servers tell of on `morgan:invalidate`.

    Args:
        forget: closes logs and drops copies of a user's conversation, or of all of them (None).
        deleted: awaited with the same; what others keep of it, files among it, goes then.
    """

    def __init__(
        self,
        forget: Callable[[str, uuid.UUID | None], None],
        deleted: Callable[[str, uuid.UUID | None], Awaitable[None]],
    ) -> None:
        self._forget = forget
        self._deleted = deleted
        self._tasks: set[asyncio.Task[None]] = set()

    def heard(self, message: dict[str, Any]) -> None:
        """A deletion of another server; must run on the event loop."""
        named = message.get("conversation_id")
        user_id = str(message.get("user_id"))
        conversation_id = None if named is None else conversation_uuid(str(named))
        self._forget(user_id, conversation_id)
        task = asyncio.create_task(self._carry_out(user_id, conversation_id), name="deletion of another server")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for those that are under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry_out(self, user_id: str, conversation_id: uuid.UUID | None) -> None:
        try:
            await self._deleted(user_id, conversation_id)
        except Exception as error:  # of any kind: what should be gone is not
            log.error("what another server deleted is not gone here", user_id=user_id, exc_info=error)
