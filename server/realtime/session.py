"""One Realtime session: applies what clients say to the call, and tells them what happens in it.

A session belongs to a call, whatever that is on; several clients may listen and speak to it (a browser on the data
channel, its server beside it). It has no turn taking of its own: everything goes to the call's actor, which applies it
before `post` returns, so that answers and errors come in order.
"""

from collections import deque
from functools import partial
from typing import NamedTuple

from media.telephone_band import WireEncoder
from pipeline.call.events import CallEvent
from pipeline.call.inputs import ClientRequest, KeyPressed, StopReply
from pipeline.call.requests import ClearAudio, CommitAudio, OptionsChanged, Respond
from pipeline.engines.protocols import Message
from server.bounds import MAX_CHANNEL_MESSAGE, MAX_HELD_CHARS, MAX_HELD_EVENTS
from server.calls.call import Call
from server.realtime.client_events import (
    Append,
    CancelResponse,
    Clear,
    ClearOutput,
    ClientEvent,
    Commit,
    CreateItem,
    CreateResponse,
    DeleteItem,
    ResponseWanted,
    RetrieveItem,
    SessionUpdate,
    TruncateItem,
    parse_event,
)
from server.realtime.ends import AudioPort, Sink
from server.realtime.errors import RealtimeError
from server.realtime.item_requests import ItemRequests
from server.realtime.items import Json, message
from server.realtime.mcp_tools import McpTools
from server.realtime.out_of_band import OutOfBand
from server.realtime.session_config import SessionConfig
from server.realtime.session_view import SessionView
from server.realtime.shown_images import images_of, refuse_images
from server.realtime.wishes import asked_messages, reply_wish, without_fixed

LEAST_COMMIT_MS = 100
"""A shorter turn is none."""


class _Held(NamedTuple):
    """An event that waits for the audio that was sent before it; so many characters came with it."""

    event: ClientEvent
    event_id: str | None
    sink: Sink
    chars: int


class RealtimeSession:
    """One session.

    Args:
        call: that it belongs to.
        config: that it begins with.
        port: takes audio that comes as events; None where it comes as media.
        knows_morgan: whether the client knows Morgan's own events.

    Attributes:
        items: of the conversation.
        sinks: the clients, all of which are told.
        events: what they are told, in their words.
        beside: seats beside the call that are taken, also by clients whose WebSocket does not stand yet.
    """

    def __init__(
        self, call: Call, config: SessionConfig, *, port: AudioPort | None = None, knows_morgan: bool = False
    ) -> None:
        view = self._view = SessionView(call, config, port, knows_morgan=knows_morgan)
        self.items, self.sinks, self.events = view.items, view.sinks, view.events
        self._call = call
        self._port = port
        self.beside = 0
        self._over = False
        self._held: deque[_Held] = deque()
        self._item_requests = ItemRequests(view)
        self._out_of_band = OutOfBand(view)
        self._mcp = McpTools(call, view.items, view.tell, view.new_id)
        self.events.mcp = self._mcp.find

    @property
    def config(self) -> SessionConfig:
        """The effective configuration."""
        return self._view.config

    # Out -------------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The call has begun: what was said before is part of the conversation."""
        for entry in self._call.actor.machine.context.entries:
            if entry.role in ("user", "assistant") and not entry.tool_calls:
                kind = "input_text" if entry.role == "user" else "output_text"
                self.items.add(message(entry.item_id, entry.role, "completed", [{"type": kind, "text": entry.text}]))
        self._mcp.follow(self.config.mcp)

    def created(self) -> Json:
        """The first event of every connection."""
        return self._view.created()

    def tell(self, event: CallEvent) -> None:
        """Something happened in the call."""
        self._view.tell_of(event)

    def put(self, told: Json) -> None:
        """Tell every client."""
        self._view.put(told)

    def encoder(self) -> WireEncoder:
        """Makes what audio is as an event, in the format of now."""
        return self._view.encoder()

    def hang_up(self) -> None:
        """A client wants the call to end."""
        self._call.end_soon("hangup")

    def press(self, key: str) -> None:
        """The user pressed a key of a telephone, one of `pipeline.call.inputs.KEYS`."""
        self._post(KeyPressed(key))

    def join(self, sink: Sink) -> None:
        """One more client listens; where the call is over it is told so at once."""
        self.sinks.append(sink)
        if self._over:
            sink.over()

    def leave(self, sink: Sink) -> None:
        """A client listens no more. Leaving twice does nothing."""
        if sink in self.sinks:
            self.sinks.remove(sink)

    def close(self) -> None:
        """The call is over."""
        self._over = True
        self._out_of_band.close()
        self._mcp.close()
        self._view.over()
        self._item_requests.spoken.close()

    # In --------------------------------------------------------------------------------------------------------------

    def receive(self, text: str, sink: Sink, *, limit: int = MAX_CHANNEL_MESSAGE) -> None:
        """Apply a message of a client; whatever it says, the session goes on. Does not raise.

        What comes once the call is over is left: it would begin what nothing ends any more.

        Args:
            text: as it came.
            sink: who said it, and is told what is wrong with it.
            limit: characters that it may have.
        """
        if self._over:
            return
        event_id: str | None = None
        try:
            if len(text) > limit:
                raise RealtimeError("message_too_long", f"A message may have at most {limit} characters")
            event, event_id, problem = parse_event(text)
            if event is None:
                assert problem is not None
                raise problem
            if self._held and not isinstance(event, Append):
                chars = len(text) + sum(held.chars for held in self._held)
                if len(self._held) >= MAX_HELD_EVENTS or chars > MAX_HELD_CHARS:
                    raise RealtimeError("too_many_events", "Too many events wait for the audio before them")
                self._held.append(_Held(event, event_id, sink, len(text)))
                return
            self._apply(event, event_id, sink)
        except RealtimeError as error:
            self.refuse(error, event_id, sink)
        except Exception as error:
            self._call.fail(error)

    def refuse(self, error: RealtimeError, event_id: str | None, sink: Sink) -> None:
        """Tell a client what is wrong."""
        sink.put(self.events.error(error.code, error.message, event_id, error.param, error.kind))

    def settled(self) -> None:
        """All audio that had been sent is heard: go on with what waited for that."""
        held, self._held = self._held, deque()
        while held:
            event, event_id, sink, _ = held.popleft()
            self._apply_late(event, event_id, sink, settled=not self._held)
            if self._held:
                # It waits in its turn, and all behind it with it.
                self._held.extend(held)
                return

    def _apply(self, event: ClientEvent, event_id: str | None, sink: Sink, *, settled: bool = False) -> None:
        match event:
            case SessionUpdate():
                self._update(event)
            case Append():
                self._append(event)
            case Commit():
                self._commit(event, event_id, sink, settled=settled)
            case Clear():
                if self._port is not None:
                    self._port.clear()
                self._post(ClearAudio())
                self._view.tell("input_audio_buffer.cleared", {})
            case ClearOutput():
                if self._port is not None:
                    message = "Over a WebSocket the client plays the audio: it clears its own buffer"
                    raise RealtimeError("unsupported_event", message, "type")
                self._call.actor.post(StopReply())
            case CreateItem():
                self._item_requests.create(event)
            case RetrieveItem():
                found = self._view.item(event.item_id, "retrieve")
                sink.put(self.events.event("conversation.item.retrieved", {"item": found}))
            case DeleteItem():
                self._item_requests.delete(event.item_id)
            case TruncateItem():
                self._item_requests.truncate(event)
            case CreateResponse():
                self._respond(event, event_id, sink)
            case CancelResponse():
                self._cancel(event)

    def _post(self, request: ClientRequest | KeyPressed) -> None:
        self._call.actor.post(request)

    # The session and its audio ---------------------------------------------------------------------------------------

    def _update(self, event: SessionUpdate) -> None:
        if event.session is None:
            raise RealtimeError("missing_required_parameter", "Missing required parameter: 'session'.", "session")
        self._view.config = self.config.update(event.session)
        self._post(OptionsChanged(self.config.options()))
        self._view.tell("session.updated", {"session": self.config.describe(self._call.id)})
        self._mcp.follow(self.config.mcp)

    def _append(self, event: Append) -> None:
        if self._port is None:
            message = "The audio of this call comes over its media track; only a WebSocket takes it as events"
            raise RealtimeError("unsupported_event", message, "type")
        self._port.append(event.audio)

    def _commit(self, event: Commit, event_id: str | None, sink: Sink, *, settled: bool) -> None:
        if self._port is not None and not settled and not self._port.settle():
            self._held.append(_Held(event, event_id, sink, 0))
            return
        requests = self._call.actor.machine.requests
        if requests.buffered_ms < LEAST_COMMIT_MS and not requests.in_turn:
            message = (
                f"Error committing input audio buffer: buffer too small. Expected at least {LEAST_COMMIT_MS}ms of "
                f"audio, but buffer only has {requests.buffered_ms}ms of audio."
            )
            raise RealtimeError("input_audio_buffer_commit_empty", message)
        self._post(CommitAudio())

    # Responses -------------------------------------------------------------------------------------------------------

    def _respond(self, event: CreateResponse, event_id: str | None, sink: Sink) -> None:
        wanted = without_fixed(event.response or ResponseWanted(), self.config)
        if self.config.kind == "transcription":
            raise RealtimeError("unsupported_event", "A transcription session makes no responses", "type")
        if self._item_requests.spoken.busy:
            self._item_requests.spoken.then(lambda: self._apply_late(event, event_id, sink))
            return
        wish = reply_wish(wanted, self.config, self._messages(wanted), self._view.new_id("wish"))
        if wanted.conversation == "none":
            self._out_of_band.begin(wanted, wish)
            return
        active = next(iter(self.events.responses.values()), None)
        if active is not None or self._view.wanted:
            which = active.id if active is not None else "waiting for the words of the user"
            message = f"Conversation already has an active response in progress: {which}. Wait until it is finished."
            raise RealtimeError("conversation_already_has_active_response", message)
        self._view.wanted[wish.name] = wanted
        self._post(Respond(wish))

    def _apply_late(self, event: ClientEvent, event_id: str | None, sink: Sink, *, settled: bool = False) -> None:
        try:
            self._apply(event, event_id, sink, settled=settled)
        except RealtimeError as error:
            self.refuse(error, event_id, sink)
        except Exception as error:
            self._call.fail(error)

    def _messages(self, wanted: ResponseWanted) -> tuple[Message, ...] | None:
        if wanted.input is None:
            return None
        entries = self._call.actor.machine.context.entries
        messages = asked_messages(wanted.input, self._view.item, partial(images_of, entries))
        refuse_images([each for message in messages for each in message.images], self.config.abilities)
        return messages

    def _cancel(self, event: CancelResponse) -> None:
        if event.response_id is not None and self._out_of_band.cancel(event.response_id):
            return
        active = self.events.responses
        if not active or (event.response_id is not None and event.response_id not in active):
            message = "Cancellation failed: no active response found"
            raise RealtimeError("response_cancel_not_active", message)
        self._call.actor.post(StopReply())
