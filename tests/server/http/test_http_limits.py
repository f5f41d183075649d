"""What the HTTP server puts up with: slow, long, broken and deep requests, and clients that leave."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from server.http.errors import read_body
from server.http.uninterrupted import to_the_end
from tests.server.http.raw import LIMIT, Others, answer, echo, post, served


async def test_a_body_that_does_not_come_is_told_and_let_go() -> None:
    async with served(patience_s=0.2) as port:
        status, body = await answer(port, post("Content-Length: 100\r\n", b'{"value": '))
    assert (status, body["error"]["code"]) == (408, "body_too_slow")


async def test_what_is_left_of_a_compressed_body_that_is_refused_is_not_unpacked() -> None:
    seen: list[web.Request] = []

    async def refuse(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        return await echo(request)

    bomb = gzip.compress(b" " * (64 << 20))
    async with served(refuse) as port:
        status, body = await answer(port, post(f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n", bomb))
    assert (status, body["error"]["code"]) == (413, "body_too_large")
    assert seen[0].content.total_bytes < 4 << 20


async def test_a_compressed_body_that_is_there_at_once_is_read_with_turns_for_others() -> None:
    turns = [0]

    async def read(request: web.Request) -> web.StreamResponse:
        begun = others.turns
        body = await read_body(request, 16 << 20)
        turns[0] = others.turns - begun
        return web.json_response({"bytes": len(body)})

    body = gzip.compress(bytes(8 << 20))
    others = Others()
    async with served(read) as port:
        head = f"Connection: close\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n"
        assert await answer(port, post(head, body)) == (200, {"bytes": 8 << 20})
    others.stop()
    # Of 512 pieces, 16 KiB each.
    assert turns[0] > 250


async def test_a_body_that_cannot_be_unpacked_is_answered_and_writes_no_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def deaf(_: web.Request) -> web.StreamResponse:
        return web.json_response({})

    broken = b"\x1f\x8b no gzip at all" * 50
    for handler, expected in ((echo, 400), (deaf, 200)):
        async with served(handler) as port:
            head = f"Content-Encoding: gzip\r\nContent-Length: {len(broken)}\r\n"
            assert (await answer(port, post(head, broken)))[0] == expected
    assert [record.message for record in caplog.records if record.exc_info] == []


async def test_a_connection_goes_on_behind_a_small_compressed_body_that_nobody_read() -> None:
    async def deaf(_: web.Request) -> web.StreamResponse:
        return web.json_response({})

    body = gzip.compress(bytes(9_000))
    request = post(f"Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\n", body)
    async with served(deaf) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.split()[1] == b"200"
            assert await reader.readexactly(2) == b"{}"
        writer.close()


async def test_a_body_that_comes_a_byte_at_a_time_is_too_slow() -> None:
    async with served(patience_s=0.2) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post("Content-Length: 100\r\n"))
        # Read while it is written: what is sent to a connection that was closed resets it, answer and all.
        told = asyncio.ensure_future(reader.readline())
        for _ in range(90):
            writer.write(b" ")
            await asyncio.wait({told}, timeout=0.02)
            if told.done():
                break
        assert (await told).split()[1] == b"408"
        writer.close()


async def test_a_body_that_comes_steadily_is_taken() -> None:
    async with served(patience_s=1.5) as port, aiohttp.ClientSession() as http:

        async def slowly() -> AsyncIterator[bytes]:
            yield b'{"value": "'
            for _ in range(10):
                yield b"x" * 2_000
                await asyncio.sleep(0.2)
            yield b'"}'

        headers = {"Content-Type": "application/json"}
        async with http.post(f"http://127.0.0.1:{port}/", data=slowly(), headers=headers) as response:
            assert response.status == 200
            assert len((await response.json())["value"]) == 20_000


async def test_a_body_is_bounded_whether_or_not_it_says_its_length() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 10_000

    async with served() as port, aiohttp.ClientSession() as http:
        for data in (b"x" * (LIMIT + 1), endless()):
            headers = {"Content-Type": "application/json"}
            async with http.post(f"http://127.0.0.1:{port}/", data=data, headers=headers) as response:
                assert response.status == 413
                assert str(LIMIT) in (await response.json())["error"]["message"]


@pytest.mark.parametrize(
    ("content_type", "status"),
    [("application/json", 200), ("application/problem+json", 200), ("text/plain", 415), ("multipart/form-data", 415)],
)
async def test_a_body_of_another_type_is_refused(content_type: str, status: int) -> None:
    async with served() as port, aiohttp.ClientSession() as http:
        headers = {"Content-Type": content_type}
        async with http.post(f"http://127.0.0.1:{port}/", data=b'{"value": 1}', headers=headers) as response:
            assert response.status == status


@pytest.mark.parametrize("bomb", [b'{"value": ' + b"[" * 10_000, b'{"value": ' + b'{"a":' * 8_000])
async def test_json_that_is_nested_without_end_is_no_json(bomb: bytes) -> None:
    async with served() as port, aiohttp.ClientSession() as http:
        headers = {"Content-Type": "application/json"}
        async with http.post(f"http://127.0.0.1:{port}/", data=bomb, headers=headers) as response:
            assert response.status == 400


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"NONSENSE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 10_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: a\r\n" % number for number in range(200)) + b"\r\n",
        post("Content-Encoding: gzip\r\nContent-Length: 5\r\n", b"abcde"),
        post("Transfer-Encoding: chunked\r\n", b"zz\r\n"),
    ],
)
async def test_what_is_no_http_is_told_as_json(request_bytes: bytes) -> None:
    async with served() as port:
        status, body = await answer(port, request_bytes)
    assert status == 400
    assert body["error"]["message"]


async def test_a_handler_ends_with_its_client_and_work_to_be_finished_goes_on() -> None:
    began, cancelled, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        began.set()
        await asyncio.sleep(0.3)
        finished.set()

    async def handler(_: web.Request) -> web.StreamResponse:
        try:
            await to_the_end(work())
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return web.Response()

    async with served(handler) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post("Content-Length: 0\r\n"))
        async with asyncio.timeout(5):
            await began.wait()
            writer.close()
            await cancelled.wait()
            assert not finished.is_set()
            await finished.wait()
