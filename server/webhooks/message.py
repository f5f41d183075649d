"""One webhook: what is told, under which id, since when."""

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

from persistence.ids import conversation_uuid


@dataclass(frozen=True, slots=True)
class Message:
    """A webhook, the same for all receivers and at all attempts.

    Attributes:
        body: JSON: type, timestamp, data.
        id: by which receivers know what they have had already.
        at: when it happened, Unix seconds.
    """

    body: bytes
    id: str = field(default_factory=lambda: f"msg_{uuid.uuid4().hex}")
    at: float = field(default_factory=time.time)

    @classmethod
    def of(cls, event: str, data: Mapping[str, Any]) -> Self:
        """A message about what happens now."""
        now = datetime.now(tz=UTC)
        told = {"type": event, "timestamp": now.isoformat(timespec="milliseconds"), "data": data}
        return cls(json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode(), at=now.timestamp())

    def of_user(self, user_id: str, conversation_id: UUID | None = None) -> bool:
        """Whether it tells of a user, and of that conversation where one is named."""
        if json.dumps(user_id, ensure_ascii=False).encode() not in self.body:
            # As nearly always, where a megabyte of them waits.
            return False
        data = json.loads(self.body)["data"]
        if data.get("user_id") != user_id:
            return False
        return conversation_id in (None, conversation_uuid(data.get("conversation_id", "")))
