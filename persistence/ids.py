"""Ids: what calls and clients name in strings, PostgreSQL keeps as uuids."""

import re
import uuid

_PREFIXED = re.compile(r"(?:[A-Za-z]+_)?([0-9a-fA-F]{32})")
_NAMESPACE = uuid.UUID("6f1d2f4e-5a53-4b0e-9c37-0d2f6f6d7267")


def parse_uuid(value: str) -> uuid.UUID | None:
    """The uuid that an id stands for: a uuid as such, or 32 hex digits behind a prefix such as "item_"; else None."""
    found = _PREFIXED.fullmatch(value)
    try:
        return uuid.UUID(found.group(1) if found else value)
    except ValueError:
        return None


def message_uuid(conversation: uuid.UUID, item_id: str) -> uuid.UUID:
    """The uuid of a message; ids that clients made up count within their conversation only."""
    return parse_uuid(item_id) or uuid.uuid5(_NAMESPACE, f"{conversation.hex}/{item_id}")


def conversation_uuid(value: str) -> uuid.UUID:
    """The uuid of a conversation."""
    return parse_uuid(value) or uuid.uuid5(_NAMESPACE, value)
