"""A base URL that ends with a slash, before a path that begins with one."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from server.http.slashes import single_slashes


@pytest.fixture
async def port() -> AsyncIterator[int]:
    seen = web.AppKey("seen", list[str])

    @web.middleware
    async def noting(request: web.Request, handler: object) -> web.StreamResponse:
        request.app[seen].append(request.path)
        return await handler(request)  # type: ignore[operator]

    async def echo(request: web.Request) -> web.Response:
        told = {"id": request.match_info["id"], "query": dict(request.query), "body": await request.text()}
        return web.json_response({**told, "seen": request.app[seen]})

    async def talk(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str("hello")
        await socket.close()
        return socket

    app = web.Application(middlewares=[single_slashes, noting])
    app[seen] = []
    app.add_routes([web.post("/v1/things/{id}", echo), web.get("/ws", talk)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def test_a_body_arrives_and_all_that_looks_at_paths_sees_single_slashes(port: int) -> None:
    url = URL(f"http://127.0.0.1:{port}//v1///things/a%2Fb?q=x%20y//z", encoded=True)
    async with aiohttp.ClientSession() as http, http.post(url, data="body") as response:
        told = await response.json()
    assert told == {"id": "a/b", "query": {"q": "x y//z"}, "body": "body", "seen": ["/v1/things/a/b"]}


async def test_websockets_open_too(port: int) -> None:
    url = URL(f"http://127.0.0.1:{port}//ws", encoded=True)
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        assert (await socket.receive()).data == "hello"


async def test_what_is_not_there_is_not_there_with_slashes_either(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET //nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await reader.readline()).split()[1] == b"404"
    writer.close()
