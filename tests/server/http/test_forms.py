"""Forms: what they cost the event loop, and where they are too much of one."""

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import aclosing

import aiohttp
import pytest
from aiohttp import web

from server.bounds import MAX_FIELD, MAX_FORM_LINES, MAX_PARTS
from server.http.forms import form_parts
from server.transcription.uploads import read_upload
from tests.server.http.raw import Others, answer, post, served

FORM = "multipart/form-data; boundary=part"
FILE_HEAD = b'--part\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
END = b"\r\n--part--\r\n"

SEEN: list[web.Request] = []


async def fields(request: web.Request) -> web.StreamResponse:
    """What a form has, by name."""
    SEEN.append(request)
    async with aclosing(form_parts(request, lambda _: MAX_FIELD)) as parts:
        return web.json_response({part.name: len(part.data) async for part in parts})


async def upload(request: web.Request) -> web.StreamResponse:
    return web.json_response({"bytes": len((await read_upload(request)).data)})


def field(name: str, content: bytes = b"x", headers: bytes = b"") -> bytes:
    return b'--part\r\nContent-Disposition: form-data; name="%s"\r\n%s\r\n%s\r\n' % (name.encode(), headers, content)


def closing(body: bytes, encoding: str = "") -> bytes:
    packed = gzip.compress(body) if encoding else body
    named = f"Content-Encoding: {encoding}\r\n" if encoding else ""
    return post(f"Connection: close\r\n{named}Content-Length: {len(packed)}\r\n", packed, FORM)


async def test_a_form_is_read_field_by_field() -> None:
    async with served(fields) as port:
        told = await answer(port, closing(field("a", b"one") + field("b", b"two\r\nlines") + b"--part--\r\n"))
    assert told == (200, {"a": 3, "b": 10})


async def test_a_file_of_which_all_is_there_at_once_is_read_with_turns_for_others() -> None:
    turns = [0]

    async def read(request: web.Request) -> web.StreamResponse:
        begun = others.turns
        response = await upload(request)
        turns[0] = others.turns - begun
        return response

    others = Others()
    async with served(read) as port:
        told = await answer(port, closing(FILE_HEAD + bytes(8 << 20) + END, "gzip"))
    others.stop()
    assert told == (200, {"bytes": 8 << 20})
    # Of 128 pieces, 64 KiB each.
    assert turns[0] > 100


@pytest.mark.parametrize("line", [b"\n", b"\r\n", b"x\n", b"--par\n"])
async def test_lines_before_the_first_field_are_few(line: bytes) -> None:
    """They were all looked through, however many, and all that were there in one go."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(400):
            yield line * (65_536 // len(line))

    SEEN.clear()
    async with served(fields) as port, aiohttp.ClientSession() as http:
        headers = {"Content-Type": FORM}
        async with http.post(f"http://127.0.0.1:{port}/", data=endless(), headers=headers) as response:
            assert response.status == 400
            assert (await response.json())["error"]["code"] == "invalid_form"
    assert SEEN[0].content.total_bytes < 8 << 20


async def test_lines_are_read_with_turns_for_others() -> None:
    turns = [0]

    async def read(request: web.Request) -> web.StreamResponse:
        begun = others.turns
        response = await fields(request)
        turns[0] = others.turns - begun
        return response

    others = Others()
    async with served(read) as port:
        body = b"\n" * (MAX_FORM_LINES - 8) + field("a") + b"--part--\r\n"
        assert await answer(port, closing(body)) == (200, {"a": 1})
    others.stop()
    assert turns[0] >= MAX_FORM_LINES // 64 - 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"".join(field(f"f{number}") for number in range(MAX_PARTS + 1)) + b"--part--\r\n", 400, "invalid_form"),
        (b"".join(field("a") for _ in range(MAX_PARTS + 1)) + b"--part--\r\n", 400, "invalid_form"),
        (field("a", b"x" * (MAX_FIELD + 1)) + b"--part--\r\n", 413, "field_too_large"),
        (field("a")[:-3], 400, "invalid_form"),
        (b"", 400, "invalid_form"),
        (field("a", b"x", b"Content-Type: multipart/mixed; boundary=b\r\n"), 400, "invalid_form"),
        (field("a", b"x", b"H: x\r\n" * 20_000) + b"--part--\r\n", 400, None),
    ],
)
async def test_what_is_no_form_or_too_much_of_one_is_refused(body: bytes, status: int, code: str | None) -> None:
    async with served(fields) as port:
        got, told = await answer(port, closing(body))
    assert got == status
    assert code is None or told["error"]["code"] == code


async def test_a_form_without_a_boundary_is_refused() -> None:
    async with served(fields) as port:
        body = json.dumps({}).encode()
        request = post(f"Connection: close\r\nContent-Length: {len(body)}\r\n", body, "multipart/form-data")
        assert (await answer(port, request))[0] == 400
