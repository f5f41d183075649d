"""A call's events in the words of the OpenAI Realtime API (GA), as they travel on the data channel `oai-events`.

Latency, states and other things that the API has no words for travel as `morgan.*`.
"""

import itertools
from typing import Any, assert_never

from pipeline.call.events import (
    CallEnded,
    CallEvent,
    CallFault,
    PlaybackCleared,
    PlaybackStarted,
    PlaybackStopped,
    ReplyCreated,
    ReplyDone,
    ReplyTextCompleted,
    ReplyTextDelta,
    ReplyTruncated,
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
from pipeline.call.options import CallOptions
from pipeline.engines.protocols import ToolSpec

Json = dict[str, Any]


class RealtimeEvents:
    """Translates the events of one call.

    Args:
        call_id: of the call.
        options: of the call.
        model: name of the language model.
    """

    def __init__(self, call_id: str, options: CallOptions, model: str) -> None:
        self._call_id = call_id
        self._options = options
        self._model = model
        self._numbers = itertools.count()
        self._reply_text: dict[str, str] = {}
        self._previous: dict[str, str | None] = {}
        self._calls: dict[str, list[Json]] = {}

    def session(self, kind: str = "session.created") -> Json:
        """The first event of every connection, and the answer to `session.update`."""
        options = self._options
        turn_detection = {"type": "semantic_vad", "eagerness": "auto", "create_response": True}
        transcription = {
            "model": "whisper-1",
            "language": options.language or options.expected_language,
            "prompt": None,
        }
        session = {
            "type": "realtime",
            "object": "realtime.session",
            "id": self._call_id,
            "model": self._model,
            "output_modalities": ["audio"],
            "instructions": options.instructions,
            "max_output_tokens": options.max_tokens,
            "tools": [_function(tool) for tool in options.tools.specs],
            "tool_choice": "auto",
            "tracing": None,
            "truncation": "auto",
            "prompt": None,
            "include": None,
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "noise_reduction": None,
                    "transcription": transcription,
                    "turn_detection": {**turn_detection, "interrupt_response": True},
                },
                "output": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "voice": options.voice or "default",
                    "speed": options.speed,
                },
            },
        }
        return self._event(kind, session=session)

    def error(self, code: str, message: str, event_id: str | None = None) -> Json:
        """An error that the call survives."""
        error = {"type": "invalid_request_error", "code": code, "message": message, "param": None, "event_id": event_id}
        return self._event("error", error=error)

    def translate(self, event: CallEvent) -> list[Json]:
        """What to send for an event, in order."""
        match event:
            case SpeechStarted() | SpeechStopped() | TurnCommitted() | TurnDropped():
                return self._of_turn(event)
            case TranscriptDelta() | TranscriptCompleted() | TranscriptFailed() | TurnUnclear():
                return [self._of_transcript(event)]
            case ReplyCreated() | ReplyTextDelta() | ReplyTextCompleted() | ReplyDone():
                return self._of_reply(event)
            case ToolCalled() | ToolReturned():
                return self._of_tool(event)
            case PlaybackStarted():
                return [self._event("output_audio_buffer.started", response_id=event.reply_id)]
            case PlaybackStopped():
                return [self._event("output_audio_buffer.stopped", response_id=event.reply_id)]
            case PlaybackCleared():
                return [self._event("output_audio_buffer.cleared", response_id=event.reply_id)]
            case ReplyTruncated():
                cut = {"content_index": 0, "audio_end_ms": event.audio_end_ms, "transcript": event.text}
                return [self._event("conversation.item.truncated", item_id=event.item_id, **cut)]
            case StateChanged():
                return [self._event("morgan.state", state=event.state.value)]
            case TurnLatency():
                stages = {name: round(ms, 1) for name, ms in event.stages.items()}
                ms = round(event.voice_to_voice_ms, 1)
                return [self._event("morgan.latency", item_id=event.item_id, voice_to_voice_ms=ms, stages=stages)]
            case CallFault():
                error = {"type": "server_error", "code": event.code, "message": event.message, "param": None}
                return [self._event("error", error={**error, "event_id": None})]
            case CallEnded():
                return [self._event("morgan.call.ended", reason=event.reason)]
            case _:
                assert_never(event)

    def _of_turn(self, event: SpeechStarted | SpeechStopped | TurnCommitted | TurnDropped) -> list[Json]:
        match event:
            case SpeechStarted():
                fields: Json = {"item_id": event.item_id, "audio_start_ms": event.audio_start_ms}
                return [self._event("input_audio_buffer.speech_started", **fields)]
            case SpeechStopped():
                fields = {"item_id": event.item_id, "audio_end_ms": event.audio_end_ms}
                return [self._event("input_audio_buffer.speech_stopped", **fields)]
            case TurnDropped():
                return [self._event("conversation.item.deleted", item_id=event.item_id)]
        if event.typed is not None:
            content: Json = {"type": "input_text", "text": event.typed}
            committed = []
        else:
            content = {"type": "input_audio", "transcript": None}
            placed = {"item_id": event.item_id, "previous_item_id": event.previous_item_id}
            committed = [self._event("input_audio_buffer.committed", **placed)]
        item = _message(event.item_id, "user", "completed", [content])
        return [*committed, *self._item_events(item, event.previous_item_id)]

    def _item_events(self, item: Json, previous: str | None) -> list[Json]:
        return [
            self._event("conversation.item.added", previous_item_id=previous, item=item),
            self._event("conversation.item.done", previous_item_id=previous, item=item),
        ]

    def _of_transcript(self, event: TranscriptDelta | TranscriptCompleted | TranscriptFailed | TurnUnclear) -> Json:
        kind = "conversation.item.input_audio_transcription"
        match event:
            case TranscriptDelta():
                return self._event(f"{kind}.delta", item_id=event.item_id, content_index=0, delta=event.delta)
            case TranscriptCompleted():
                usage = {"type": "duration", "seconds": round(event.duration_s, 3)}
                fields: Json = {"item_id": event.item_id, "content_index": 0, "transcript": event.text, "usage": usage}
                return self._event(f"{kind}.completed", **fields, language=event.language)
            case TranscriptFailed():
                error = {"type": "transcription_error", "code": "transcription_failed", "message": event.message}
                return self._event(f"{kind}.failed", item_id=event.item_id, content_index=0, error=error)
            case TurnUnclear():
                message = "Somebody spoke, but no words could be made out"
                error = {"type": "transcription_error", "code": "unintelligible", "message": message}
                fields = {"item_id": event.item_id, "content_index": 0, "error": error, "transcript": event.text}
                return self._event(f"{kind}.failed", **fields)

    def _of_reply(self, event: ReplyCreated | ReplyTextDelta | ReplyTextCompleted | ReplyDone) -> list[Json]:
        place: Json = {
            "response_id": event.reply_id, "item_id": event.item_id, "output_index": 0, "content_index": 0
        }  # fmt: skip
        match event:
            case ReplyCreated():
                self._reply_text[event.reply_id] = ""
                self._previous[event.reply_id] = event.previous_item_id
                item = _message(event.item_id, "assistant", "in_progress", [])
                added = {"previous_item_id": event.previous_item_id, "item": item}
                return [
                    self._event("response.created", response=self._response(event.reply_id, "in_progress")),
                    self._event("response.output_item.added", response_id=event.reply_id, output_index=0, item=item),
                    self._event("conversation.item.added", **added),
                    self._event("response.content_part.added", **place, part={"type": "audio", "transcript": ""}),
                ]
            case ReplyTextDelta():
                self._reply_text[event.reply_id] = self._reply_text.get(event.reply_id, "") + event.delta
                return [self._event("response.output_audio_transcript.delta", **place, delta=event.delta)]
            case ReplyTextCompleted():
                self._reply_text[event.reply_id] = event.text
                return [self._event("response.output_audio_transcript.done", **place, transcript=event.text)]
        return self._reply_done(event, place)

    def _of_tool(self, event: ToolCalled | ToolReturned) -> list[Json]:
        """A tool that the server runs: the client sees the call and its result as items, and has nothing to do."""
        match event:
            case ToolCalled():
                return self._tool_called(event)
            case ToolReturned():
                call, result = event.result.call, {"type": "function_call_output", "output": event.result.content}
                item = {"id": event.item_id, "object": "realtime.item", "status": "completed", **result}
                return self._item_events({**item, "call_id": call.id}, None)

    def _tool_called(self, event: ToolCalled) -> list[Json]:
        calls = self._calls.setdefault(event.reply_id, [])
        call, place = event.call, {"response_id": event.reply_id, "output_index": len(calls) + 1}
        item = {"id": event.item_id, "object": "realtime.item", "type": "function_call", "status": "in_progress"}
        begun = {**item, "call_id": call.id, "name": call.name, "arguments": ""}
        done = {**begun, "status": "completed", "arguments": call.arguments}
        written = {**place, "item_id": event.item_id, "call_id": call.id}
        calls.append(done)
        return [
            self._event("response.output_item.added", **place, item=begun),
            self._event("conversation.item.added", previous_item_id=None, item=begun),
            self._event("response.function_call_arguments.delta", **written, delta=call.arguments),
            self._event("response.function_call_arguments.done", **written, arguments=call.arguments, name=call.name),
            self._event("conversation.item.done", previous_item_id=None, item=done),
            self._event("response.output_item.done", **place, item=done),
        ]

    def _reply_done(self, event: ReplyDone, place: Json) -> list[Json]:
        self._reply_text.pop(event.reply_id, None)
        status = "completed" if event.status == "completed" else "incomplete"
        item = _message(event.item_id, "assistant", status, [{"type": "output_audio", "transcript": event.text}])
        details: Json | None = None
        if event.status == "cancelled":
            details = {"type": "cancelled", "reason": event.reason}
        elif event.status == "failed":
            error = {"type": "server_error", "code": "engine_failed"}
            details = {"type": "failed", "error": error}
        output = [item, *self._calls.pop(event.reply_id, [])]
        response = self._response(event.reply_id, event.status, details, output)
        previous = self._previous.pop(event.reply_id, None)
        part = {"type": "audio", "transcript": event.text}
        return [
            self._event("response.output_audio.done", **place),
            self._event("response.content_part.done", **place, part=part),
            self._event("conversation.item.done", previous_item_id=previous, item=item),
            self._event("response.output_item.done", response_id=event.reply_id, output_index=0, item=item),
            self._event("response.done", response=response),
        ]

    def _response(
        self, reply_id: str, status: str, details: Json | None = None, output: list[Json] | None = None
    ) -> Json:
        voice = self._options.voice or "default"
        return {
            "object": "realtime.response",
            "id": reply_id,
            "status": status,
            "status_details": details,
            "output": output or [],
            "conversation_id": self._options.conversation_id,
            "output_modalities": ["audio"],
            "max_output_tokens": self._options.max_tokens,
            "audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": voice}},
            "usage": None,
            "metadata": None,
        }

    def _event(self, kind: str, **fields: Any) -> Json:
        return {"type": kind, "event_id": f"event_{next(self._numbers)}", **fields}


def _function(tool: ToolSpec) -> Json:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }


def _message(item_id: str, role: str, status: str, content: list[Json]) -> Json:
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "role": role,
        "status": status,
        "content": content,
    }
