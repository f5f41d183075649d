"""One call, whichever way its sound comes: its actor, the line that it is on, its record, and what is kept of it."""

import secrets
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from media.recording import Recording
from media.values import Pcm, PlayoutChange, PlayoutEvent, Speaker
from persistence.values import SessionKind
from pipeline.call.actor import CallActor
from pipeline.call.context import Context
from pipeline.call.events import CallEvent, StateChanged, TurnLatency, TurnUnclear
from pipeline.call.inputs import AudioHeard, Connected, PlayoutDrained, PlayoutStarted, PlayoutStarved
from pipeline.call.options import CallOptions
from pipeline.call.state import State
from server.beginnings import Beginning
from server.call_memory import CallMemory
from server.call_record import CallRecord

if TYPE_CHECKING:
    from server.calls import CallRegistry

log = structlog.get_logger(__name__)

PLAYOUT: dict[PlayoutChange, type[PlayoutStarted] | type[PlayoutDrained] | type[PlayoutStarved]] = {
    PlayoutChange.STARTED: PlayoutStarted,
    PlayoutChange.DRAINED: PlayoutDrained,
    PlayoutChange.STARVED: PlayoutStarved,
}


class Line(Protocol):
    """What a call is on: brings the caller's sound and wishes to the call, and the call's sound and events to them.

    Attributes:
        kind: of the session in memory.
    """

    kind: SessionKind

    @property
    def speaker(self) -> Speaker:
        """The outgoing audio."""

    def tell(self, event: CallEvent) -> None:
        """Something happened; must return at once."""

    def stats(self) -> Mapping[str, float | None]:
        """Of the media, as of now."""

    async def close(self, reason: str) -> None:
        """The call is over: say goodbye and free everything."""


class Call:
    """One call.

    Attributes:
        id: of the call, and of its session in memory.
        resume_token: lets the caller bring it onto a new connection.
        recording: takes the sound of this call down; None where that is not wanted.
        line: what it is on; None before `begin`.
    """

    def __init__(self, registry: "CallRegistry", options: CallOptions, beginning: Beginning) -> None:
        self.id = f"call_{uuid.uuid4().hex}"
        self.resume_token = secrets.token_urlsafe(24)
        self.options = options
        self.record = CallRecord()
        self.ended_reason: str | None = None
        self.line: Line | None = None
        self._registry = registry
        self._beginning = beginning
        self._memory: CallMemory | None = None
        self._actor: CallActor | None = None
        self.recording = self._recorded()

    def begin(self, line: Line) -> None:
        """The call can be spoken on."""
        registry, options = self._registry, self.options
        engines = registry.engines_for(options.conversation_id)
        context = Context(options.instructions, options.conversation_id)
        context.entries.extend(self._beginning.past)
        self._memory = self._remembered(line.kind)
        reminder = registry.memory.reminder(options.user_id, context)
        self._actor = CallActor(options, engines, line.speaker, context, self._on_event, reminder)
        self.line = line

    @property
    def actor(self) -> CallActor:
        """The one writer of the call's state; there is one from `begin` on."""
        assert self._actor is not None
        return self._actor

    @property
    def state(self) -> State:
        """What the call is doing."""
        return self._actor.state if self._actor else State.CONNECTING

    @property
    def model(self) -> str:
        """Name of the language model."""
        return self._registry.engines.llm.model

    def _remembered(self, kind: SessionKind) -> CallMemory | None:
        """Where this call is written down, if anywhere."""
        memory, options = self._registry.memory.memory, self.options
        if memory is None:
            return None
        writer = memory.begin_session(
            self.id,
            options.user_id,
            options.conversation_id,
            kind=kind,
            language=options.language or None,
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
        if self._actor is not None:
            await self._actor.close(reason)
        if self.line is not None:
            await self.line.close(reason)
        if self.recording is not None:
            self.recording.close()
        if self._memory is not None:
            stats = {"duration_s": round(self.record.seconds(), 3), "counts": self.counts, "media": self._media()}
            self._memory.end(reason, stats)
        self._registry.forget(self, reason)
        log.info("call ended", call_id=self.id, reason=reason, seconds=round(self.record.seconds(), 1), **self.counts)

    def end_soon(self, reason: str) -> None:
        """Hang up without being waited for."""
        if self.ended_reason is None:
            self._registry.spawn(self.end(reason))

    @property
    def counts(self) -> dict[str, int]:
        """The machine's counters."""
        return dict(self._actor.machine.counts) if self._actor else {}

    def describe(self) -> dict[str, Any]:
        """The call as `GET /api/calls/{id}` shows it."""
        return {
            "call_id": self.id,
            "kind": self.kind,
            "user_id": self.options.user_id,
            "conversation_id": self.options.conversation_id,
            "state": self.state.value,
            **self.record.describe(),
            "counts": self.counts,
            "media": self._media(),
        }

    @property
    def kind(self) -> SessionKind:
        """What the call is on: "call" (WebRTC) or "ws"."""
        return self.line.kind if self.line is not None else "call"

    def _media(self) -> dict[str, float | None]:
        return dict(self.line.stats()) if self.line is not None else {}

    # From the conversation -------------------------------------------------------------------------------------------

    def _on_event(self, event: CallEvent) -> None:
        self.record.add(event)
        self._registry.metrics.call_event(event)
        if self._memory is not None:
            self._memory.add(event)
        if self.line is not None:
            self.line.tell(event)
            if isinstance(event, StateChanged):
                self.line.speaker.rest(event.state is State.LISTENING)
        if isinstance(event, TurnLatency):
            self._registry.answered(event.voice_to_voice_ms / 1000)
            self._log_latency(event)
        if isinstance(event, TurnUnclear):
            log.info("turn unclear", call_id=self.id, item_id=event.item_id, voice_s=round(event.voice_s, 2))
        if self.state is State.ENDED:
            self.end_soon(self.record.end_reason or "hangup")

    def _log_latency(self, turn: TurnLatency) -> None:
        stages_ms = {name: round(ms, 1) for name, ms in turn.stages.items()}
        whole = round(turn.voice_to_voice_ms, 1)
        log.info("turn answered", call_id=self.id, item_id=turn.item_id, voice_to_voice_ms=whole, stages_ms=stages_ms)

    # From the line ---------------------------------------------------------------------------------------------------

    def on_connected(self) -> None:
        """Sound flows both ways."""
        self.actor.post(Connected())

    def on_audio(self, pcm: Pcm, at: float, missing: bool) -> None:
        """20 ms were heard, see `media.values.PeerListener.on_audio`."""
        self.actor.post(AudioHeard(pcm, at, missing))

    def on_playout(self, event: PlayoutEvent) -> None:
        """The outgoing audio started or stopped."""
        self.actor.post(PLAYOUT[event.change](event.at, event.position))

    def delayed_by(self, seconds: float) -> None:
        """So long what goes out now takes to the user's ear."""
        self.actor.machine.network_delay_s = seconds
