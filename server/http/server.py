"""The HTTP server under the applications: handlers end with their clients, and what is no HTTP is told as JSON."""

import asyncio
import contextlib
import errno
import gc
import os
import resource
import socket
import time
from collections.abc import Collection, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import web

from server.addresses import listening_addresses, parse_address
from server.bounds import MAX_CONNECTIONS, MAX_CONNECTIONS_EACH, MAX_HEADER_BYTES, MAX_HEADERS
from server.http.connection_book import ConnectionBook
from server.http.errors import ApiError
from server.http.networks import network
from server.http.proxies import NONE, Proxies
from server.http.tls import Certificate, Gate
from server.http.upstream import Connection, Runner, listeners

log = structlog.get_logger(__name__)

IDLE_S = 75.0
"""A connection on which no whole request head has come for so long is closed; longer than proxies keep theirs."""

LINGER_S = 2.0
"""How long the rest of a body that nobody wants is read, so that the client gets to see the answer."""

ACCEPTED_AT_ONCE = 16
"""Connections that asyncio takes from the kernel in one go, before any of them can be given up."""

BACKLOG = 128
"""Connections that the kernel keeps for us meanwhile."""

FILES = 96
"""What else a server opens: stores, models, clients of other services, the journal."""

FEWEST_CONNECTIONS = 16

SETTLE_LOOK_S = 0.05

OLDER_COLLECTED_AFTER = 100
"""Collections of younger objects before one of all."""

SHED_LOG_S = 60.0
"""Shortest pause between two log records of connections that were given up."""


class _Connection(Connection):
    """One connection of a client, entered in the book of all."""

    def __init__(self, server: web.Server, book: "Book") -> None:
        super().__init__(server)
        self._book = book

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        _enter(self._book, self, transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._book.closed(self)
        super().connection_lost(exc)

    def request_began(self) -> None:
        self._book.busy(self)

    def request_ended(self) -> None:
        self._book.idle(self)

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


def _enter(book: "Book", connection: "_Connection | Gate", transport: asyncio.BaseTransport) -> bool:
    """Enter a connection; False where it has to go at once itself."""
    peer = transport.get_extra_info("peername")
    given_up = book.opened(connection, book.network_of(peer[0] if isinstance(peer, tuple) else None))
    if given_up is not None and given_up.transport is not None:
        given_up.transport.abort()
    return given_up is not connection


class Book(ConnectionBook["_Connection | Gate"]):
    """The connections of all ports of a process; says in the log when it has to give some up.

    Args:
        most: connections at once.
        most_each: of them, from one network.
        proxies: that many clients come through.
    """

    def __init__(
        self, most: int = MAX_CONNECTIONS, most_each: int = MAX_CONNECTIONS_EACH, proxies: Proxies = NONE
    ) -> None:
        super().__init__(most, most_each)
        self._proxies = proxies
        self._logged_at = float("-inf")

    def network_of(self, remote: str | None) -> str | None:
        """Whose connection one from an address is; None for a proxy's."""
        return None if self._proxies.trusts(parse_address(remote)) else network(remote)

    def opened(self, connection: "_Connection | Gate", network: str | None) -> "_Connection | Gate | None":
        """See `ConnectionBook`."""
        given_up = super().opened(connection, network)
        if given_up is not None and time.monotonic() - self._logged_at >= SHED_LOG_S:
            self._logged_at = time.monotonic()
            log.warning("too many connections, some are closed", network=network, open=len(self), closed=self.shed)
        return given_up


def affordable(connections: int, ports: int) -> int:
    """So many of these connections fit into the files that this process may open; raises that limit where it can.

    Args:
        connections: that are wanted.
        ports: that take them, each address counted.
    """
    # asyncio has taken some more by the time that those given up are closed: four turns of its loop.
    rest = FILES + 4 * ACCEPTED_AT_ONCE * ports
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < connections + rest:
        most = connections + rest
        soft = most if hard == resource.RLIM_INFINITY else min(hard, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < most:
            log.warning("few files may be opened, so few connections are taken", files=soft)
    return connections if soft == resource.RLIM_INFINITY else max(FEWEST_CONNECTIONS, min(connections, soft - rest))


class HttpRunner(Runner):
    """Runs an application with the bounds of this module; a handler is cancelled when its client hangs up.

    Args:
        app: the application.
        book: of the connections, shared by all ports of a process.
        certificate: for https; None for http.
    """

    def __init__(self, app: web.Application, book: Book | None = None, certificate: Certificate | None = None) -> None:
        kept = Book() if book is None else book
        self._gates: set[Gate] = set()

        def connect(server: web.Server) -> asyncio.Protocol:
            if certificate is None:
                return _Connection(server, kept)
            return Gate(certificate.context, opened, closed, lambda: _Connection(server, kept))

        def opened(gate: Gate) -> bool:
            self._gates.add(gate)
            assert gate.transport is not None
            return _enter(kept, gate, gate.transport)

        def closed(gate: Gate) -> None:
            self._gates.discard(gate)
            kept.closed(gate)

        super().__init__(
            app,
            connect,
            access_log=None,
            shutdown_timeout=2,
            handler_cancellation=True,
            keepalive_timeout=IDLE_S,
            lingering_time=LINGER_S,
            max_headers=MAX_HEADERS,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )

    async def cleanup(self) -> None:
        """Stop listening and end what is under way, handshakes too."""
        for gate in tuple(self._gates):
            if gate.transport is not None:
                gate.transport.abort()
        await super().cleanup()


class Doors:
    """The applications of a server on their ports.

    Args:
        host: address of all; "localhost" stands for both of its own.
        listening: applications, each with its port.
        connections: that all of them take at once, where the process may open so many.
        connections_each: of them, from one address (IPv6: /64).
        certificate: for https; None for http.
        plain: ports that speak http all the same.
        proxies: that stand in front; their connections are bounded with those of all.
    """

    def __init__(
        self,
        host: str,
        listening: Sequence[tuple[web.Application, int]],
        connections: int = MAX_CONNECTIONS,
        connections_each: int = MAX_CONNECTIONS_EACH,
        certificate: Certificate | None = None,
        plain: Collection[int] = (),
        proxies: Proxies = NONE,
    ) -> None:
        self._host = host
        self._scheme = "http" if certificate is None else "https"
        listeners = len(listening) * len(listening_addresses(host))
        book = self._book = Book(affordable(connections, listeners), connections_each, proxies)
        self._listening = [
            (HttpRunner(app, book, None if port in plain else certificate), port) for app, port in listening
        ]

    @property
    def apps(self) -> list[web.Application]:
        """The applications, in order."""
        return [runner.app for runner, _ in self._listening]

    def url(self, port: int) -> str:
        """How a browser on this machine reaches a port."""
        if self._host in ("localhost", "127.0.0.1", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
            return f"{self._scheme}://localhost:{port}"
        name = f"[{self._host}]" if ":" in self._host else self._host
        return f"{self._scheme}://{name}:{port}"

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
            await listen(runner, first_address, port)
            for address in others:
                with allowing_no_ipv6():
                    await listen(runner, address, port)

    async def settle(self, patience_s: float) -> None:
        """Wait for the requests in hand to be answered; those that come meanwhile are taken, too."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while self._book.at_work:  # noqa: ASYNC110 - each moment without one will do
                    await asyncio.sleep(SETTLE_LOOK_S)

    async def close(self) -> None:
        """Stop listening and end what is under way; applications that were never set up are left alone."""
        await asyncio.gather(*(runner.cleanup() for runner, _ in self._listening))


async def listen(runner: HttpRunner, address: str, port: int) -> None:
    """Take connections to a port.

    Raises:
        OSError: it cannot be bound.
    """
    site = web.TCPSite(runner, address, port, backlog=ACCEPTED_AT_ONCE)
    await site.start()
    for listener in listeners(site):
        # asyncio knows one number for what waits and for what is taken at once.
        with socket.socket(fileno=os.dup(listener.fileno())) as same:
            same.listen(BACKLOG)


@contextmanager
def allowing_no_ipv6() -> Iterator[None]:
    """Go without an address whose IP version this machine lacks; one that is taken is an error all the same."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise


def settled_memory() -> None:
    """Keep the collector from walking through what was loaded, which stays for good, while a call waits.

    It walks through what came since and lives on ten times less often than it is used to: beside 200 clients that takes
    30 ms, in which no sound goes out.
    """
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, OLDER_COLLECTED_AFTER)
