"""What of one user is in a journal: records that name them, or one of their conversations, sessions or messages."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from persistence.journal.frames import Frame

NAMES = ("user_id", "conversation_id", "session_id", "message_id", "id")
"""Fields of operations that name the user, or what is the user's."""


@dataclass(frozen=True, slots=True)
class Traces:
    """Recognises what belongs to a user.

    Attributes:
        user_id: whose.
        ids: of their conversations, sessions and messages, as text.
    """

    user_id: str
    ids: frozenset[str] = frozenset()

    def of_record(self, record: Mapping[str, Any]) -> bool:
        """Whether a record is theirs."""
        if "user_id" in record:
            return bool(record["user_id"] == self.user_id)
        return any(record.get(name) in self.ids for name in NAMES)

    def of_frame(self, frame: Frame) -> bool:
        """Whether a frame of the journal is theirs."""
        return self.of_record(json.loads(frame.json))

    def in_bytes(self, data: bytes) -> bool:
        """Whether something that cannot be read as records names them."""
        quoted = json.dumps(self.user_id, ensure_ascii=False).encode()
        return quoted in data or any(each.encode() in data for each in self.ids)
