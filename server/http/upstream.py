"""aiohttp where its public names do not reach: the only module that touches its private ones.

Each has a test (tests/server/http/test_upstream.py), and pyproject.toml bounds the version.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import StreamReader, hdrs, web
from aiohttp.web_protocol import RequestHandler
from yarl import URL

MOST_UNPACKED = 256 * 1024
"""Bytes that are unpacked of the rest of a body behind its answer."""


class Connection(RequestHandler):
    """One connection of a client, which says when a request is in hand.

    Args:
        server: what it belongs to.
    """

    def __init__(self, server: web.Server) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **server._kwargs)

    def request_began(self) -> None:
        """A request has come whole as far as its head."""

    def request_ended(self) -> None:
        """It is answered, or its handler is cancelled."""

    async def _handle_request(self, request: web.BaseRequest, *args: Any) -> tuple[web.StreamResponse, bool]:
        self.request_began()
        try:
            answered = await super()._handle_request(request, *args)
        finally:
            self.request_ended()
        if request.headers.get(hdrs.CONTENT_ENCODING):
            await self._leave_compressed(request.content)
        return answered

    async def _leave_compressed(self, body: StreamReader) -> None:
        """Read little more of a compressed body that is answered, and close once the client could see the answer.

        aiohttp reads on for `lingering_time` so that the answer is not lost with the connection, and unpacks what it
        reads, all that is there without a turn for others: a client's few kilobytes stopped the loop for seconds.
        """
        left = MOST_UNPACKED
        # What cannot be unpacked raises here, too, and was answered.
        with contextlib.suppress(TimeoutError, web.RequestPayloadError):
            async with asyncio.timeout(self._lingering_time):
                while left > 0 and not body.is_eof():
                    left -= len(await body.readany())
                    await asyncio.sleep(0)
                if not body.is_eof() and self.transport is not None:
                    self.transport.pause_reading()
                    await asyncio.sleep(self._lingering_time)
        if not body.is_eof():
            self._lingering_time = 0.0


class _Server(web.Server):
    connect: Callable[[web.Server], asyncio.Protocol]

    def __call__(self) -> RequestHandler:
        # The listener calls this for each connection, and takes any protocol.
        return self.connect(self)  # type: ignore[return-value]


class Runner(web.AppRunner):
    """An `AppRunner` whose connections are of a class of ours.

    Args:
        app: the application.
        connect: makes one, or what becomes one.
        options: of `AppRunner`.
    """

    def __init__(self, app: web.Application, connect: Callable[[web.Server], asyncio.Protocol], **options: Any) -> None:
        super().__init__(app, **options)
        self._connect = connect

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        server = _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,
        )
        server.connect = self._connect
        return server


async def handled_again(request: web.Request, path: str) -> web.StreamResponse:
    """What the application of a request answers when it is for another path, all middlewares included.

    Args:
        request: of which nothing was read.
        path: as it would stand in the request, escaped, with its query.
    """
    return await request.app._handle(request.clone(rel_url=URL(path, encoded=True)))


def listeners(site: web.BaseSite) -> Sequence[socket.socket]:
    """The sockets that a started site listens on."""
    server: Any = site._server
    sockets: Sequence[socket.socket] = server.sockets
    return sockets
