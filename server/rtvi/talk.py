"""One RTVI client on the data channel of its call."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

from pipeline.call.events import CallEnded, CallEvent, ReplyDone, ToolCalled
from server.realtime.channel_talk import SessionTalk
from server.realtime.errors import RealtimeError
from server.realtime.session import RealtimeSession
from server.rtvi.messages import (
    LABEL,
    AppendToContext,
    ClientMessage,
    ClientReady,
    DisconnectBot,
    FunctionResult,
    Keys,
    RtviError,
    RtviMessage,
    SendText,
    parse_message,
)
from server.rtvi.told import RtviEvents
from server.version import version

Json: TypeAlias = dict[str, Any]

PROTOCOL = "2.1.0"

PEER_LEFT: Json = {"type": "signalling", "message": {"type": "peerLeft"}}


class RtviTalk(SessionTalk):
    """Implements `server.calls.channel_talk.ChannelTalk`: the client's messages become events of the call's session,
    and the call's events messages. It has no turn taking of its own.

    Args:
        session: of the call; told what the client wants in the words of the Realtime API, as a sink of its own for
            what is wrong with that.
        send: sends a message.
        user_id: of the caller.
        hang_up: ends the call.
        now: the wall clock.
    """

    def __init__(
        self,
        session: RealtimeSession,
        send: Callable[[Json], None],
        user_id: str,
        hang_up: Callable[[], object],
        now: Callable[[], datetime] = lambda: datetime.now(tz=UTC),
    ) -> None:
        super().__init__(session)
        self._send = send
        self._hang_up = hang_up
        self._events = RtviEvents(user_id, now)
        self._asked: dict[str, bool] = {}
        self._results_due = False
        self._count = 0
        self._request: str | None = None

    # Out -------------------------------------------------------------------------------------------------------------

    def greeting(self) -> list[Json]:
        """See `ChannelTalk`: the client speaks first."""
        return []

    def tell(self, event: CallEvent) -> None:
        """See `ChannelTalk`."""
        super().tell(event)
        if isinstance(event, ToolCalled) and event.by_client:
            self._asked[event.call.id] = False
        for kind, data in self._events.translate(event):
            self._say(kind, data)
        if isinstance(event, ReplyDone):
            self._go_on()
        elif isinstance(event, CallEnded):
            self._send(PEER_LEFT)

    def _say(self, kind: str, data: Json, message_id: str | None = None) -> None:
        self._count += 1
        self._send({"label": LABEL, "type": kind, "id": message_id or f"m{self._count}", "data": data})

    def refuse(self, code: str, why: str) -> None:
        """See `ChannelTalk`; this protocol has no codes."""
        self._refuse(why, None)

    def put(self, message: Json) -> None:
        """See `server.realtime.ends.Sink`: of what the session tells this client alone, errors matter."""
        if message["type"] == "error":
            self._refuse(message["error"]["message"], self._request)

    def over(self) -> None:
        """See `Sink`."""

    def _refuse(self, why: str, message_id: str | None) -> None:
        if message_id is not None:
            self._say("error-response", {"error": why}, message_id)
        else:
            self._say("error", {"error": why, "fatal": False})

    # In --------------------------------------------------------------------------------------------------------------

    def receive(self, text: str) -> None:
        """See `ChannelTalk`."""
        try:
            message = parse_message(text)
            if message is not None:
                self._request = message.id
                self._apply(message)
        except RtviError as error:
            self._refuse(str(error), error.message_id)
        finally:
            self._request = None

    def _apply(self, message: RtviMessage) -> None:
        match message:
            case ClientReady():
                about = {"library": "morgan", "library_version": version()}
                self._say("bot-ready", {"version": PROTOCOL, "about": about}, message.id)
            case DisconnectBot():
                self._hang_up()
            case SendText():
                options = message.data.options
                self._write("user", message.data.content, now=options.run_immediately, aloud=options.audio_response)
            case AppendToContext():
                data = message.data
                self._write(data.role, data.content, now=bool(data.run_immediately), aloud=True)
                self._say("append-to-context-result", {"result": "appended"}, message.id)
            case FunctionResult():
                self._take_result(message)
            case Keys():
                for key in message.data.buttons:
                    self.session.press(key)
            case ClientMessage():
                self._answer(message)

    def _ask(self, kind: str, **fields: Any) -> None:
        """Tell the session something, in its words."""
        self.session.receive(json.dumps({"type": kind, **fields}), self)

    def _write(self, role: str, text: str, *, now: bool, aloud: bool) -> None:
        """Written words, answered at once where that is wanted: they interrupt what is being said."""
        if now and self.session.events.responses:
            self._ask("response.cancel")
        content = [{"type": "input_text" if role == "user" else "output_text", "text": text}]
        self._ask("conversation.item.create", item={"type": "message", "role": role, "content": content})
        if now:
            self._ask("response.create", **({} if aloud else {"response": {"output_modalities": ["text"]}}))

    def _take_result(self, message: FunctionResult) -> None:
        call_id = message.data.tool_call_id
        if self._asked.get(call_id, True):
            raise RtviError(f"No function waits for the result of `{call_id[:64]}`", message.id)
        result = message.data.result
        output = result if isinstance(result, str) else json.dumps(result)
        item = {"type": "function_call_output", "call_id": call_id, "output": output}
        self._ask("conversation.item.create", item=item)
        self._asked[call_id] = True
        stopped = {"function_name": message.data.function_name, "tool_call_id": call_id, "cancelled": False}
        self._say("llm-function-call-stopped", {**stopped, "result": result})
        self._results_due = True
        self._go_on()

    def _go_on(self) -> None:
        """Have the results of functions answered, once all are there and nothing else is being said."""
        if self._results_due and all(self._asked.values()) and not self.session.events.responses:
            self._asked.clear()
            self._results_due = False
            self._ask("response.create")

    def _answer(self, message: ClientMessage) -> None:
        """Requests of an application: what the session is like, and what it is to be like."""
        if message.data.t not in ("session", "session.update"):
            raise RtviError(f"Requests are `session` and `session.update`, not `{message.data.t[:64]}`", message.id)
        if message.data.t == "session.update":
            try:
                self.session.config.update(message.data.d)
            except RealtimeError as error:
                raise RtviError(error.message, message.id) from None
            self._ask("session.update", session=message.data.d)
        described = self.session.created()["session"]
        self._say("server-response", {"t": message.data.t, "d": described}, message.id)
