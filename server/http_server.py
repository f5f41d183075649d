"""The HTTP server under the applications: handlers end with their clients, and what is no HTTP is told as JSON."""

import asyncio
import errno
import gc
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from server.addresses import listening_addresses
from server.errors import ApiError

log = structlog.get_logger(__name__)

IDLE_S = 75.0
"""A connection on which no whole request head has come for so long is closed; longer than proxies keep theirs."""

LINGER_S = 2.0
"""How long the rest of a body that nobody wants is read, so that the client gets to see the answer."""

MAX_HEADERS = 64
MAX_LINE_BYTES = 8190
"""Of the request line and of each header."""


class _Connection(RequestHandler):
    """One connection of a client."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What did not come as far as a handler: the parser's errors, mostly."""
        if status >= 500:
            log.error("request failed outside of its handler", path=request.path, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the response has begun already, so no error can be sent")
        code = HTTPStatus(status).phrase.lower().replace(" ", "_")
        told = (message or HTTPStatus(status).phrase).strip().splitlines()[0].rstrip(":")
        response = ApiError(status, code, told).response()
        response.force_close()
        return response


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=asyncio.get_running_loop(), **self._kwargs)


class HttpRunner(web.AppRunner):
    """Runs an application with the bounds of this module; a handler is cancelled when its client hangs up."""

    def __init__(self, app: web.Application) -> None:
        super().__init__(
            app,
            access_log=None,
            shutdown_timeout=2,
            handler_cancellation=True,
            keepalive_timeout=IDLE_S,
            lingering_time=LINGER_S,
            max_headers=MAX_HEADERS,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
        )

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,
        )


class Doors:
    """The applications of a server on their ports.

    Args:
        host: address of all; "localhost" stands for both of its own.
        listening: applications, each with its port.
    """

    def __init__(self, host: str, listening: Sequence[tuple[web.Application, int]]) -> None:
        self._host = host
        self._listening = [(HttpRunner(app), port) for app, port in listening]

    @property
    def apps(self) -> list[web.Application]:
        """The applications, in order."""
        return [runner.app for runner, _ in self._listening]

    def url(self, port: int) -> str:
        """How a browser on this machine reaches a port."""
        if self._host in ("localhost", "127.0.0.1", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
            return f"http://localhost:{port}"
        return f"http://[{self._host}]:{port}" if ":" in self._host else f"http://{self._host}:{port}"

    async def open(self, first: Iterable[Coroutine[Any, Any, None]] = ()) -> None:
        """Set the applications up, do some work side by side, and listen only then.

        Raises:
            OSError: a port cannot be bound.
            Exception: the first that the work raised.
        """
        work = [asyncio.ensure_future(each) for each in first]
        try:
            for runner, _ in self._listening:
                await runner.setup()
            await asyncio.gather(*work)
        except BaseException:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            raise
        first_address, *others = listening_addresses(self._host)
        for runner, port in self._listening:
            await web.TCPSite(runner, first_address, port).start()
            for address in others:
                with allowing_no_ipv6():
                    await web.TCPSite(runner, address, port).start()

    async def close(self) -> None:
        """Stop listening and end what is under way; applications that were never set up are left alone."""
        await asyncio.gather(*(runner.cleanup() for runner, _ in self._listening))


@contextmanager
def allowing_no_ipv6() -> Iterator[None]:
    """Go without an address whose IP version this machine lacks; one that is taken is an error all the same."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise


def settled_memory() -> None:
    """Keep the collector from walking through what was loaded, which stays for good, while a call waits."""
    gc.collect()
    gc.freeze()
