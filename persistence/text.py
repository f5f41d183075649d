"""What may be stored: texts that PostgreSQL takes, and ids that are what they seem.

PostgreSQL's text holds any Unicode but U+0000, and UTF-8 holds no lone surrogates; both arrive in JSON from strangers.
"""

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from persistence.errors import InvalidTextError, TextTooLongError

MAX_TEXT_CHARS = 100_000
"""Of one message: more than an hour of speech."""

MAX_ID_CHARS = 256
MAX_JSON_BYTES = 65_536
"""Of one JSON value: preferences, metadata, statistics."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def clean_text(text: str, field: str = "text", max_chars: int = MAX_TEXT_CHARS) -> str:
    """The text with what cannot be stored replaced by U+FFFD.

    Raises:
        TextTooLongError: it has more than `max_chars` characters.
    """
    if len(text) > max_chars:
        raise TextTooLongError(f"{field} has {len(text)} characters; at most {max_chars} are stored")
    return _UNSTORABLE.sub(_REPLACEMENT, text)


def check_id(value: str, field: str) -> str:
    """The id, unchanged: replacing characters in an id would make two users one.

    Raises:
        InvalidTextError: it is empty, too long, or holds control characters or surrogates.
    """
    if not value or len(value) > MAX_ID_CHARS:
        raise InvalidTextError(f"{field} must have 1 to {MAX_ID_CHARS} characters")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        raise InvalidTextError(f"{field} must not hold control characters")
    return value


def clean_json(value: Mapping[str, Any], field: str, max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """A JSON object as it can be stored.

    Raises:
        InvalidTextError: it holds what JSON does not know (NaN, Infinity, objects).
        TextTooLongError: it is larger than `max_bytes` as JSON.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidTextError(f"{field} is no JSON object: {error}") from None
    # Every character is at least a byte: what is too long in characters need not be encoded to be refused.
    if len(text) > max_bytes or len(text.encode("utf-8", "replace")) > max_bytes:
        raise TextTooLongError(f"{field} is larger than {max_bytes} bytes as JSON")
    cleaned = _clean_value(json.loads(text))
    if not isinstance(cleaned, dict):
        raise InvalidTextError(f"{field} is no JSON object")
    return cleaned


def _clean_value(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE.sub(_REPLACEMENT, value)
    if isinstance(value, list):
        return [_clean_value(item) for item in value]
    if isinstance(value, dict):
        return {_UNSTORABLE.sub(_REPLACEMENT, key): _clean_value(item) for key, item in value.items()}
    return value
