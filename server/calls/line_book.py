"""Whose calls are not connected yet: they are bounded for each client, and never keep another client out."""

from collections.abc import Iterable

from pipeline.call.state import State
from server.calls.call import Call


class LineBook:
    """Calls by the client who opened them. Each costs its opener one request, and the server a line for ten seconds.

    Args:
        most: half-open calls of one client.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._clients: dict[Call, str] = {}

    def enter(self, call: Call, client: str) -> None:
        """A client has opened a call."""
        self._clients[call] = client

    def leave(self, call: Call) -> None:
        """A call is over and has freed everything."""
        self._clients.pop(call, None)

    def too_many(self, client: str) -> bool:
        """Whether a client has to connect before it opens another call."""
        return len(self._half_open().get(client, ())) >= self.most

    def yielding(self, client: str | None) -> Call | None:
        """The call that makes room for one of another client, if any has to.

        It is the oldest half-open one of the client that has most of them, and at least two more than this client.
        """
        waiting = self._half_open()
        mine = len(waiting.pop(client or "", ()))
        most = max(waiting.values(), key=len, default=[])
        return most[0] if len(most) > mine + 1 else None

    @staticmethod
    def taken(calls: Iterable[Call]) -> int:
        """Lines that calls take: those that had to make room do not any more, whatever they still have to free."""
        return sum(call.ended_reason != "displaced" for call in calls)

    def _half_open(self) -> dict[str, list[Call]]:
        """Half-open calls by client, the oldest first."""
        found: dict[str, list[Call]] = {}
        for call, client in self._clients.items():
            if call.state is State.CONNECTING and call.ended_reason is None:
                found.setdefault(client, []).append(call)
        return found
