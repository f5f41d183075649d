"""A call's events as RTVI messages (https://docs.pipecat.ai/client/rtvi-standard, protocol 2.1.0). Sans-I/O."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from pipeline.call.events import (
    CallEvent,
    CallFault,
    PlaybackCleared,
    PlaybackStarted,
    PlaybackStopped,
    ReplyCreated,
    ReplyDone,
    ReplyTextCompleted,
    ReplyTextDelta,
    SpeechStarted,
    SpeechStopped,
    ToolCalled,
    ToolReturned,
    TranscriptCompleted,
    TranscriptDelta,
    TurnDropped,
    TurnLatency,
)
from pipeline.text.added_words import added_words
from pipeline.text.words import SENTENCE_ENDS, is_abbreviation

Json: TypeAlias = dict[str, Any]

Told: TypeAlias = tuple[str, Json]
"""Type and data of a message."""

INTERNAL = "internal_error"
"""The fault that ends a call."""


@dataclass(slots=True)
class _Reply:
    """A reply under way.

    Attributes:
        speaks: whether it is spoken.
        waiting: words that are no whole sentence yet.
        segments: the sentences that were told, by their number.
        written: its last words are known.
    """

    speaks: bool
    waiting: str = ""
    segments: list[tuple[int, str]] = field(default_factory=list)
    written: bool = False


class RtviEvents:
    """Translates the events of one call.

    Args:
        user_id: of the caller.
        now: the wall clock, for people.
    """

    def __init__(self, user_id: str, now: Callable[[], datetime]) -> None:
        self._user_id = user_id
        self._now = now
        self._speaking = False
        self._heard = ""
        # The turn that was told last, and its words: a client takes them for final, and only what is added is told.
        self._turn, self._known = "", ""
        self._replies: dict[str, _Reply] = {}
        self._segments = 0

    def translate(self, event: CallEvent) -> list[Told]:
        """What to send for an event, in order."""
        return list(self._told(event))

    def _told(self, event: CallEvent) -> Iterator[Told]:
        match event:
            case SpeechStarted() | SpeechStopped() | TurnDropped() | TranscriptDelta() | TranscriptCompleted():
                yield from self._of_user(event)
            case ReplyCreated() | ReplyTextDelta() | ReplyTextCompleted() | ReplyDone():
                yield from self._of_reply(event)
            case PlaybackStarted() | PlaybackStopped() | PlaybackCleared():
                yield from _of_playback(event)
            case ToolCalled() | ToolReturned():
                yield from _of_tool(event)
            case TurnLatency():
                stages = [{"processor": name, "value": ms / 1000} for name, ms in event.stages.items()]
                whole = [{"processor": "voice_to_voice", "value": event.voice_to_voice_ms / 1000}]
                yield "metrics", {"ttfb": whole, "processing": stages}
            case CallFault():
                yield "error", {"error": event.message, "fatal": event.code == INTERNAL}
            case _:
                """What the protocol has no word for."""

    def _of_user(
        self, event: SpeechStarted | SpeechStopped | TurnDropped | TranscriptDelta | TranscriptCompleted
    ) -> Iterator[Told]:
        match event:
            case SpeechStarted():
                self._speaking, self._heard = True, ""
                yield "user-started-speaking", {}
            case SpeechStopped() | TurnDropped():
                if self._speaking:
                    self._speaking = False
                    yield "user-stopped-speaking", {}
            case TranscriptDelta():
                self._heard += event.delta
                text = self._added(event.item_id, self._heard)
                if text:
                    yield "user-transcription", self._transcript(text, final=False)
            case TranscriptCompleted():
                text = self._added(event.item_id, event.text)
                self._turn, self._known = event.item_id, event.text
                if text:
                    yield "user-transcription", self._transcript(text, final=True)
                    yield "user-llm-text", {"text": text}

    def _added(self, item_id: str, text: str) -> str:
        """What there is of the words of a turn that was not told yet."""
        return added_words(self._known, text) if item_id == self._turn else text

    def _transcript(self, text: str, *, final: bool) -> Json:
        when = self._now().isoformat(timespec="milliseconds")
        return {"text": text, "user_id": self._user_id, "timestamp": when, "final": final}

    def _of_reply(self, event: ReplyCreated | ReplyTextDelta | ReplyTextCompleted | ReplyDone) -> Iterator[Told]:
        if isinstance(event, ReplyCreated):
            self._replies[event.reply_id] = _Reply(event.speaks)
            yield "bot-llm-started", {}
            if event.speaks:
                yield "bot-tts-started", {}
        reply = self._replies.get(event.reply_id)
        if reply is None:
            return
        match event:
            case ReplyTextDelta():
                yield "bot-llm-text", {"text": event.delta}
                reply.waiting += event.delta
                while (end := _sentence_end(reply.waiting)) is not None:
                    yield from self._segment(reply, end)
            case ReplyTextCompleted():
                yield from self._written(reply)
            case ReplyDone():
                yield from self._written(reply)
                if reply.speaks:
                    yield from _heard_of(reply, event.text)
                    yield "bot-tts-stopped", {}
                del self._replies[event.reply_id]

    def _segment(self, reply: _Reply, end: int) -> Iterator[Told]:
        text, reply.waiting = reply.waiting[:end].strip(), reply.waiting[end:]
        if not text:
            return
        self._segments += 1
        reply.segments.append((self._segments, text))
        told: Json = {"text": text, "aggregated_by": "sentence", "segment_id": self._segments}
        yield (
            "bot-output",
            {**told, "will_be_spoken": reply.speaks, **({"spoken_status": "new"} if reply.speaks else {})},
        )
        # What `bot-output` was before protocol 2: clients of that time show nothing else.
        yield "bot-transcription", {"text": text}
        if reply.speaks:
            yield "bot-tts-text", {"text": text}

    def _written(self, reply: _Reply) -> Iterator[Told]:
        if not reply.written:
            reply.written = True
            yield from self._segment(reply, len(reply.waiting))
            yield "bot-llm-stopped", {}


def _heard_of(reply: _Reply, heard: str) -> Iterator[Told]:
    """What became of each sentence: the user heard it, or so much of it."""
    left = heard.split()
    for number, text in reply.segments:
        words = text.split()
        count = min(len(words), len(left))
        left = left[count:]
        if count == 0:
            return
        told: Json = {"text": text, "aggregated_by": "sentence", "segment_id": number, "will_be_spoken": True}
        progress = {"accumulated_text": " ".join(words[:count]), "remaining_text": " ".join(words[count:])}
        status = "completed" if count == len(words) else "in-progress"
        yield "bot-output", {**told, "spoken_status": status, "spoken_progress": progress}


def _sentence_end(text: str) -> int | None:
    """Where the first sentence of a text ends that goes on behind it."""
    for index, letter in enumerate(text[:-1]):
        if letter in SENTENCE_ENDS and text[index + 1].isspace():
            words = text[: index + 1].split()
            if not is_abbreviation(words[-1]):
                return index + 1
    return None


def _of_playback(event: PlaybackStarted | PlaybackStopped | PlaybackCleared) -> Iterator[Told]:
    yield ("bot-started-speaking" if isinstance(event, PlaybackStarted) else "bot-stopped-speaking"), {}


def _of_tool(event: ToolCalled | ToolReturned) -> Iterator[Told]:
    match event:
        case ToolCalled(call=call):
            yield "llm-function-call-started", {"function_name": call.name}
            about: Json = {"function_name": call.name, "tool_call_id": call.id}
            yield "llm-function-call-in-progress", {**about, "arguments": _arguments(call.arguments)}
        case ToolReturned(result=result):
            about = {"function_name": result.call.name, "tool_call_id": result.call.id}
            yield "llm-function-call-stopped", {**about, "cancelled": result.failed, "result": result.content}


def _arguments(text: str) -> Json:
    """Arguments as an object, which those that a model wrote need not be."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}
