"""A call over WebRTC: the connections that it has one after the other, and its data channel."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Collection, Mapping
from typing import Any

from media.endpoint import EndpointFullError, MediaEndpoint
from media.offer import Offer
from media.peer import WebRtcPeer
from media.playout import Playout
from media.sdp import parse_offer
from media.sdp_fragment import IceFragment, build_fragment
from media.values import AudioFrame, IceCandidate, IceRestartError, PlayoutEvent, Speaker
from persistence.values import SessionKind
from pipeline.call.events import CallEvent
from pipeline.call.inputs import KeyPressed
from server.calls.call import Call, CallIdentity, CallOverError
from server.calls.channel_talk import Json, MakeTalk
from server.calls.message_pace import MessagePace
from server.calls.registry import CallRegistry, CallsFullError, DrainingError
from server.conversations.beginnings import Beginning

EARLY_EVENTS = 500
"""Events kept until the data channel stands; the oldest go first."""

TOO_FAST = "You say more than a call takes in; what comes until you slow down is left out, and then the call ends"

DELIBERATE = frozenset({"hangup", "dtls_closed", "bye"})
"""Ways in which a connection ends because the far end wanted it."""


async def open_webrtc(
    calls: CallRegistry,
    offer: str,
    beginning: Beginning | None = None,
    client: str | None = None,
    make_talk: MakeTalk | None = None,
    identity: CallIdentity | None = None,
    **options: Any,
) -> tuple[Call, str]:
    """Take a call over WebRTC.

    Args:
        calls: that it is to be one of.
        offer: SDP.
        make_talk: makes what is spoken on the data channel; None for what Morgan's own clients speak there.
        beginning, client, identity, options: as in `CallRegistry.reserve`.

    Returns:
        The call and the SDP answer.

    Raises:
        CallsFullError: the server is full or going down.
        media.values.InvalidOfferError: the offer cannot be answered.
    """
    async with calls.reserve(beginning, client, identity, **options) as call:
        call.resumable = make_talk is None
        line = WebRtcLine(call, calls.endpoint, calls.lost_grace_s, make_talk or calls.make_talk)
        try:
            call.put_on(line)
            answer = await line.connect(offer)
            line.begin()
        except EndpointFullError as error:
            raise CallsFullError(str(error)) from None
        except CallOverError:
            raise DrainingError from None
    return call, answer


class WebRtcLine:
    """Implements `server.calls.line.Line`: owns the peers of a call, of which there are two at most.

    One carries the call. An offer for another connection makes a candidate, which takes over once it is connected;
    until then, and if that never happens, the call goes on over the first. A later offer takes the candidate's place.
    Events go to the connection that carries the call; a candidate that has taken over is told those since its offer.
    Each connection has a `_Connection` of its own, so that what an old one still says is not taken for the new one's.

    Args:
        call: that is on this line.
        endpoint: the media port.
        lost_grace_s: how long a vanished caller is waited for.
        make_talk: makes what is spoken on the data channel.

    Attributes:
        talk: what is spoken on the data channel.
    """

    kind: SessionKind = "call"

    def __init__(self, call: Call, endpoint: MediaEndpoint, lost_grace_s: float, make_talk: MakeTalk) -> None:
        self._call = call
        self._endpoint = endpoint
        self._lost_grace_s = lost_grace_s
        self._playout = Playout()
        self._carrying: _Connection | None = None
        self._candidate: _Connection | None = None
        self._answering = asyncio.Lock()
        self._leaving: dict[WebRtcPeer, asyncio.Task[None]] = {}
        self._closed = False
        self._pace = MessagePace(time.monotonic())
        self.talk = make_talk(call, self.put)
        self._early: deque[Json] = deque(maxlen=EARLY_EVENTS)
        self._grace: asyncio.TimerHandle | None = None

    @property
    def speaker(self) -> Speaker:
        """See `Line`."""
        return self._playout

    @property
    def peers(self) -> Collection[WebRtcPeer]:
        """See `Line`."""
        return [*(c.peer for c in (self._carrying, self._candidate) if c is not None), *self._leaving]

    def begin(self) -> None:
        """The first offer was answered: the call begins.

        Raises:
            CallOverError: it has ended meanwhile.
        """
        self._call.begin()
        self.talk.begin()

    async def connect(self, offer: str) -> str:
        """Answer an offer: the first, one for a new connection of the same call, or another one of a connection that
        there is. Returns the answer.

        Raises:
            CallOverError: the call has ended, perhaps while this went on; no peer is left.
            media.values.InvalidOfferError: the offer cannot be answered.
            media.values.IceRestartError: it begins ICE anew on a connection that does not stand.
            media.endpoint.EndpointFullError: the media port takes no more.
        """
        async with self._answering:
            self._check_open()
            parsed = parse_offer(offer)  # One that cannot be answered costs the candidate nothing.
            known = self._connection_of(parsed)
            if known is not None:
                await known.peer.renegotiate(parsed)
                return known.peer.answer
            await self._drop_candidate()
            connection = _Connection(self, self._call)
            try:
                connection.peer = await self._endpoint.answer(offer, connection, self._playout, self._call.recording)
            except BaseException:
                if self._carrying is None:
                    self._call.end_soon("failed")
                raise
            if self._closed:
                self._leave(connection.peer, "hangup")
                self._check_open()
            self._candidate = connection
            return connection.peer.answer

    async def add_candidates(self, candidates: list[IceCandidate]) -> None:
        """Add what trickled in, to the newest connection.

        Raises:
            CallOverError: the call has ended.
        """
        self._check_open()
        newest = self._newest
        if newest is not None:
            await newest.peer.add_candidates(candidates)

    @property
    def _newest(self) -> "_Connection | None":
        return self._candidate or self._carrying

    def _connection_of(self, offer: Offer) -> "_Connection | None":
        """The connection that an offer is another one of."""
        for connection in (self._candidate, self._carrying):
            if connection is not None and offer.is_of_the_same_connection_as(connection.peer.offer):
                return connection
        return None

    @property
    def ice_tag(self) -> str:
        """Names the ICE session of the newest connection, as an entity tag (RFC 9725 section 4.3.1)."""
        newest = self._newest
        return f'"{newest.peer.local_ice[0]}"' if newest is not None else '""'

    def restarts_ice(self, fragment: IceFragment) -> bool:
        """Whether a fragment has other credentials than the newest connection."""
        newest = self._newest
        return newest is not None and fragment.ufrag is not None and fragment.ufrag != newest.peer.ice_ufrag

    async def restart_ice(self, fragment: IceFragment) -> str:
        """Begin ICE anew on the newest connection, as its far end does; returns our fragment.

        Raises:
            CallOverError: the call has ended.
            media.values.IceRestartError: the connection does not stand.
        """
        async with self._answering:
            self._check_open()
            newest = self._newest
            if newest is None or fragment.ufrag is None or fragment.password is None:
                raise IceRestartError("There is no connection whose ICE could be restarted: offer a new one")
            peer = newest.peer
            await peer.restart_ice(fragment.ufrag, fragment.password)
            await peer.add_candidates(list(fragment.candidates))
            return build_fragment(*peer.local_ice, peer.offer.sections[peer.offer.audio_index].mid, peer.candidates)

    def tell(self, event: CallEvent) -> None:
        """See `Line`."""
        self.talk.tell(event)

    def stats(self) -> Mapping[str, float | None]:
        """See `Line`."""
        connection = self._carrying or self._candidate
        stats = connection.peer.stats() if connection else None
        return {name: getattr(stats, name) for name in stats.__slots__} if stats else {}

    async def close(self, reason: str) -> None:
        """See `Line`. The connections stay, for their last statistics."""
        self._closed = True
        self._cancel_grace()
        with self._call.failing():  # the peers are still to be closed
            self.talk.close()
        for connection, why in ((self._carrying, reason), (self._candidate, "replaced")):
            if connection is not None:
                self._leave(connection.peer, why)
        await self._left()

    async def _drop_candidate(self) -> None:
        """Make room: a call never holds more than two places of the media port, however often it is asked."""
        candidate, self._candidate = self._candidate, None
        if candidate is not None:
            self._leave(candidate.peer, "replaced")
        await self._left()

    async def _left(self) -> None:
        if self._leaving:
            await asyncio.wait(self._leaving.values())

    def _leave(self, peer: WebRtcPeer, reason: str) -> None:
        """Close a peer without being waited for."""
        task = asyncio.create_task(peer.close(reason), name="webrtc-leave")
        self._leaving[peer] = task
        task.add_done_callback(lambda _: self._leaving.pop(peer, None))

    def _check_open(self) -> None:
        if self._closed:
            raise CallOverError("the call has ended")

    def put(self, message: Json) -> None:
        """Tell the connection that carries the call.

        Where that is lost, or about to go, it is kept for a later one.
        """
        hears = self._carrying is not None and self._carrying.channel_open and self._grace is None
        if hears:
            self._deliver(message)
        if not hears or self._candidate is not None:
            self._early.append(message)

    def _deliver(self, message: Json) -> None:
        if self._carrying is None or not self._carrying.peer.send_message(json.dumps(message)):
            self._call.record.events_dropped += 1

    def _deliver_early(self) -> None:
        while self._early:
            self._deliver(self._early.popleft())

    # From the connections --------------------------------------------------------------------------------------------

    def on_connected(self, connection: "_Connection") -> None:
        """The candidate stands, and carries the call from now on."""
        if connection is not self._candidate or self._closed:
            return
        before, self._carrying, self._candidate = self._carrying, connection, None
        if before is not None:
            self._leave(before.peer, "replaced")
        self._cancel_grace()
        self._call.on_connected()

    def on_channel(self, connection: "_Connection") -> None:
        """Events can be sent: greet the client, then tell what it missed."""
        if connection is not self._carrying:
            return
        connection.channel_open = True
        with self._call.failing():  # else it would be the event loop's, which logs it, and the call would go on
            for message in self.talk.greeting():
                self._deliver(message)
            self._deliver_early()

    def on_message(self, text: str) -> None:
        """The client said something on the data channel."""
        if self._pace.take(len(text), time.monotonic()):
            with self._call.failing():  # else it would be SCTP's, to which it is one more malformed packet
                self.talk.receive(text)
        elif self._pace.flooded:
            self._call.end_soon("flooded")
        elif self._pace.refused == 1:
            self.talk.refuse("rate_limit_exceeded", TOO_FAST)

    def on_playout(self, connection: "_Connection", event: PlayoutEvent) -> None:
        """The outgoing audio started or stopped."""
        round_trip = connection.peer.stats().round_trip_s
        if round_trip is not None:
            # Half the way there and back, and the far end's own buffer.
            self._call.delayed_by(round_trip / 2 + 0.04)
        self._call.on_playout(event)

    def on_key(self, connection: "_Connection", key: str) -> None:
        """A key of a telephone was pressed."""
        if connection is self._carrying:
            self._call.actor.post(KeyPressed(key))

    def on_lost(self, connection: "_Connection") -> None:
        """The caller has fallen silent on the wire: wait for them to come back, for a while."""
        if connection is self._carrying:
            self._wait_for_caller()

    def on_found(self, connection: "_Connection") -> None:
        """They are back."""
        if connection is self._carrying:
            self._cancel_grace()
            if connection.channel_open and self._candidate is None:
                self._deliver_early()

    def on_closed(self, connection: "_Connection", reason: str) -> None:
        """A connection is gone; whether the call is depends on which, and why."""
        if self._closed:
            return
        if connection is self._candidate:
            self._candidate = None
            if self._carrying is None:
                self._call.end_soon(reason)
            elif self._grace is None:
                self._early.clear()  # All of it was told where the call still is.
        elif connection is self._carrying:
            # Its statistics can still be asked for. A caller who is about to move has not hung up.
            moving = self._candidate is not None or self._answering.locked()
            if reason in DELIBERATE and not moving:
                self._call.end_soon(reason)
            else:
                self._wait_for_caller()

    def _wait_for_caller(self) -> None:
        if self._grace is None and not self._closed:
            self._grace = asyncio.get_running_loop().call_later(self._lost_grace_s, self._give_up)

    def _give_up(self) -> None:
        self._grace = None
        self._call.end_soon("lost")

    def _cancel_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None


class _Connection:
    """Listens to one connection of a call (`media.values.PeerListener`).

    Attributes:
        peer: that it listens to; set before anything can be heard.
        channel_open: whether messages can be sent.
    """

    peer: WebRtcPeer

    def __init__(self, line: WebRtcLine, call: Call) -> None:
        self._line = line
        self._call = call
        self.channel_open = False

    def on_connected(self) -> None:
        self._line.on_connected(self)

    def on_audio(self, frame: AudioFrame) -> None:
        if self._line._carrying is self:
            self._call.on_audio(frame)

    def on_channel_open(self) -> None:
        self._line.on_channel(self)

    def on_message(self, text: str) -> None:
        self._line.on_message(text)

    def on_playout(self, event: PlayoutEvent) -> None:
        self._line.on_playout(self, event)

    def on_key(self, key: str) -> None:
        self._line.on_key(self, key)

    def on_lost(self) -> None:
        self._line.on_lost(self)

    def on_found(self) -> None:
        self._line.on_found(self)

    def on_closed(self, reason: str) -> None:
        self._line.on_closed(self, reason)
