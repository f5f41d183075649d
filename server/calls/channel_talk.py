"""What is spoken on the data channel of a call: events of the Realtime API, or another protocol of another door."""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from pipeline.call.events import CallEvent
from server.realtime.session import RealtimeSession, Sink

Json: TypeAlias = dict[str, Any]


class ChannelTalk(Protocol):
    """One side of a conversation in some protocol, as the line of a call sees it."""

    def greeting(self) -> list[Json]:
        """What a connection is told first, once its channel stands."""

    def receive(self, text: str) -> None:
        """The client said something; whatever it is, the call goes on."""

    def tell(self, event: CallEvent) -> None:
        """Something happened in the call."""


MakeTalk: TypeAlias = Callable[[RealtimeSession, Callable[[Json], None]], ChannelTalk]
"""Makes it, of the call's session and of what sends a message to the client."""


class RealtimeTalk:
    """Implements `ChannelTalk`: events of the Realtime API.

    Args:
        session: of the call.
        sink: the client, as the session knows it.
    """

    def __init__(self, session: RealtimeSession, sink: Sink) -> None:
        self._session = session
        self._sink = sink
        session.sinks.append(sink)

    def greeting(self) -> list[Json]:
        """See `ChannelTalk`."""
        return [self._session.created()]

    def receive(self, text: str) -> None:
        """See `ChannelTalk`."""
        self._session.receive(text, self._sink)

    def tell(self, event: CallEvent) -> None:
        """See `ChannelTalk`: the session tells its sinks by itself."""
