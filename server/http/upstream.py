"""aiohttp where its public names do not reach: the only module that touches its private ones.

Each has a test (tests/server/http/test_upstream.py), and pyproject.toml bounds the version.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from yarl import URL


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

    async def _handle_request(self, *args: Any) -> tuple[web.StreamResponse, bool]:
        self.request_began()
        try:
            return await super()._handle_request(*args)
        finally:
            self.request_ended()


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
