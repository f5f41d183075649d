"""Types of fields that several requests have in common."""

from typing import Annotated

from pydantic import AfterValidator, Field

from persistence.ids import parse_uuid
from persistence.text import check_id

LAST = "last"
"""In place of a conversation's id: the user's last one."""


def _storable(user_id: str) -> str:
    return check_id(user_id, "user_id")


def _uuid_or_last(conversation_id: str) -> str:
    if conversation_id != LAST and parse_uuid(conversation_id) is None:
        raise ValueError(f'must be a uuid, or "{LAST}"')
    return conversation_id


UserId = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_storable)]
"""Whose it is: whatever the client calls its user, without control characters."""

ConversationId = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_uuid_or_last)]
"""A conversation to go on with."""

Language = Annotated[str, Field(pattern="^[a-z]{2,3}$")]
"""ISO 639 code."""
