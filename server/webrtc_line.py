"""A call over WebRTC: the connections that it has one after the other, and its data channel."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from media.endpoint import MediaEndpoint
from media.peer import WebRtcPeer
from media.values import IceCandidate, Pcm, PlayoutEvent, Speaker
from persistence.values import SessionKind
from pipeline.call.events import CallEvent
from pipeline.call.state import State
from server.call import Call
from server.realtime_client import RealtimeClient
from server.realtime_events import Json, RealtimeEvents

EARLY_EVENTS = 500
"""Events kept until the data channel stands; the oldest go first."""

DELIBERATE = frozenset({"hangup", "dtls_closed", "bye"})
"""Ways in which a connection ends because the far end wanted it."""


class WebRtcLine:
    """Implements `server.call.Line`. Each connection has a `_Connection` of its own, so that what an old one still says
    is not taken for the new one's.

    Args:
        call: that is on this line.
        endpoint: the media port.
        lost_grace_s: how long a vanished caller is waited for.
        spawn: runs what nobody waits for.
    """

    kind: SessionKind = "call"

    def __init__(
        self,
        call: Call,
        endpoint: MediaEndpoint,
        lost_grace_s: float,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._call = call
        self._endpoint = endpoint
        self._lost_grace_s = lost_grace_s
        self._spawn = spawn
        self._peer: WebRtcPeer | None = None
        self._connection: _Connection | None = None
        self._events = RealtimeEvents(call.id, call.options, call.model)
        self._client: RealtimeClient | None = None
        self._early: deque[Json] = deque(maxlen=EARLY_EVENTS)
        self._grace: asyncio.TimerHandle | None = None

    @property
    def speaker(self) -> Speaker:
        """See `Line`."""
        assert self._peer is not None
        return self._peer.speaker

    async def connect(self, offer: str) -> str:
        """Answer an offer: the first, or one for a new connection of the same call. Returns the answer.

        Raises:
            media.values.InvalidOfferError: the offer cannot be answered.
            media.endpoint.EndpointFullError: the media port takes no more.
        """
        connection, replaced = _Connection(self), self._connection
        before = self._peer
        playout = before.speaker if before else None
        peer = await self._endpoint.answer(offer, connection, playout, self._call.recording)
        self._peer, self._connection = peer, connection
        if before is not None:
            # Old connections go when a new one stands, or with the call.
            connection.replaces = [*(replaced.replaces if replaced else ()), before]
        else:
            self._call.begin(self)
            self._client = RealtimeClient(self._call.actor, self._events)
        return peer.answer

    async def add_candidates(self, candidates: list[IceCandidate]) -> None:
        """Add what trickled in, to the newest connection."""
        if self._peer is not None:
            await self._peer.add_candidates(candidates)

    def tell(self, event: CallEvent) -> None:
        """See `Line`."""
        for message in self._events.translate(event):
            self._send(message)

    def stats(self) -> Mapping[str, float | None]:
        """See `Line`."""
        stats = self._peer.stats() if self._peer else None
        return {name: getattr(stats, name) for name in stats.__slots__} if stats else {}

    async def close(self, reason: str) -> None:
        """See `Line`."""
        self._cancel_grace()
        if self._peer is not None:
            old = self._connection.replaces if self._connection else []
            await asyncio.gather(self._peer.close(reason), *(peer.close("replaced") for peer in old))

    def _send(self, message: Json) -> None:
        if self._connection is None or not self._connection.channel_open:
            self._early.append(message)
        elif self._peer is not None and not self._peer.send_message(json.dumps(message)):
            self._call.record.events_dropped += 1

    # From the connections --------------------------------------------------------------------------------------------

    def on_connected(self, connection: "_Connection") -> None:
        """A connection stands; the one before it is not needed any more."""
        for peer in connection.replaces:
            self._spawn(peer.close("replaced"))
        connection.replaces = []
        self._cancel_grace()
        self._call.on_connected()

    def on_audio(self, pcm: Pcm, at: float, missing: bool) -> None:
        """20 ms were heard."""
        self._call.on_audio(pcm, at, missing)

    def on_channel(self, connection: "_Connection") -> None:
        """Events can be sent: greet the client, then tell what it missed."""
        if connection is not self._connection:
            return
        connection.channel_open = True
        self._send(self._events.session())
        while self._early:
            self._send(self._early.popleft())

    def on_message(self, text: str) -> None:
        """The client said something on the data channel."""
        assert self._client is not None
        for message in self._client.receive(text):
            self._send(message)

    def on_playout(self, event: PlayoutEvent) -> None:
        """The outgoing audio started or stopped."""
        round_trip = self._peer.stats().round_trip_s if self._peer else None
        if round_trip is not None:
            # Half the way there and back, and the far end's own buffer.
            self._call.delayed_by(round_trip / 2 + 0.04)
        self._call.on_playout(event)

    def on_lost(self, connection: "_Connection") -> None:
        """The caller has fallen silent on the wire: wait for them to come back, for a while."""
        if connection is self._connection and self._grace is None and self._call.ended_reason is None:
            loop = asyncio.get_running_loop()
            self._grace = loop.call_later(self._lost_grace_s, self._give_up)

    def on_found(self, connection: "_Connection") -> None:
        """They are back."""
        if connection is self._connection:
            self._cancel_grace()

    def on_closed(self, connection: "_Connection", reason: str) -> None:
        """A connection is gone; whether the call is depends on why."""
        if connection is not self._connection or self._call.ended_reason is not None:
            return
        if reason in DELIBERATE or self._call.state is State.CONNECTING:
            self._call.end_soon(reason)
        else:
            self.on_lost(connection)

    def _give_up(self) -> None:
        self._grace = None
        self._call.end_soon("lost")

    def _cancel_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None


class _Connection:
    """Listens to one connection of a call (`media.values.PeerListener`)."""

    def __init__(self, line: WebRtcLine) -> None:
        self._line = line
        self.channel_open = False
        self.replaces: list[WebRtcPeer] = []

    def on_connected(self) -> None:
        self._line.on_connected(self)

    def on_audio(self, pcm: Pcm, at: float, missing: bool) -> None:
        self._line.on_audio(pcm, at, missing)

    def on_channel_open(self) -> None:
        self._line.on_channel(self)

    def on_message(self, text: str) -> None:
        self._line.on_message(text)

    def on_playout(self, event: PlayoutEvent) -> None:
        self._line.on_playout(event)

    def on_lost(self) -> None:
        self._line.on_lost(self)

    def on_found(self) -> None:
        self._line.on_found(self)

    def on_closed(self, reason: str) -> None:
        self._line.on_closed(self, reason)
