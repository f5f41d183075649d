"""A call's events in the words of the Realtime API, in OpenAI's order. Sans-I/O.

What the API has no words for (`morgan.state`, `morgan.latency`, `morgan.shutdown`, `morgan.call.ended`) is told only to
clients that know Morgan: others take an event that they do not know for an error.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any, assert_never

from pipeline.call.events import (
    ApprovalAsked,
    CallEnded,
    CallEvent,
    CallFault,
    IdleTimedOut,
    KeyHeard,
    PlaybackCleared,
    PlaybackStarted,
    PlaybackStopped,
    ReplyCreated,
    ReplyDone,
    ReplyTextCompleted,
    ReplyTextDelta,
    ReplyTruncated,
    ShutdownAnnounced,
    SpeechStarted,
    SpeechStopped,
    StateChanged,
    ToolCalled,
    ToolReturned,
    TranscriptCompleted,
    TranscriptDelta,
    TranscriptFailed,
    TurnCommitted,
    TurnDropped,
    TurnLatency,
    TurnUnclear,
)
from server.realtime.items import ItemList, function_output, message
from server.realtime.responses import Response, Told
from server.realtime.turn_items import TurnItems

Json = dict[str, Any]

TRANSCRIPTION = "conversation.item.input_audio_transcription"

INTERNAL = "internal_error"
"""The fault that ends a call; others are told by what they spoil: a response that failed, a transcript that did."""


class ServerEvents:
    """Translates the events of one call.

    Args:
        items: of the conversation; kept up to date.
        new_response: makes the response of a reply.
        transcribes: whether the client wants transcripts now.
        plays: the server plays the audio itself (WebRTC), so that it tells what was heard.
        knows_morgan: whether the client knows Morgan's own events.

    Attributes:
        responses: that are under way, by id.
        sounding: the response that is being played.
        turns: which items turns are.
        mcp: label and own name of a tool of an MCP server; None for any other tool.
    """

    def __init__(
        self,
        items: ItemList,
        new_response: Callable[[ReplyCreated], Response],
        transcribes: Callable[[], bool],
        *,
        plays: bool,
        knows_morgan: bool,
    ) -> None:
        self.responses: dict[str, Response] = {}
        self.sounding: Response | None = None
        self.turns = TurnItems(items, apart=not knows_morgan)
        self._items = items
        self._new_response = new_response
        self._transcribes = transcribes
        self._plays = plays
        self._knows_morgan = knows_morgan
        self.mcp: Callable[[str], tuple[str, str] | None] = lambda name: None
        self._mcp_calls: dict[str, tuple[Response, str]] = {}
        self._approvals: dict[str, str] = {}
        self._approved: dict[str, str] = {}
        self._numbers = itertools.count()

    def event(self, kind: str, fields: Json) -> Json:
        """An event with an id of its own."""
        return {"type": kind, "event_id": f"event_{next(self._numbers)}", **fields}

    def error(
        self,
        code: str,
        message: str,
        event_id: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
    ) -> Json:
        """An error that the session survives; `event_id` is the client event's."""
        told = {"type": kind, "code": code, "message": message, "param": param, "event_id": event_id}
        return self.event("error", {"error": told})

    def translate(self, event: CallEvent) -> list[Json]:
        """What to send for an event, in order."""
        return [self.event(kind, fields) for kind, fields in self._told(event)]

    def _told(self, event: CallEvent) -> Iterator[Told]:
        match event:
            case SpeechStarted() | SpeechStopped() | TurnCommitted() | TurnDropped() | IdleTimedOut():
                yield from self._of_turn(event)
            case TranscriptDelta() | TranscriptCompleted() | TranscriptFailed() | TurnUnclear():
                yield from self._of_transcript(event)
            case ReplyCreated() | ReplyTextDelta() | ReplyTextCompleted() | ReplyDone():
                yield from self._of_reply(event)
            case ToolCalled() | ToolReturned() | ApprovalAsked():
                yield from self._of_tool(event)
            case PlaybackStarted() | PlaybackStopped() | PlaybackCleared():
                yield from self._of_playback(event)
            case ReplyTruncated():
                yield from self._truncated(event)
            case KeyHeard():
                key = {"event": event.key, "received_at": int(time.time())}
                yield "input_audio_buffer.dtmf_event_received", key
            case CallFault():
                yield from self._fault(event)
            case StateChanged() | TurnLatency() | ShutdownAnnounced() | CallEnded():
                if self._knows_morgan:
                    yield _own(event)
            case _:
                assert_never(event)

    # The user --------------------------------------------------------------------------------------------------------

    def _of_turn(
        self, event: SpeechStarted | SpeechStopped | TurnCommitted | TurnDropped | IdleTimedOut
    ) -> Iterator[Told]:
        match event:
            case SpeechStarted():
                outdated, start_ms = self.turns.start(event.item_id, event.audio_start_ms)
                if outdated is not None:
                    yield self._deleted(outdated)
                item_id = self.turns.item_of(event.item_id)
                yield "input_audio_buffer.speech_started", {"item_id": item_id, "audio_start_ms": start_ms}
            case SpeechStopped():
                item_id = self.turns.stop(event.item_id, event.audio_end_ms)
                if not event.by_client:
                    stopped = {"item_id": item_id, "audio_end_ms": event.audio_end_ms}
                    yield "input_audio_buffer.speech_stopped", stopped
                if not self._knows_morgan:
                    yield from self._committed(item_id)
            case IdleTimedOut():
                yield (
                    "input_audio_buffer.timeout_triggered",
                    _fields(event, "item_id", "audio_start_ms", "audio_end_ms"),
                )
                yield from self._committed(event.item_id)
            case TurnCommitted():
                if event.typed is None and self._knows_morgan:
                    # Its page shows a turn once it has words, and puts those of one that goes on in their place.
                    yield from self._committed(event.item_id)
                elif event.typed is not None and event.item_id not in self._items:
                    self.turns.typed(event.item_id, event.typed)
                    yield from self.added(message(event.item_id, "user", "completed", [_text(event.typed)]))
            case TurnDropped():
                yield self._deleted(self.turns.item_of(event.item_id))
                yield from self._forgotten(event.item_id)

    def _forgotten(self, turn_id: str) -> Iterator[Told]:
        """What a turn had said before it went on is no part of the conversation any more."""
        for item_id in self.turns.parts(turn_id):
            if item_id != self.turns.item_of(turn_id):
                yield self._deleted(item_id)

    def _deleted(self, item_id: str) -> Told:
        self._items.remove(item_id)
        return "conversation.item.deleted", {"item_id": item_id}

    def _committed(self, item_id: str) -> Iterator[Told]:
        item = message(item_id, "user", "completed", [{"type": "input_audio", "transcript": None}])
        previous = self._items.add(item)
        yield "input_audio_buffer.committed", {"item_id": item_id, "previous_item_id": previous}
        yield from _item_events(item, previous)

    def added(self, item: Json, after: str | None = None) -> Iterator[Told]:
        """An item takes its place; raises KeyError where there is no item `after`."""
        yield from _item_events(item, self._items.add(item, after))

    def _of_transcript(
        self, event: TranscriptDelta | TranscriptCompleted | TranscriptFailed | TurnUnclear
    ) -> Iterator[Told]:
        item_id = self.turns.item_of(event.item_id)
        place: Json = {"item_id": item_id, "content_index": 0}
        told = self._transcribes()
        match event:
            case TranscriptDelta():
                delta = self.turns.grown(event.item_id, event.delta)
                if told and delta:
                    yield f"{TRANSCRIPTION}.delta", {**place, "delta": delta}
            case TranscriptCompleted():
                text, seconds = self.turns.complete(event.item_id, event.text, event.duration_s)
                if not text:
                    # A cough behind a turn: nothing was added to what it had said.
                    yield self._deleted(item_id)
                    return
                self.transcribed(item_id, text)
                more: Json = {"language": event.language} if self._knows_morgan else {}
                if told:
                    yield f"{TRANSCRIPTION}.completed", {**place, **completed(text, seconds), **more}
            case TranscriptFailed():
                if told:
                    error = {"type": "transcription_error", "code": "transcription_failed", "message": event.message}
                    yield f"{TRANSCRIPTION}.failed", {**place, "error": error}
                yield from self._forgotten(event.item_id)
            case TurnUnclear():
                if told:
                    words = "Somebody spoke, but no words could be made out"
                    error = {"type": "transcription_error", "code": "unintelligible", "message": words}
                    more = {"transcript": event.text} if self._knows_morgan else {}
                    yield f"{TRANSCRIPTION}.failed", {**place, "error": error, **more}
                yield from self._forgotten(event.item_id)

    def transcribed(self, item_id: str, text: str) -> None:
        """The words of an item are known."""
        item = self._items.get(item_id)
        if item is not None:
            self._items.add({**item, "content": [{"type": "input_audio", "transcript": text}]})

    # Morgan ----------------------------------------------------------------------------------------------------------

    def _of_reply(self, event: ReplyCreated | ReplyTextDelta | ReplyTextCompleted | ReplyDone) -> Iterator[Told]:
        if isinstance(event, ReplyCreated):
            self.responses[event.reply_id] = self._new_response(event)
        response = self.responses.get(event.reply_id)
        if response is None:
            return
        match event:
            case ReplyCreated():
                yield from response.created()
            case ReplyTextDelta():
                yield from response.add_text(event.delta)
            case ReplyTextCompleted():
                yield from response.end_text(event.text)
            case ReplyDone():
                del self.responses[event.reply_id]
                yield from response.done(event)

    def _of_tool(self, event: ToolCalled | ToolReturned | ApprovalAsked) -> Iterator[Told]:
        if isinstance(event, ToolReturned):
            yield from self._returned(event)
            return
        response = self.responses.get(event.reply_id)
        if response is None:
            return
        known = self.mcp(event.call.name)
        match event:
            case ApprovalAsked():
                label, name = known or ("", event.call.name)
                self._approvals[event.item_id] = event.call.id
                yield from response.add_approval(event.item_id, label, name, event.call)
            case ToolCalled() if known is not None:
                asked = self._approved.pop(event.call.id, None)
                self._mcp_calls[event.call.id] = (response, event.item_id)
                yield from response.add_mcp_call(event.item_id, *known, event.call, asked)
            case ToolCalled():
                yield from response.add_call(event.item_id, event.call, by_client=event.by_client)

    def _returned(self, event: ToolReturned) -> Iterator[Told]:
        call = event.result.call
        made = self._mcp_calls.pop(call.id, None)
        if made is None:
            yield from self.added(function_output(event.item_id, call.id, event.result.content))
        else:
            response, item_id = made
            yield from response.end_mcp_call(item_id, event.result.content, failed=event.result.failed)

    def decide(self, request_id: str) -> bool:
        """A request for approval is answered; whether it was open."""
        call_id = self._approvals.pop(request_id, None)
        if call_id is not None:
            self._approved[call_id] = request_id
        return call_id is not None

    def _of_playback(self, event: PlaybackStarted | PlaybackStopped | PlaybackCleared) -> Iterator[Told]:
        self.sounding = self.responses.get(event.reply_id) if isinstance(event, PlaybackStarted) else None
        if self._plays:
            names = {PlaybackStarted: "started", PlaybackStopped: "stopped", PlaybackCleared: "cleared"}
            yield f"output_audio_buffer.{names[type(event)]}", {"response_id": event.reply_id}

    def _truncated(self, event: ReplyTruncated) -> Iterator[Told]:
        item = self._items.get(event.item_id)
        if item is not None and item["content"]:
            self._items.add({**item, "content": [{"type": "output_audio", "transcript": event.text}]})
        if self._plays:
            more: Json = {"transcript": event.text} if self._knows_morgan else {}
            place: Json = {"item_id": event.item_id, "content_index": 0, "audio_end_ms": event.audio_end_ms}
            yield "conversation.item.truncated", {**place, **more}

    def _fault(self, event: CallFault) -> Iterator[Told]:
        if self._knows_morgan or event.code == INTERNAL:
            told = {"type": "server_error", "code": event.code, "message": event.message, "param": None}
            yield "error", {"error": {**told, "event_id": None}}


def completed(text: str, seconds: float) -> Json:
    """What is known of a transcript."""
    return {"transcript": text, "usage": {"type": "duration", "seconds": round(seconds, 3)}}


def _item_events(item: Json, previous: str | None) -> Iterator[Told]:
    yield "conversation.item.added", {"previous_item_id": previous, "item": item}
    yield "conversation.item.done", {"previous_item_id": previous, "item": item}


def _own(event: StateChanged | TurnLatency | ShutdownAnnounced | CallEnded) -> Told:
    match event:
        case StateChanged():
            return "morgan.state", {"state": event.state.value}
        case TurnLatency():
            stages = {name: round(ms, 1) for name, ms in event.stages.items()}
            ms = round(event.voice_to_voice_ms, 1)
            return "morgan.latency", {"item_id": event.item_id, "voice_to_voice_ms": ms, "stages": stages}
        case ShutdownAnnounced():
            return "morgan.shutdown", _fields(event, "within_s", "resumable")
        case CallEnded():
            return "morgan.call.ended", {"reason": event.reason}


def _fields(event: object, *names: str) -> Json:
    return {name: getattr(event, name) for name in names}


def _text(text: str) -> Json:
    return {"type": "input_text", "text": text}
