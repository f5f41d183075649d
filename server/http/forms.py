"""Multipart forms (RFC 7578), part by part: bounded in number, in bytes and in lines, with turns for others between."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import cast

from aiohttp import BodyPartReader, MultipartReader, StreamReader, web
from multidict import CIMultiDictProxy

from server.bounds import MAX_FORM_LINES, MAX_PARTS
from server.http.errors import ApiError
from server.http.held_bytes import Hold, hold_of

LINES_A_TURN = 64
"""Lines that are read before others have their turn."""


@dataclass(frozen=True, slots=True)
class FormPart:
    """A field of a form.

    Attributes:
        name: of the field; "" where it has none.
        headers: of the part.
        data: its content.
    """

    name: str
    headers: CIMultiDictProxy[str]
    data: bytes


def field_too_large(name: str, limit: int) -> ApiError:
    """The refusal of a field that is too long."""
    return ApiError(413, "field_too_large", f"{name[:64]}: at most {limit} bytes")


async def form_parts(
    request: web.Request,
    limit_of: Callable[[str], int],
    too_large: Callable[[str, int], ApiError] = field_too_large,
) -> AsyncGenerator[FormPart, None]:
    """The fields of a request's form; what they hold is counted, and given back with the request.

    Args:
        request: with a body of the type multipart/form-data.
        limit_of: bytes that a field of a name may have; raises ApiError where there must be none of it.
        too_large: the refusal of a field that has more.

    Raises:
        ApiError: 400 no form, or too many fields; 413 a field is too long.
        TooMuchHeldError: too much is in hand.
    """
    hold = hold_of(request)
    try:
        parts = MultipartReader(request.headers, cast(StreamReader, _Lines(request.content)))
        count = 0
        while (part := await parts.next()) is not None:
            count += 1
            if count > MAX_PARTS or not isinstance(part, BodyPartReader):
                raise ApiError(400, "invalid_form", f"The form may have at most {MAX_PARTS} plain fields")
            name = part.name or ""
            limit = limit_of(name)
            content = await _content(part, limit, hold)
            if content is None:
                raise too_large(name, limit)
            yield FormPart(name, part.headers, content)
    except (ValueError, AssertionError, asyncio.IncompleteReadError, RuntimeError):
        raise ApiError(400, "invalid_form", "The body is no complete multipart/form-data with a boundary") from None


async def _content(part: BodyPartReader, limit: int, hold: Hold) -> bytes | None:
    """What a field has in it; None where it is longer than it may be."""
    content = bytearray()
    while chunk := await part.read_chunk(65_536):
        hold.more(len(chunk))
        content += chunk
        if len(content) > limit:
            return None
        # All of a compressed body can be there at once; others have their turn in between.
        await asyncio.sleep(0)
    return bytes(content)


class _Lines:
    """A body whose lines are counted.

    A form has few: its boundaries and headers. aiohttp looks through all that come before the first boundary, however
    many, and all that are there in one go.

    Args:
        content: the body.
    """

    def __init__(self, content: StreamReader) -> None:
        self._content = content
        self._lines = 0
        self.read = content.read
        self.at_eof = content.at_eof
        self.unread_data = content.unread_data

    async def readline(self, *, max_line_length: int | None = None) -> bytes:
        """The next line; raises ApiError where there were too many."""
        self._lines += 1
        if self._lines > MAX_FORM_LINES:
            raise ApiError(400, "invalid_form", "The form has more lines around its fields than any form needs")
        if self._lines % LINES_A_TURN == 0:
            await asyncio.sleep(0)
        return await self._content.readline(max_line_length=max_line_length)
