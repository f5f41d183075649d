"""WebSockets of clients: what many messages at once cost, and compressed ones."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import WSMsgType, web

from server.http.errors import errors_as_json
from server.http.server import HttpRunner
from server.http.web_socket import open_socket
from tests.server.http.raw import Others

MOST = 100_000
MANY = 2_000


@asynccontextmanager
async def served(came: list[int], others: Others) -> AsyncIterator[str]:
    """A server of one WebSocket: on each message the turns that others have had are written down, "end" is the last."""

    async def take(request: web.Request) -> web.StreamResponse:
        socket = await open_socket(request, MOST, "This is a WebSocket")
        # Until all of it is there, as a busy server finds it.
        await asyncio.sleep(0.3)
        async for message in socket:
            came.append(others.turns)
            if message.data == "end":
                break
        await socket.close()
        return socket

    app = web.Application(middlewares=[errors_as_json])
    app.router.add_get("/", take)
    runner = HttpRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        others.stop()
        await runner.cleanup()


async def test_messages_that_are_there_at_once_are_taken_with_turns_for_others() -> None:
    came: list[int] = []
    async with served(came, Others()) as url, aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        for _ in range(MANY):
            await socket.send_str("x")
        await socket.send_str("end")
        assert (await socket.receive()).type is WSMsgType.CLOSE
    assert len(came) == MANY + 1
    assert came[-1] - came[0] >= MANY


async def test_pings_that_are_there_at_once_are_answered_with_turns_for_others() -> None:
    came: list[int] = []
    others = Others()
    async with (
        served(came, others) as url,
        aiohttp.ClientSession() as http,
        http.ws_connect(url, autoping=False) as socket,
    ):
        await socket.send_str("x")
        for _ in range(MANY):
            await socket.ping(b"p")
        await socket.send_str("end")
        answers = [await socket.receive() for _ in range(MANY + 1)]
    assert [each.type for each in answers] == [*[WSMsgType.PONG] * MANY, WSMsgType.CLOSE]
    assert answers[0].data == b"p"
    assert came[-1] - came[0] >= MANY


async def test_a_client_that_would_compress_is_not_let() -> None:
    async with (
        served([], Others()) as url,
        aiohttp.ClientSession() as http,
        http.ws_connect(url, compress=15) as socket,
    ):
        assert socket.compress == 0


async def test_a_message_that_is_too_long_ends_it() -> None:
    async with served([], Others()) as url, aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        await socket.send_str("x" * (MOST + 1))
        assert (await socket.receive()).data == 1009


async def test_a_request_for_none_is_told_so() -> None:
    async with served([], Others()) as url, aiohttp.ClientSession() as http, http.get(url) as response:
        assert response.status == 400
        assert (await response.json())["error"] == {"code": "websocket_expected", "message": "This is a WebSocket"}
