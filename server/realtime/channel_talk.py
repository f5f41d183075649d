"""Events of the Realtime API on the data channel of a call, and what other protocols share that act on its session."""

from collections.abc import Callable

from pipeline.call.events import CallEvent
from server.calls.call import Call
from server.calls.channel_talk import ChannelTalk, MakeTalk
from server.realtime.abilities import abilities_of
from server.realtime.errors import RealtimeError
from server.realtime.items import Json
from server.realtime.session import RealtimeSession
from server.realtime.session_config import SessionConfig


class SessionTalk:
    """The part of a `server.calls.channel_talk.ChannelTalk` that keeps a Realtime session.

    Args:
        session: of the call.

    Attributes:
        session: of the call; a sideband joins it.
    """

    def __init__(self, session: RealtimeSession) -> None:
        self.session = session

    def begin(self) -> None:
        """See `ChannelTalk`."""
        self.session.begin()

    def tell(self, event: CallEvent) -> None:
        """See `ChannelTalk`: the session tells its sinks."""
        self.session.tell(event)

    def close(self) -> None:
        """See `ChannelTalk`."""
        self.session.close()


class RealtimeTalk(SessionTalk):
    """Implements `ChannelTalk` and `server.realtime.ends.Sink`: the session's events, as they are.

    Args:
        session: of the call.
        send: sends an event to the client.
    """

    def __init__(self, session: RealtimeSession, send: Callable[[Json], None]) -> None:
        super().__init__(session)
        self._send = send
        session.sinks.append(self)

    def greeting(self) -> list[Json]:
        """See `ChannelTalk`."""
        return [self.session.created()]

    def receive(self, text: str) -> None:
        """See `ChannelTalk`."""
        self.session.receive(text, self)

    def refuse(self, code: str, why: str) -> None:
        """See `ChannelTalk`."""
        self.session.refuse(RealtimeError(code, why), None, self)

    def put(self, message: Json) -> None:
        """See `Sink`."""
        self._send(message)

    def over(self) -> None:
        """See `Sink`: the channel is closed with the call."""


def channel_session(call: Call, config: SessionConfig | None) -> RealtimeSession:
    """The session of a call whose sound is media.

    Args:
        call: that it belongs to.
        config: that a client of the Realtime API wants; None for one that knows Morgan, and is told its own events.
    """
    wanted = config or SessionConfig.of_call(abilities_of(call.engines), call.options)
    return RealtimeSession(call, wanted, knows_morgan=config is None)


def realtime_talk(config: SessionConfig | None = None) -> MakeTalk:
    """Makes the `RealtimeTalk` of a call.

    Args:
        config: as in `channel_session`.
    """

    def make(call: Call, send: Callable[[Json], None]) -> ChannelTalk:
        return RealtimeTalk(channel_session(call, config), send)

    return make
