"""One Realtime session: applies what clients say to the call, and tells them what happens in it.

A session belongs to a call, whatever that is on; several clients may listen and speak to it (a browser on the data
channel, its server beside it). It has no turn taking of its own: everything goes to the call's actor, which applies it
before `post` returns, so that answers and errors come in order.
"""

import itertools
from collections import deque
from typing import Protocol

from media.telephone_band import WireEncoder
from pipeline.call.context import Entry
from pipeline.call.events import CallEvent, ReplyCreated
from pipeline.call.inputs import ClientRequest, StopReply
from pipeline.call.requests import (
    ApproveTool,
    ClearAudio,
    CommitAudio,
    InsertEntry,
    OptionsChanged,
    RemoveEntry,
    Respond,
    TruncateReply,
)
from pipeline.engines.protocols import Message, ToolCall
from server.bounds import MAX_CHANNEL_MESSAGE, MAX_HELD_EVENTS
from server.calls.call import Call
from server.realtime.audio_format import encoder_of
from server.realtime.client_events import (
    Append,
    ApprovalItem,
    CancelResponse,
    Clear,
    ClearOutput,
    ClientEvent,
    Commit,
    CreateItem,
    CreateResponse,
    DeleteItem,
    FunctionCallItem,
    FunctionOutputItem,
    Item,
    MessageItem,
    ResponseWanted,
    RetrieveItem,
    SessionUpdate,
    TruncateItem,
    parse_event,
)
from server.realtime.errors import RealtimeError, no_such_item
from server.realtime.items import ROOT, ItemList, Json, function_call, function_output, message
from server.realtime.mcp_tools import McpTools
from server.realtime.out_of_band import OutOfBand
from server.realtime.responses import Response
from server.realtime.session_config import SessionConfig
from server.realtime.spoken_items import SpokenItems
from server.realtime.told import ServerEvents, completed
from server.realtime.wishes import asked_messages, reply_wish

LEAST_COMMIT_MS = 100
"""A shorter turn is none."""


class Sink(Protocol):
    """A client of a session."""

    def put(self, message: Json) -> None:
        """Tell it of an event; returns at once."""

    def over(self) -> None:
        """The call is over."""


class AudioPort(Protocol):
    """Where a session's audio goes in, when it comes as events."""

    def append(self, audio: str) -> None:
        """More of the user's audio, base64 in the input format; raises RealtimeError."""

    def settle(self) -> bool:
        """Hurry what waits to be heard; whether none of it waits any more (`RealtimeSession.settled` comes later)."""

    def clear(self) -> None:
        """Forget what waits to be heard."""

    def heard_ms(self, item_id: str) -> int | None:
        """Length of the audio of a reply that was sent; None where that is not known."""

    def at(self, item_id: str, sent_ms: int) -> int:
        """Which moment of a reply was sent as so much of its audio had been sent, ms."""


class RealtimeSession:
    """One session.

    Args:
        call: that it belongs to.
        config: that it begins with.
        port: takes audio that comes as events; None where it comes as media.
        knows_morgan: whether the client knows Morgan's own events.

    Attributes:
        config: the effective one.
        items: of the conversation.
        sinks: whoever is told.
        events: what they are told, in their words.
    """

    def __init__(
        self, call: Call, config: SessionConfig, *, port: AudioPort | None = None, knows_morgan: bool = False
    ) -> None:
        self.config = config
        self.items = ItemList()
        self.sinks: list[Sink] = []
        self.events = ServerEvents(
            self.items,
            self._response,
            lambda: self.config.transcribes,
            plays=port is None,
            knows_morgan=knows_morgan,
        )
        self._call = call
        self._port = port
        self._ids = itertools.count()
        self._wanted: dict[str, ResponseWanted] = {}
        self._held: deque[tuple[ClientEvent, str | None, Sink]] = deque()
        self._out_of_band = OutOfBand(call, self)
        self._mcp = McpTools(call, self.items, self._tell, self.new_id)
        self.events.mcp = self._mcp.find
        self._spoken_items = SpokenItems(call, self)

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
        return self.events.event("session.created", {"session": self.config.describe(self._call.id)})

    def tell(self, event: CallEvent) -> None:
        """Something happened in the call."""
        for told in self.events.translate(event):
            self.put(told)

    def put(self, told: Json) -> None:
        """Tell every client."""
        for sink in tuple(self.sinks):
            sink.put(told)

    @property
    def takes_audio(self) -> bool:
        """Whether audio comes and goes as events."""
        return self._port is not None

    def encoder(self) -> WireEncoder:
        """Makes what the audio of a reply is as an event, in the format of now."""
        return encoder_of(self.config.output_format)

    def hang_up(self) -> None:
        """A client wants the call to end."""
        self._call.end_soon("hangup")

    def close(self) -> None:
        """The call is over."""
        self._out_of_band.close()
        self._mcp.close()
        for sink in tuple(self.sinks):
            sink.over()
        self._spoken_items.close()

    def _response(self, created: ReplyCreated) -> Response:
        return self.make_response(
            created.reply_id, created.item_id, created.speaks, self._wanted.pop(created.wish, None), self.items
        )

    def make_response(
        self, response_id: str, item_id: str, speaks: bool, wanted: ResponseWanted | None, items: ItemList | None
    ) -> Response:
        """A response as the client sees it."""
        config, wanted = self.config, wanted or ResponseWanted()
        audio = config.audio_output()
        output = wanted.audio.output if wanted.audio else None
        if output is not None and output.voice is not None:
            audio["voice"] = config.voice_of(output.voice, "response.audio.output.voice")
        return Response(
            response_id,
            item_id,
            speaks,
            self._call.options.conversation_id if items is not None else None,
            audio,
            wanted.max_output_tokens or config.max_output_tokens,
            wanted.metadata,
            items,
        )

    # In --------------------------------------------------------------------------------------------------------------

    def receive(self, text: str, sink: Sink, *, limit: int = MAX_CHANNEL_MESSAGE) -> None:
        """Apply a message of a client; whatever comes, the session goes on.

        Args:
            text: as it came.
            sink: who said it, and is told what is wrong with it.
            limit: characters that it may have.
        """
        event_id: str | None = None
        try:
            if len(text) > limit:
                raise RealtimeError("message_too_long", f"A message may have at most {limit} characters")
            event, event_id, problem = parse_event(text)
            if event is None:
                assert problem is not None
                raise problem
            if self._held and not isinstance(event, Append):
                if len(self._held) >= MAX_HELD_EVENTS:
                    raise RealtimeError("too_many_events", "Too many events wait for the audio before them")
                self._held.append((event, event_id, sink))
                return
            self._apply(event, event_id, sink)
        except RealtimeError as error:
            self.refuse(error, event_id, sink)

    def refuse(self, error: RealtimeError, event_id: str | None, sink: Sink) -> None:
        """Tell a client what is wrong."""
        sink.put(self.events.error(error.code, error.message, event_id, error.param, error.kind))

    def settled(self) -> None:
        """All audio that had been sent is heard: go on with what waited for that."""
        held, self._held = self._held, deque()
        while held:
            event, event_id, sink = held.popleft()
            try:
                self._apply(event, event_id, sink, settled=not self._held)
            except RealtimeError as error:
                self.refuse(error, event_id, sink)
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
                self._tell("input_audio_buffer.cleared", {})
            case ClearOutput():
                if self._port is not None:
                    message = "Over a WebSocket the client plays the audio: it clears its own buffer"
                    raise RealtimeError("unsupported_event", message, "type")
                self._call.actor.post(StopReply())
            case CreateItem():
                self._create(event)
            case RetrieveItem():
                self._tell_one(sink, "conversation.item.retrieved", {"item": self._item(event.item_id, "retrieve")})
            case DeleteItem():
                self._item(event.item_id, "delete")
                self.items.remove(event.item_id)
                self._post(RemoveEntry(event.item_id))
                self._tell("conversation.item.deleted", {"item_id": event.item_id})
            case TruncateItem():
                self._truncate(event)
            case CreateResponse():
                self._respond(event, event_id, sink)
            case CancelResponse():
                self._cancel(event)

    def _post(self, request: ClientRequest) -> None:
        self._call.actor.post(request)

    def _tell(self, kind: str, fields: Json) -> None:
        self.put(self.events.event(kind, fields))

    def _tell_one(self, sink: Sink, kind: str, fields: Json) -> None:
        sink.put(self.events.event(kind, fields))

    # The session and its audio ---------------------------------------------------------------------------------------

    def _update(self, event: SessionUpdate) -> None:
        if event.session is None:
            raise RealtimeError("missing_required_parameter", "Missing required parameter: 'session'.", "session")
        self.config = self.config.update(event.session)
        self._post(OptionsChanged(self.config.options()))
        self._tell("session.updated", {"session": self.config.describe(self._call.id)})
        self._mcp.follow(self.config.mcp)

    def _append(self, event: Append) -> None:
        if self._port is None:
            message = "The audio of this call comes over its media track; only a WebSocket takes it as events"
            raise RealtimeError("unsupported_event", message, "type")
        self._port.append(event.audio)

    def _commit(self, event: Commit, event_id: str | None, sink: Sink, *, settled: bool) -> None:
        if self._port is not None and not settled and not self._port.settle():
            self._held.append((event, event_id, sink))
            return
        requests = self._call.actor.machine.requests
        if requests.buffered_ms < LEAST_COMMIT_MS and not requests.in_turn:
            message = (
                f"Error committing input audio buffer: buffer too small. Expected at least {LEAST_COMMIT_MS}ms of "
                f"audio, but buffer only has {requests.buffered_ms}ms of audio."
            )
            raise RealtimeError("input_audio_buffer_commit_empty", message)
        self._post(CommitAudio())

    # Items -----------------------------------------------------------------------------------------------------------

    def _item(self, item_id: str, verb: str | None = None) -> Json:
        item = self.items.get(item_id)
        if item is None:
            raise no_such_item(item_id, verb)
        return item

    def _create(self, event: CreateItem) -> None:
        item, after = event.item, event.previous_item_id
        if self.config.kind == "transcription":
            raise RealtimeError("unsupported_event", "A transcription session has no items but transcripts", "type")
        if item.id is not None and item.id in self.items:
            message = f"Error adding item: an item with id '{item.id}' already exists."
            raise RealtimeError("item_create_duplicate_item_id", message, "item.id")
        if after is not None and after != ROOT and after not in self.items:
            message = f"Error adding item: the previous item with id '{after}' does not exist."
            raise RealtimeError("item_create_invalid_previous_item_id", message, "previous_item_id")
        if isinstance(item, ApprovalItem):
            self._approve(item, after)
            return
        if isinstance(item, MessageItem) and any(part.audio and not part.transcript for part in item.content):
            self._spoken_items.create(item, after)
            return
        self.insert(item, item.id or self.new_id("item"), after)

    def _approve(self, item: ApprovalItem, after: str | None) -> None:
        """The client has decided on what a tool of an MCP server is asked."""
        request = self._item(item.approval_request_id)
        if request["type"] != "mcp_approval_request" or not self.events.decide(item.approval_request_id):
            message = f"'{item.approval_request_id}' is no request for approval that is open."
            raise RealtimeError("invalid_value", message, "item.approval_request_id")
        item_id = item.id or self.new_id("mcpr")
        shown: Json = {"id": item_id, "type": "mcp_approval_response", "approve": item.approve, "reason": item.reason}
        shown["approval_request_id"] = item.approval_request_id
        for kind, fields in self.events.added(shown, after):
            self._tell(kind, fields)
        self._post(ApproveTool(item.approval_request_id, item.approve, item.reason or ""))

    def insert(self, item: Item, item_id: str, after: str | None) -> None:
        """Put an item into the conversation, where its place still is."""
        if after is not None and after != ROOT and after not in self.items:
            after = None
        shown, entry = _shown(item, item_id, self.new_id), None
        for kind, fields in self.events.added(shown, after):
            self._tell(kind, fields)
        entry = _entry(item, item_id, shown)
        if entry.text or entry.tool_calls or entry.role == "tool":
            self._post(InsertEntry(entry, self._entry_before(item_id) if after is not None else None))

    def tell_transcript(self, item_id: str, text: str, seconds: float) -> None:
        """The audio of an item was transcribed."""
        self.events.transcribed(item_id, text)
        place = {"item_id": item_id, "content_index": 0}
        self._tell("conversation.item.input_audio_transcription.completed", {**place, **completed(text, seconds)})

    def tell_untranscribed(self, item_id: str) -> None:
        """The audio of an item could not be transcribed."""
        error = {"type": "transcription_error", "code": "transcription_failed", "message": "speech to text failed"}
        place: Json = {"item_id": item_id, "content_index": 0, "error": error}
        self._tell("conversation.item.input_audio_transcription.failed", place)

    def _entry_before(self, item_id: str) -> str:
        """What the language model knows of that stands before an item: an item's id, "" for nothing."""
        known = {entry.item_id for entry in self._call.actor.machine.context.entries}
        return next((before for before in self.items.before(item_id) if before in known), "")

    def _truncate(self, event: TruncateItem) -> None:
        item, end_ms = self._item(event.item_id, "truncate"), event.audio_end_ms
        content = item.get("content") or []
        if item.get("role") != "assistant" or (content and content[0]["type"] != "output_audio"):
            raise RealtimeError("invalid_value", "Only the audio of the assistant can be truncated.", "item_id")
        if event.content_index != 0:
            raise RealtimeError("invalid_value", "The message has one part: content_index is 0.", "content_index")
        answering = self._call.actor.machine.requests
        sent_ms = self._port.heard_ms(event.item_id) if self._port is not None else None
        length_ms = answering.audio_ms(event.item_id) if sent_ms is None else sent_ms
        if end_ms > length_ms:
            message = f"Audio content of {length_ms}ms is already shorter than {end_ms}ms"
            raise RealtimeError("invalid_value", message, "audio_end_ms")
        at_ms = self._port.at(event.item_id, end_ms) if self._port is not None else end_ms
        self._post(TruncateReply(event.item_id, at_ms))
        if self._port is not None:
            place: Json = {"item_id": event.item_id, "content_index": 0, "audio_end_ms": end_ms}
            self._tell("conversation.item.truncated", place)

    # Responses -------------------------------------------------------------------------------------------------------

    def _respond(self, event: CreateResponse, event_id: str | None, sink: Sink) -> None:
        wanted = event.response or ResponseWanted()
        if self.config.kind == "transcription":
            raise RealtimeError("unsupported_event", "A transcription session makes no responses", "type")
        if self._spoken_items.busy:
            self._spoken_items.then(lambda: self._apply_late(event, event_id, sink))
            return
        wish = reply_wish(wanted, self.config, self._messages(wanted), self.new_id("wish"))
        if wanted.conversation == "none":
            self._out_of_band.begin(wanted, wish)
            return
        active = next(iter(self.events.responses.values()), None)
        if active is not None or self._wanted:
            which = active.id if active is not None else "waiting for the words of the user"
            message = f"Conversation already has an active response in progress: {which}. Wait until it is finished."
            raise RealtimeError("conversation_already_has_active_response", message)
        self._wanted[wish.name] = wanted
        self._post(Respond(wish))

    def _apply_late(self, event: ClientEvent, event_id: str | None, sink: Sink) -> None:
        try:
            self._apply(event, event_id, sink)
        except RealtimeError as error:
            self.refuse(error, event_id, sink)

    def _messages(self, wanted: ResponseWanted) -> tuple[Message, ...] | None:
        return None if wanted.input is None else asked_messages(wanted.input, self._item)

    def _cancel(self, event: CancelResponse) -> None:
        if event.response_id is not None and self._out_of_band.cancel(event.response_id):
            return
        active = self.events.responses
        if not active or (event.response_id is not None and event.response_id not in active):
            message = "Cancellation failed: no active response found"
            raise RealtimeError("response_cancel_not_active", message)
        self._call.actor.post(StopReply())

    def new_id(self, kind: str) -> str:
        """An id that no other of this session has."""
        return f"{kind}_{self._call.id[-16:]}_{next(self._ids)}"


def _shown(item: Item, item_id: str, new_id: "NewId") -> Json:
    """An item as the client sees it."""
    match item:
        case MessageItem():
            content = [part.model_dump(exclude_none=True, exclude={"audio"}) for part in item.content]
            for part in content:
                if part["type"] == "input_audio":
                    # Some clients throw where this is missing.
                    part.setdefault("transcript", None)
            return message(item_id, item.role, item.status or "completed", content)
        case FunctionCallItem():
            return function_call(item_id, item.call_id or new_id("call"), item.name, item.arguments)
        case FunctionOutputItem():
            return function_output(item_id, item.call_id, item.words())


def _entry(item: Item, item_id: str, shown: Json) -> Entry:
    """An item as the language model gets to know it."""
    match item:
        case MessageItem():
            return Entry(item_id, item.role, item.words())
        case FunctionCallItem():
            call = ToolCall(shown["call_id"], item.name, item.arguments)
            return Entry(item_id, "assistant", "", tool_calls=(call,))
        case FunctionOutputItem():
            return Entry(item_id, "tool", item.words(), tool_call_id=item.call_id)


class NewId(Protocol):
    """Makes ids."""

    def __call__(self, kind: str) -> str: ...
