"""One call, whichever way its sound comes: the one owner of its actor, line, recording, memory and place."""

import asyncio
import contextlib
import secrets
import time
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from media.peer import WebRtcPeer
from media.recording import Recording
from media.values import AudioFrame, PlayoutChange, PlayoutEvent
from persistence.values import SessionKind
from pipeline.call.actor import BROKEN, CallActor
from pipeline.call.circumstances import Circumstances
from pipeline.call.context import Context
from pipeline.call.events import (
    CallEnded,
    CallEvent,
    CallFault,
    ShutdownAnnounced,
    StateChanged,
    TurnLatency,
    TurnUnclear,
)
from pipeline.call.inputs import AudioHeard, Connected, PlayoutDrained, PlayoutStarted, PlayoutStarved
from pipeline.call.options import CallOptions
from pipeline.call.replay.recorder import InputRecorder
from pipeline.call.state import State
from pipeline.engines.protocols import Engines
from server.bounds import MAX_INPUTS
from server.calls.call_memory import CallMemory
from server.calls.call_record import CallRecord
from server.calls.holdings import Holdings
from server.calls.line import Line
from server.conversations.beginnings import Beginning
from server.memory.door import MemoryDoor
from server.observability.metrics import Metrics
from server.version import version

log = structlog.get_logger(__name__)

PLAYOUT: dict[PlayoutChange, type[PlayoutStarted] | type[PlayoutDrained] | type[PlayoutStarved]] = {
    PlayoutChange.STARTED: PlayoutStarted,
    PlayoutChange.DRAINED: PlayoutDrained,
    PlayoutChange.STARVED: PlayoutStarved,
}


class CallOverError(Exception):
    """The call has ended, so that it takes neither a line nor a connection."""


@dataclass(frozen=True, slots=True)
class CallIdentity:
    """What a call is known by.

    Attributes:
        id: of the call.
        resume_token: lets its caller bring it onto a new connection.
    """

    id: str = field(default_factory=lambda: f"call_{uuid.uuid4().hex}")
    resume_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))


class CallHost(Protocol):
    """What a call has of the server that it is in (`server.calls.registry.CallRegistry`).

    Attributes:
        engines: shared by all calls.
        memory: where calls are written down.
        metrics: what is counted.
        longest_s: after which a call ends.
    """

    engines: Engines
    memory: MemoryDoor
    metrics: Metrics
    longest_s: float

    def engines_for(self, conversation_id: str) -> Engines:
        """The engines of one call."""

    def begun(self, call: "Call") -> None:
        """A call can be spoken on."""

    def heard(self, call: "Call", event: CallEvent) -> None:
        """Something happened in a call."""

    def answered(self, seconds: float) -> None:
        """A turn was answered, so long after its last sound."""

    def forget(self, call: "Call") -> None:
        """A call is over and all that it had is free."""


class Call:
    """One call, the owner of everything that is made for it.

    Whatever the call takes (`_holdings`) is freed by its end, the last first, each bounded in time and whether or not
    another fails. The end happens once, in a task of its own that no request can cancel, and everything that ends a
    call ends it through `end` or `end_soon`.

    Args:
        host: the server that it is in; told when the call is over, whatever came before.
        options: of the call.
        beginning: the conversation that it goes on with.
        identity: of a call that another process has begun; a new one if not given.

    Attributes:
        id: of the call, and of its session in memory.
        resume_token: lets the caller bring it onto a new connection.
        resumable: its client has the token, and knows what it is for: the process that follows can go on with it.
        recording: takes the sound of this call down; None where that is not wanted.
        line: what it is on; None before `put_on`.
        ended_reason: why it ended; None while it has not begun to end.
    """

    def __init__(
        self, host: CallHost, options: CallOptions, beginning: Beginning, identity: CallIdentity | None = None
    ) -> None:
        known = identity or CallIdentity()
        self.id, self.resume_token = known.id, known.resume_token
        self.resumable = False
        self.options = options
        self.record = CallRecord()
        self.ended_reason: str | None = None
        self.line: Line | None = None
        self._host = host
        self._beginning = beginning
        self._memory: CallMemory | None = None
        self._actor: CallActor | None = None
        self._holdings = Holdings(self.id, host.metrics.release_failed)
        self._ending: asyncio.Task[None] | None = None
        self.recording = self._begin_recording()

    def put_on(self, line: Line) -> None:
        """Give the call its line, which the call closes from now on.

        Raises:
            CallOverError: it has ended meanwhile.
        """
        self._check_open()
        self.line = line
        self._holdings.add("line", lambda reason: line.close(reason))

    def begin(self, longest_s: float | None = None) -> None:
        """The call can be spoken on, over its line.

        Args:
            longest_s: after which it ends; None for what holds for all.

        Raises:
            CallOverError: it has ended meanwhile.
        """
        self._check_open()
        assert self.line is not None
        host, options = self._host, self.options
        self._begin_memory(self.line.kind)
        engines = host.engines_for(options.conversation_id)
        circumstances = Circumstances(options.user_name, options.time_zone, time.time())
        context = Context(options.instructions, options.conversation_id, circumstances=circumstances)
        context.entries.extend(self._beginning.past)
        reminder = host.memory.reminder(options.user_id, context)
        recorder = self._begin_inputs(engines)
        actor = CallActor(options, engines, self.line.speaker, context, self._on_event, reminder, recorder)
        self._holdings.add("actor", lambda reason: actor.close(reason))
        self._actor = actor
        over = asyncio.get_running_loop().call_later(longest_s or host.longest_s, self.end_soon, "too_long")
        self._holdings.add("time", lambda _: over.cancel())
        host.begun(self)
        log.info("call opened", call_id=self.id, kind=self.kind)

    @property
    def has_begun(self) -> bool:
        """Whether it could ever be spoken on."""
        return self._actor is not None

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
    def engines(self) -> Engines:
        """As this call uses them."""
        return self._host.engines_for(self.options.conversation_id)

    @property
    def model(self) -> str:
        """Name of the language model."""
        return self._host.engines.llm.model

    def _begin_recording(self) -> Recording | None:
        """Take the sound of this call down from now on, where the server does that."""
        door = self._host.memory
        if door.memory is None:
            return None
        recording = door.recordings.begin(self.options.user_id, self._beginning.conversation_id, self.id)
        if recording is not None:
            self._holdings.add("recording", lambda _: recording.close())
        return recording

    def _begin_inputs(self, engines: Engines) -> InputRecorder | None:
        """Take down what the call's machine is told from now on, where that is asked for."""
        door, options = self._host.memory, self.options
        if door.memory is None or not options.record_inputs:
            return None
        file = door.recordings.begin_inputs(options.user_id, options.conversation_id, self.id)
        about = {
            "version": version(),
            "call_id": self.id,
            "began_at": datetime.now(tz=UTC).isoformat(timespec="seconds"),
            "engines": {role: {"name": each.name, "model": each.model} for role, each in engines.all().items()},
        }
        recorder = InputRecorder(file.add, about, MAX_INPUTS)

        async def finish(_: str) -> None:
            recorder.close()
            await file.close()

        self._holdings.add("inputs", finish)
        return recorder

    def _begin_memory(self, kind: SessionKind) -> None:
        """Write this call down from now on, where there is memory."""
        memory, options = self._host.memory.memory, self.options
        if memory is None:
            return
        writer = memory.begin_session(
            self.id,
            options.user_id,
            options.conversation_id,
            kind=kind,
            language=options.language or None,
            new=self._beginning.new,
        )
        kept = self._memory = CallMemory(memory, writer, self._host.engines.stt.model)
        self._holdings.add("memory", lambda reason: kept.end(reason, self._stats()))

    def _stats(self) -> dict[str, Any]:
        return {"duration_s": round(self.record.seconds(), 3), "counts": self.counts, "media": self._media()}

    # The end ---------------------------------------------------------------------------------------------------------

    async def end(self, reason: str) -> None:
        """Hang up; returns when all that the call had is free. Does not raise.

        A second end waits for the first one, whose reason stays.
        """
        await asyncio.shield(self.end_soon(reason))

    def end_soon(self, reason: str) -> "asyncio.Task[None]":
        """Hang up without waiting for it; returns the task that does it."""
        if self._ending is None:
            self.ended_reason = reason
            self._ending = asyncio.create_task(self._end(reason), name=f"end of {self.id}")
        return self._ending

    async def _end(self, reason: str) -> None:
        try:
            await self._holdings.free(reason)
        finally:
            self._host.forget(self)
        if self.has_begun:
            seconds = round(self.record.seconds(), 1)
            log.info("call ended", call_id=self.id, reason=reason, seconds=seconds, **self.counts)

    def fail(self, error: Exception) -> None:
        """Code of this call raised outside of its actor, such as that which acts on what its client says.

        The call says sorry and ends, as it does for what its actor raises; one that ends already just ends.
        """
        if self._actor is not None and self.ended_reason is None:
            self._actor.fail(error)
        else:
            log.error("call failed", call_id=self.id, exc_info=error)
            self.end_soon(BROKEN)

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        """Do something for this call; what that raises is the call's failure, and goes no further."""
        try:
            yield
        except Exception as error:
            self.fail(error)

    def _check_open(self) -> None:
        if self.ended_reason is not None:
            raise CallOverError(f"the call has ended: {self.ended_reason}")

    @property
    def says_goodbye(self) -> bool:
        """Whether there is something to say before a restart ends it."""
        return self.has_begun and bool(self.options.shutdown_prompt)

    def announce_shutdown(self, within_s: float) -> None:
        """Tell the client that the server is about to go."""
        if self.has_begun:
            with self.failing():  # the others are still to be told
                self._on_event(ShutdownAnnounced(round(within_s, 3), self.resumable))

    # What can be asked of it -----------------------------------------------------------------------------------------

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
        """What the call is on: "call" (WebRTC), "ws", "realtime" or "telephone"."""
        return self.line.kind if self.line is not None else "call"

    @property
    def peers(self) -> Collection[WebRtcPeer]:
        """The WebRTC connections that are its own."""
        return self.line.peers if self.line is not None else ()

    def _media(self) -> dict[str, float | None]:
        return dict(self.line.stats()) if self.line is not None else {}

    # From the conversation -------------------------------------------------------------------------------------------

    def _on_event(self, event: CallEvent) -> None:
        self.record.add(event)
        self._host.heard(self, event)
        if self._memory is not None:
            self._memory.add(event)
        if self.line is not None:
            self.line.tell(event)
            if isinstance(event, StateChanged):
                self.line.speaker.rest(event.state is State.LISTENING)
        if isinstance(event, TurnLatency):
            self._host.answered(event.voice_to_voice_ms / 1000)
            self._log_latency(event)
        if isinstance(event, CallFault):
            log.warning("something went wrong in a call", call_id=self.id, code=event.code, problem=event.message)
        if isinstance(event, TurnUnclear):
            log.info("turn unclear", call_id=self.id, item_id=event.item_id, voice_s=round(event.voice_s, 2))
        if isinstance(event, CallEnded):
            self.end_soon(event.reason)

    def _log_latency(self, turn: TurnLatency) -> None:
        stages_ms = {name: round(ms, 1) for name, ms in turn.stages.items()}
        whole = round(turn.voice_to_voice_ms, 1)
        log.info("turn answered", call_id=self.id, item_id=turn.item_id, voice_to_voice_ms=whole, stages_ms=stages_ms)

    # From the line ---------------------------------------------------------------------------------------------------

    def on_connected(self) -> None:
        """Sound flows both ways."""
        self.actor.post(Connected())

    def on_audio(self, frame: AudioFrame) -> None:
        """20 ms were heard, see `media.values.PeerListener.on_audio`."""
        self.actor.post(AudioHeard(frame.pcm, frame.at, frame.missing))

    def on_playout(self, event: PlayoutEvent) -> None:
        """The outgoing audio started or stopped."""
        self.actor.post(PLAYOUT[event.change](event.at, event.position))

    def delayed_by(self, seconds: float) -> None:
        """So long what goes out now takes to the user's ear."""
        self.actor.network_delay_s = seconds
