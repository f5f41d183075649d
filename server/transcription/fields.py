"""Audio and languages as clients send them in JSON: base64, a sample rate, a language or "auto"."""

import asyncio
import binascii
from typing import Annotated

from pydantic import Field

from server.bounds import MAX_PCM_RATE, MIN_PCM_RATE
from server.http.errors import ApiError

_BLANKS = b" \t\n\r\v\f"

PIECE = 1 << 17
"""Characters that are read between two turns of others: half a millisecond."""


SampleRate = Annotated[int, Field(ge=MIN_PCM_RATE, le=MAX_PCM_RATE)]


LanguageWanted = Annotated[str, Field(min_length=1, max_length=35)]


async def decode_base64(text: str, name: str) -> bytes:
    """Base64, line breaks allowed; calls have their turns while a long text is read.

    Args:
        text: of a client.
        name: of the field that it came in.

    Raises:
        ApiError: 400, it is none.
    """
    decoded, left = bytearray(), b""
    try:
        for begin in range(0, len(text), PIECE):
            if begin:
                await asyncio.sleep(0)
            # Not as words: with a blank behind every character there are as many of them as characters.
            left += text[begin : begin + PIECE].encode("ascii").translate(None, _BLANKS)
            # What is padded is the last: `strict_mode` refuses whatever comes behind it, and what comes next is given
            # to it together with the end of this.
            whole = len(left) - len(left) % 4 - 4
            if whole > 0:
                if b"=" in left[:whole]:
                    raise ValueError("something comes behind the padding")
                decoded += binascii.a2b_base64(left[:whole], strict_mode=True)
                left = left[whole:]
        return bytes(decoded + binascii.a2b_base64(left, strict_mode=True))
    except (binascii.Error, ValueError):
        details = [{"field": name, "message": "not base64"}]
        raise ApiError(400, "invalid_base64", f"{name} is not base64 (with its padding)", details) from None
