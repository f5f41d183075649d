"""A Realtime session on a call in virtual time: the real session and the real call machine, engines with set delays."""

import json
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Annotated, Any

from openai.types.realtime import RealtimeServerEvent
from pydantic import Field, TypeAdapter

from pipeline.call.effects import Effect, Emit, Generate
from pipeline.call.events import TokenUsage
from pipeline.call.inputs import Input, ReplyTextEnded, ToolsAsked
from pipeline.call.options import CallOptions
from pipeline.engines.protocols import ToolCall, Voice
from pipeline.tools.toolbox import NO_TOOLS
from server.realtime.abilities import Abilities
from server.realtime.items import Json
from server.realtime.sent_audio import SentAudio
from server.realtime.session import RealtimeSession
from server.realtime.session_config import SessionConfig
from tests.pipeline.call.simulation import Say, Simulation
from tests.server.realtime.lifecycle import Lifecycle

__all__ = ["Say", "Talk"]

CHECKED: TypeAdapter[Any] = TypeAdapter(Annotated[RealtimeServerEvent, Field(discriminator="type")])
"""What openai-python takes for an event. (Found by its type: to try each of fifty forms takes thirty times as long.)"""

FRAME_MS = 20.0

VOICES = (Voice("joe", "Joe", "en", "piper"), Voice("af_nova", "Nova", "en", "kokoro"))

ABILITIES = Abilities("a-model", "whisper-base", True, VOICES, "joe")


class Virtual(Simulation):
    """A call in virtual time that tells a session of its events; the language model counts its tokens."""

    talk: "Talk | None" = None
    calls: tuple[ToolCall, ...] = ()
    """What the next generation asks of tools, in place of words."""
    length: bool = False
    """Whether the language model stops at its bound."""

    def state_name(self) -> str:
        """What the call is doing."""
        return self.machine.state.value

    def post(self, message: Input) -> None:
        if isinstance(message, ReplyTextEnded) and not message.failed:
            message = replace(message, usage=TokenUsage(21, 13), cut_short=self.length)
        super().post(message)

    def _carry_out(self, effect: Effect) -> None:
        super()._carry_out(effect)
        if isinstance(effect, Emit) and self.talk is not None:
            self.talk.tell(effect.event)

    def _generate(self, work: Generate) -> None:
        if self.calls:
            self.asked.append(work)
            asked, self.calls = self.calls, ()
            self._at(self.delays.llm_first, ToolsAsked(work.reply, asked, TokenUsage(30, 7)), work.group)
            return
        super()._generate(work)

    def _frame(self) -> None:
        before = self.playout.position
        super()._frame()
        if self.talk is not None and self.playout.position > before:
            self.talk.sent(before)


@dataclass
class Port:
    """Takes the audio of a WebSocket; nothing of it ever waits."""

    audio: SentAudio
    appended: list[str]

    def append(self, audio: str) -> None:
        self.appended.append(audio)

    def settle(self) -> bool:
        return True

    def clear(self) -> None:
        self.appended.clear()

    def heard_ms(self, item_id: str) -> int | None:
        return self.audio.length_ms(item_id)

    def at(self, item_id: str, sent_ms: int) -> int:
        return self.audio.at(item_id, sent_ms)


def _failed(error: Exception) -> None:
    """What would end the call."""
    raise error


class Talk:
    """A client of a session.

    Args:
        script: what the user says.
        over: "socket" or "webrtc".
        options: of the call.
        settings: of the simulation.
    """

    def __init__(self, *script: Say, over: str = "socket", options: CallOptions | None = None, **settings: Any) -> None:
        self.options = options or CallOptions(tools=NO_TOOLS)
        self.call = Virtual(options=self.options, script=list(script), **settings)
        self.told: list[Json] = []
        self.lifecycle = Lifecycle()
        self.port = Port(SentAudio(), [])
        self._over = over
        self._began_at = 0
        self._sounding = ""
        actor = SimpleNamespace(post=self.call.post, machine=self.call.machine)
        id_ = "call_" + "0" * 32
        call: Any = SimpleNamespace(id=id_, options=self.options, actor=actor, engines=None, fail=_failed)
        config = SessionConfig.of_call(ABILITIES, replace(self.options))
        self.session = RealtimeSession(call, config, port=self.port if over == "socket" else None)
        self.tell = self.session.tell
        self.session.sinks.append(self)
        self.call.talk = self
        self.session.begin()
        self.put(self.session.created())
        self.call.connect()

    def put(self, message: Json) -> None:
        """See `Sink`: whatever is told passes openai-python's types, and comes in its order."""
        CHECKED.validate_python(message, strict=True)
        told = json.loads(json.dumps(message))
        self.lifecycle.see(told)
        self.told.append(told)

    def over(self) -> None:
        """See `Sink`."""

    def sent(self, position: int) -> None:
        """A frame of the reply went out."""
        response = self.session.events.sounding
        if response is None or self._over != "socket":
            return
        if response.id != self._sounding:
            self._sounding, self._began_at = response.id, position
        self.port.audio.add(response.item_id, (position - self._began_at) / 24, FRAME_MS)
        for kind, fields in response.add_audio("AAAA"):
            self.session.put(self.session.events.event(kind, fields))

    def say(self, kind: str, **fields: Any) -> list[Json]:
        """Send an event; returns what is told at once."""
        before = len(self.told)
        self.session.receive(json.dumps({"type": kind, "event_id": "mine", **fields}), self)
        return self.told[before:]

    def update(self, **session: Any) -> list[Json]:
        """Change the session."""
        return self.say("session.update", session={"type": "realtime", **session})

    def turn_detection(self, detection: Json | None) -> list[Json]:
        return self.update(audio={"input": {"turn_detection": detection}})

    def type(self, text: str, **fields: Any) -> str:
        """Write something; returns the item's id."""
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        return str(self.say("conversation.item.create", item=item, **fields)[0]["item"]["id"])

    def run(self, seconds: float) -> "Talk":
        """Go on for some seconds of virtual time."""
        self.call.advance(seconds)
        return self

    def all(self, kind: str) -> list[Json]:
        """The events of a type."""
        return [event for event in self.told if event["type"] == kind]

    def one(self, kind: str) -> Json:
        """The only event of a type."""
        (event,) = self.all(kind)
        return event

    def kinds(self, since: int = 0) -> list[str]:
        """Types in order, those that come many times in a row once."""
        listed = [event["type"] for event in self.told[since:]]
        return [kind for index, kind in enumerate(listed) if index == 0 or kind != listed[index - 1]]

    def error(self) -> Json:
        """The last event, which is an error."""
        assert self.told[-1]["type"] == "error", self.told[-1]
        error: Json = self.told[-1]["error"]
        return error
