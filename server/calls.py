"""The calls of this process: opened, found, taken up on a new connection, hung up."""

import asyncio
import contextlib
import hmac
import json
import secrets
import time
import uuid
from collections import Counter, deque
from dataclasses import replace
from typing import Any

import structlog

from media.endpoint import EndpointFullError, MediaEndpoint
from media.peer import WebRtcPeer
from media.recording import Recording
from media.values import Pcm, PlayoutChange, PlayoutEvent
from pipeline.call.actor import CallActor
from pipeline.call.context import Context
from pipeline.call.events import CallEvent
from pipeline.call.inputs import AudioHeard, Connected, PlayoutDrained, PlayoutStarted, PlayoutStarved
from pipeline.call.options import CallOptions
from pipeline.call.state import State
from pipeline.engines.protocols import Engines
from server.beginnings import Beginning
from server.call_memory import CallMemory
from server.call_record import CallRecord
from server.memory_door import MemoryDoor
from server.metrics import Metrics
from server.realtime_client import RealtimeClient
from server.realtime_events import Json, RealtimeEvents
from server.speech.cache import CachedSpeech

log = structlog.get_logger(__name__)

EARLY_EVENTS = 500
"""Events kept until the data channel stands; the oldest go first."""

DELIBERATE = frozenset({"hangup", "dtls_closed", "bye"})
"""Ways in which a connection ends because the far end wanted it."""


PLAYOUT: dict[PlayoutChange, type[PlayoutStarted] | type[PlayoutDrained] | type[PlayoutStarved]] = {
    PlayoutChange.STARTED: PlayoutStarted,
    PlayoutChange.DRAINED: PlayoutDrained,
    PlayoutChange.STARVED: PlayoutStarved,
}


class CallsFullError(Exception):
    """No further call can be taken now."""


class Call:
    """One call: its actor, the connection it has now, and its record.

    Also the listener of its peers (`media.values.PeerListener`), each through a `_Line` of its own, so that what an
    old connection still says is not taken for the new one's.
    """

    def __init__(self, registry: "CallRegistry", options: CallOptions, beginning: Beginning) -> None:
        self.id = f"call_{uuid.uuid4().hex}"
        self.resume_token = secrets.token_urlsafe(24)
        self.options = options
        self.record = CallRecord()
        self.ended_reason: str | None = None
        self.peer: WebRtcPeer | None = None
        self._registry = registry
        self._beginning = beginning
        self._memory: CallMemory | None = None
        self._recording: Recording | None = None
        self._actor: CallActor | None = None
        self._line: _Line | None = None
        self._events = RealtimeEvents(self.id, options, registry.engines.llm.model)
        self._client: RealtimeClient | None = None
        self._early: deque[Json] = deque(maxlen=EARLY_EVENTS)
        self._grace: asyncio.TimerHandle | None = None

    @property
    def state(self) -> State:
        """What the call is doing."""
        return self._actor.state if self._actor else State.CONNECTING

    async def connect(self, offer: str) -> str:
        """Answer an offer: the first, or one for a new connection of the same call. Returns the answer."""
        line, replaced = _Line(self), self._line
        before = self.peer
        if before is None:
            self._recording = self._recorded()
        playout = before.speaker if before else None
        peer = await self._registry.endpoint.answer(offer, line, playout, self._recording)
        self.peer, self._line = peer, line
        if self._actor is None:
            engines = self._registry.engines_for(self.options.conversation_id)
            context = Context(self.options.instructions, self.options.conversation_id)
            context.entries.extend(self._beginning.past)
            self._memory = self._remembered()
            reminder = self._registry.memory.reminder(self.options.user_id, context)
            self._actor = CallActor(self.options, engines, peer.speaker, context, self._on_event, reminder)
            self._client = RealtimeClient(self._actor, self._events)
        if before is not None:
            # Old connections go when a new one stands, or with the call.
            line.replaces = [*(replaced.replaces if replaced else ()), before]
        return peer.answer

    def _remembered(self) -> CallMemory | None:
        """Where this call is written down, if anywhere."""
        memory, options = self._registry.memory.memory, self.options
        if memory is None:
            return None
        writer = memory.begin_session(
            self.id,
            options.user_id,
            options.conversation_id,
            language=options.language,
            new=self._beginning.new,
        )
        return CallMemory(memory, writer, self._registry.engines.stt.model)

    def _recorded(self) -> Recording | None:
        """What takes the sound of this call down, if anything."""
        door, options = self._registry.memory, self.options
        if door.memory is None:
            return None
        return door.recordings.begin(options.user_id, self._beginning.conversation_id, self.id)

    async def end(self, reason: str) -> None:
        """Hang up. Doing it again does nothing."""
        if self.ended_reason is not None:
            return
        self.ended_reason = reason
        self._cancel_grace()
        if self._actor is not None:
            await self._actor.close(reason)
        if self.peer is not None:
            old = self._line.replaces if self._line else []
            await asyncio.gather(self.peer.close(reason), *(peer.close("replaced") for peer in old))
        if self._recording is not None:
            self._recording.close()
        if self._memory is not None:
            stats = {"duration_s": round(self.record.seconds(), 3), "counts": self.counts, "media": self._media()}
            self._memory.end(reason, stats)
        self._registry.forget(self, reason)
        log.info("call ended", call_id=self.id, reason=reason, seconds=round(self.record.seconds(), 1), **self.counts)

    @property
    def counts(self) -> dict[str, int]:
        """The machine's counters."""
        return dict(self._actor.machine.counts) if self._actor else {}

    def describe(self) -> dict[str, Any]:
        """The call as `GET /api/calls/{id}` shows it."""
        return {
            "call_id": self.id,
            "user_id": self.options.user_id,
            "conversation_id": self.options.conversation_id,
            "state": self.state.value,
            **self.record.describe(),
            "counts": self.counts,
            "media": self._media(),
        }

    def _media(self) -> dict[str, Any]:
        stats = self.peer.stats() if self.peer else None
        return {name: getattr(stats, name) for name in stats.__slots__} if stats else {}

    # From the conversation -------------------------------------------------------------------------------------------

    def _on_event(self, event: CallEvent) -> None:
        self.record.add(event)
        self._registry.metrics.call_event(event)
        if self._memory is not None:
            self._memory.add(event)
        for message in self._events.translate(event):
            self._send(message)
        if self.state is State.ENDED and self.ended_reason is None:
            self._registry.spawn(self.end(self.record.end_reason or "hangup"))

    def _send(self, message: Json) -> None:
        if self._line is None or not self._line.channel_open:
            self._early.append(message)
        elif self.peer is not None and not self.peer.send_message(json.dumps(message)):
            self.record.events_dropped += 1

    # From the connection ---------------------------------------------------------------------------------------------

    def on_line_connected(self, line: "_Line") -> None:
        """A connection stands; the one before it is not needed any more."""
        for peer in line.replaces:
            self._registry.spawn(peer.close("replaced"))
        line.replaces = []
        self._cancel_grace()
        assert self._actor is not None
        self._actor.post(Connected())

    def on_line_audio(self, pcm: Pcm, at: float) -> None:
        """20 ms were heard."""
        assert self._actor is not None
        self._actor.post(AudioHeard(pcm, at))

    def on_line_channel(self, line: "_Line") -> None:
        """Events can be sent: greet the client, then tell what it missed."""
        if line is not self._line:
            return
        line.channel_open = True
        self._send(self._events.session())
        while self._early:
            self._send(self._early.popleft())

    def on_line_message(self, text: str) -> None:
        """The client said something on the data channel."""
        assert self._client is not None
        for message in self._client.receive(text):
            self._send(message)

    def on_line_playout(self, event: PlayoutEvent) -> None:
        """The outgoing audio started or stopped."""
        assert self._actor is not None
        round_trip = self.peer.stats().round_trip_s if self.peer else None
        if round_trip is not None:
            # Half the way there and back, and the far end's own buffer.
            self._actor.machine.network_delay_s = round_trip / 2 + 0.04
        self._actor.post(PLAYOUT[event.change](event.at, event.position))

    def on_line_lost(self, line: "_Line") -> None:
        """The caller has fallen silent on the wire: wait for them to come back, for a while."""
        if line is self._line and self._grace is None and self.ended_reason is None:
            loop = asyncio.get_running_loop()
            self._grace = loop.call_later(self._registry.lost_grace_s, self._give_up)

    def on_line_found(self, line: "_Line") -> None:
        """They are back."""
        if line is self._line:
            self._cancel_grace()

    def on_line_closed(self, line: "_Line", reason: str) -> None:
        """A connection is gone; whether the call is depends on why."""
        if line is not self._line or self.ended_reason is not None:
            return
        if reason in DELIBERATE or self.state is State.CONNECTING:
            self._registry.spawn(self.end(reason))
        else:
            self.on_line_lost(line)

    def _give_up(self) -> None:
        self._grace = None
        self._registry.spawn(self.end("lost"))

    def _cancel_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None


class _Line:
    """Listens to one connection of a call (`media.values.PeerListener`)."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.channel_open = False
        self.replaces: list[WebRtcPeer] = []

    def on_connected(self) -> None:
        self._call.on_line_connected(self)

    def on_audio(self, pcm: Pcm, at: float) -> None:
        self._call.on_line_audio(pcm, at)

    def on_channel_open(self) -> None:
        self._call.on_line_channel(self)

    def on_message(self, text: str) -> None:
        self._call.on_line_message(text)

    def on_playout(self, event: PlayoutEvent) -> None:
        self._call.on_line_playout(event)

    def on_lost(self) -> None:
        self._call.on_line_lost(self)

    def on_found(self) -> None:
        self._call.on_line_found(self)

    def on_closed(self, reason: str) -> None:
        self._call.on_line_closed(self, reason)


class CallRegistry:
    """All calls of this process.

    Args:
        engines: shared by them.
        endpoint: the media port.
        memory: where calls are written down.
        metrics: what is counted.
        defaults: options of calls that do not say otherwise.
        capacity: calls at once.
        lost_grace_s: how long a vanished caller is waited for.
    """

    def __init__(
        self,
        engines: Engines,
        endpoint: MediaEndpoint,
        memory: MemoryDoor,
        metrics: Metrics,
        defaults: CallOptions,
        capacity: int,
        lost_grace_s: float,
    ) -> None:
        self.engines = engines
        self.endpoint = endpoint
        self.memory = memory
        self.metrics = metrics
        self.capacity = capacity
        self.lost_grace_s = lost_grace_s
        self.draining = False
        self.total = 0
        self.messages = 0
        self._defaults = defaults
        self._past: Counter[str] = Counter()
        self._calls: dict[str, Call] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def active(self) -> list[Call]:
        """The calls that are open."""
        return list(self._calls.values())

    @property
    def defaults(self) -> CallOptions:
        """Options of calls that do not say otherwise."""
        return self._defaults

    async def open(self, offer: str, beginning: Beginning | None = None, **options: Any) -> tuple[Call, str]:
        """Take a call.

        Args:
            offer: SDP.
            beginning: the conversation that it goes on with; a new one if not given.
            options: fields of `CallOptions` that differ from the defaults; None values do not.

        Returns:
            The call and the SDP answer.

        Raises:
            CallsFullError: the server is full or going down.
            media.values.InvalidOfferError: the offer cannot be answered.
        """
        if self.draining:
            raise CallsFullError("This server is shutting down")
        if len(self._calls) >= self.capacity:
            self.metrics.call_refused()
            raise CallsFullError(f"All {self.capacity} lines are busy")
        beginning = beginning or Beginning()
        given = {name: value for name, value in options.items() if value is not None}
        given["conversation_id"] = beginning.conversation_id
        call = Call(self, replace(self._defaults, **given), beginning)
        try:
            # Reserved before the first await, so that offers at the same time cannot pass the bound together.
            self._calls[call.id] = call
            answer = await call.connect(offer)
        except EndpointFullError as error:
            raise CallsFullError(str(error)) from None
        finally:
            if call.peer is None:
                del self._calls[call.id]
        self.total += 1
        self.metrics.call_opened()
        self._empty.clear()
        log.info("call opened", call_id=call.id)
        return call, answer

    def engines_for(self, conversation_id: str) -> Engines:
        """The engines of one call: what the voice says goes from its cache when the conversation is deleted."""
        tts = self.engines.tts
        return replace(self.engines, tts=tts.of(conversation_id)) if isinstance(tts, CachedSpeech) else self.engines

    def find(self, call_id: str) -> Call | None:
        """An open call by its id."""
        return self._calls.get(call_id)

    @staticmethod
    def may_resume(call: Call, token: str) -> bool:
        """Whether a token is the call's, in constant time."""
        return hmac.compare_digest(call.resume_token.encode(), token.encode())

    def counts(self) -> dict[str, int]:
        """Counters of the machines of all calls, open and past."""
        summed = self._past.copy()
        for call in self.active:
            summed.update(call.counts)
        return dict(summed)

    def forget(self, call: Call, reason: str) -> None:
        """A call has ended."""
        if self._calls.pop(call.id, None) is not None:
            self._past.update(call.counts)
            self.messages += call.record.messages
            self.metrics.call_ended(reason, call.record.seconds())
        if not self._calls:
            self._empty.set()

    def spawn(self, work: Any) -> None:
        """Run something that nobody waits for, and keep hold of it."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, patience_s: float) -> None:
        """Take no more calls, and wait for the open ones to end."""
        self.draining = True
        started = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._empty.wait()
        log.info("drained", seconds=round(time.monotonic() - started, 1), calls_left=len(self._calls))

    async def close(self) -> None:
        """End all calls."""
        self.draining = True
        await asyncio.gather(*(call.end("shutdown") for call in self.active), return_exceptions=True)
        await asyncio.gather(*self._tasks, return_exceptions=True)
