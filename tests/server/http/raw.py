"""A server of one route, raw requests to it, and a count of what else its event loop gets to do."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from pydantic import BaseModel, JsonValue

from server.http.body_deadline import in_time
from server.http.errors import errors_as_json
from server.http.operation import operation
from server.http.server import HttpRunner

LIMIT = 50_000


class Anything(BaseModel):
    """A body."""

    value: JsonValue


@operation("test", body=Anything, body_limit=LIMIT)
async def echo(_: web.Request, body: Anything) -> web.Response:
    return web.json_response(body.model_dump())


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(handler: Handler = echo, patience_s: float = 20.0) -> AsyncIterator[int]:
    """The port of a server with one route, POST /."""
    app = web.Application(middlewares=[errors_as_json, in_time(patience_s)])
    app.router.add_post("/", handler)
    runner = HttpRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def answer(port: int, request: bytes) -> tuple[int, dict[str, Any]]:
    """Status and JSON of the answer to raw bytes; the server closes the connection behind it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        body = await reader.readexactly(length)
        assert await reader.read() == b""
    writer.close()
    return int(head.split()[1]), json.loads(body)


def post(headers: str, body: bytes = b"", content_type: str = "application/json") -> bytes:
    return f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n{headers}\r\n".encode() + body


class Others:
    """What else the event loop has to do: counts its turns."""

    def __init__(self) -> None:
        self.turns = 0
        self._turn()

    def _turn(self) -> None:
        self.turns += 1
        self._handle = asyncio.get_running_loop().call_soon(self._turn)

    def stop(self) -> None:
        self._handle.cancel()
