"""Cursors of paged lists: opaque to clients, good for the list that they came from only."""

import base64
import binascii
import hashlib
import json
from typing import Any

from persistence.errors import BadCursorError

_CHECK_BYTES = 8


def _check(scope: str, body: bytes) -> bytes:
    return hashlib.sha256(scope.encode() + b"\0" + body).digest()[:_CHECK_BYTES]


def make_cursor(scope: str, *position: str | int) -> str:
    """A cursor to the place behind `position` in the list that `scope` names (list, owner, order)."""
    body = json.dumps(position, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_check(scope, body) + body).decode().rstrip("=")


def read_cursor(scope: str, cursor: str, types: tuple[type, ...]) -> tuple[Any, ...]:
    """The position in a cursor.

    The check is no signature: a forged one reads on at another place of a list that its client may read anyway.

    Raises:
        BadCursorError: it is damaged, or was made for another list.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        body = raw[_CHECK_BYTES:]
        position = json.loads(body) if raw[:_CHECK_BYTES] == _check(scope, body) else None
    except (binascii.Error, ValueError, UnicodeError, RecursionError):
        position = None
    if not isinstance(position, list) or [type(part) for part in position] != list(types):
        raise BadCursorError("the cursor does not belong to this list")
    return tuple(position)
