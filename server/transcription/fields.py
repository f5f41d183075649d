"""Audio and languages as clients send them in JSON: base64, a sample rate, a language or "auto"."""

import base64
import binascii
from typing import Annotated

from pydantic import Field

from server.bounds import MAX_PCM_RATE, MIN_PCM_RATE
from server.http.errors import ApiError

_BLANKS = b" \t\n\r\v\f"


SampleRate = Annotated[int, Field(ge=MIN_PCM_RATE, le=MAX_PCM_RATE)]


LanguageWanted = Annotated[str, Field(min_length=1, max_length=35)]


def decode_base64(text: str, name: str) -> bytes:
    """Base64, line breaks allowed.

    Raises:
        ApiError: 400, it is none.
    """
    try:
        # Not as words: with a blank behind every character there are as many of them as characters.
        return base64.b64decode(text.encode("ascii").translate(None, _BLANKS), validate=True)
    except (binascii.Error, ValueError):
        details = [{"field": name, "message": "not base64"}]
        raise ApiError(400, "invalid_base64", f"{name} is not base64 (with its padding)", details) from None
