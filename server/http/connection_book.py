"""Which connections a server keeps: bounded for all clients together and for each network, before any key is seen."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Connection = TypeVar("Connection", bound=Hashable)


class _Waiting(Generic[Connection]):
    """Connections with no request in hand, in the order in which they are given up."""

    def __init__(self) -> None:
        self._silent: OrderedDict[Connection, None] = OrderedDict()
        self._between: OrderedDict[Connection, None] = OrderedDict()

    def add(self, connection: Connection, *, silent: bool) -> None:
        (self._silent if silent else self._between)[connection] = None

    def remove(self, connection: Connection) -> None:
        self._silent.pop(connection, None)
        self._between.pop(connection, None)

    def __len__(self) -> int:
        return len(self._silent) + len(self._between)

    def first(self) -> Connection | None:
        return next(iter(self._silent or self._between), None)


@dataclass(slots=True)
class _Network(Generic[Connection]):
    """The connections of one client, as far as its address tells."""

    open: int = 0
    waiting: _Waiting[Connection] = field(default_factory=_Waiting)


class ConnectionBook(Generic[Connection]):
    """Decides which connection has to go when there are too many; takes no time that grows with their number.

    One on which nothing was ever asked goes first, then one between two requests, each time the oldest: an address that
    opens sockets and says nothing displaces itself. One with a request in hand (a WebSocket, a stream) is never given
    up; when all are such, the newcomer is.

    Args:
        most: connections at once.
        most_each: of them, from one network (see `server.http.networks.network`).

    Attributes:
        shed: connections that were given up so far, newcomers too.
    """

    def __init__(self, most: int, most_each: int) -> None:
        self.most = most
        self.most_each = most_each
        self.shed = 0
        self._networks: dict[str | None, _Network[Connection]] = {}
        self._of: dict[Connection, str | None] = {}
        self._waiting: _Waiting[Connection] = _Waiting()

    def __len__(self) -> int:
        return len(self._of)

    @property
    def at_work(self) -> int:
        """Connections with a request in hand."""
        return len(self._of) - len(self._waiting)

    def opened(self, connection: Connection, network: str | None) -> Connection | None:
        """Enter a new connection; returns one to be closed, which may be this one, and is entered no longer.

        Args:
            connection: the new one.
            network: that it comes from; None for proxies, which stand for many clients: `most` alone bounds theirs.
        """
        self._of[connection] = network
        client = self._networks.setdefault(network, _Network())
        client.open += 1
        # Itself still stands in none of the queues: it is to have its chance before those that had theirs.
        given_up: Connection | None = None
        if network is not None and client.open > self.most_each:
            given_up = client.waiting.first() or connection
        elif len(self._of) > self.most:
            given_up = self._waiting.first() or connection
        self._waits(connection, silent=True)
        if given_up is not None:
            self.shed += 1
            self.closed(given_up)
        return given_up

    def busy(self, connection: Connection) -> None:
        """A request has come on it."""
        if connection in self._of:
            self._waiting.remove(connection)
            self._networks[self._of[connection]].waiting.remove(connection)

    def idle(self, connection: Connection) -> None:
        """The request in hand is answered."""
        self._waits(connection, silent=False)

    def closed(self, connection: Connection) -> None:
        """It is gone. Saying so again does nothing."""
        if connection not in self._of:
            return
        self.busy(connection)
        network = self._of.pop(connection)
        client = self._networks[network]
        client.open -= 1
        if not client.open:
            del self._networks[network]

    def _waits(self, connection: Connection, *, silent: bool) -> None:
        if connection in self._of:
            self._waiting.add(connection, silent=silent)
            self._networks[self._of[connection]].waiting.add(connection, silent=silent)
