"""A response as it grows: its output items and their parts, and the events that tell of them.

The message of a response appears with its first words; a response that only calls functions has none.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.call.events import ReplyDone, TokenUsage
from pipeline.engines.protocols import ToolCall
from server.realtime.items import ItemList, function_call, message

Json = dict[str, Any]
Told = tuple[str, Json]
"""An event's type and its fields."""


@dataclass(slots=True)
class Response:
    """One response.

    Attributes:
        id: of it.
        item_id: of its message.
        speaks: whether it is spoken; otherwise it is text.
        conversation_id: that it belongs to; None for none.
        audio: how it sounds.
        max_output_tokens: as the client sees it.
        metadata: as the client gave it.
        items: of the conversation; None where it belongs to none.
        text: of its message, as far as it is known.
        text_done: all of it is.
        asks_client: it ends with a function that the client has to run.
    """

    id: str
    item_id: str
    speaks: bool
    conversation_id: str | None
    audio: Json
    max_output_tokens: int | str
    metadata: dict[str, str] | None
    items: ItemList | None
    text: str = ""
    text_done: bool = False
    asks_client: bool = False
    _index: int | None = None
    _output: list[Json] = field(default_factory=list)

    # Events ----------------------------------------------------------------------------------------------------------

    def created(self) -> Iterator[Told]:
        """It has begun."""
        yield "response.created", {"response": self.describe("in_progress")}
        # Nothing is counted by tokens here; requests are, by HTTP.
        yield "rate_limits.updated", {"rate_limits": []}

    def add_text(self, delta: str) -> Iterator[Told]:
        """More words."""
        yield from self._message()
        self.text += delta
        yield self._text_event("delta"), {**self._place(), "delta": delta}

    def end_text(self, text: str) -> Iterator[Told]:
        """All words are known."""
        if text or self._index is not None:
            yield from self._message()
            yield from self._text_done(text)

    def add_audio(self, data: str) -> Iterator[Told]:
        """More sound, base64."""
        yield from self._message()
        yield "response.output_audio.delta", {**self._place(), "delta": data}

    def add_call(self, item_id: str, call: ToolCall, *, by_client: bool) -> Iterator[Told]:
        """A function is called; `by_client`: it is the client who runs it."""
        self.asks_client = self.asks_client or by_client
        index = len(self._output)
        begun = function_call(item_id, call.id, call.name, "", "in_progress")
        done = function_call(item_id, call.id, call.name, call.arguments)
        self._output.append(done)
        previous = self._add(done)
        place = {"response_id": self.id, "output_index": index}
        written = {**place, "item_id": item_id, "call_id": call.id}
        yield "response.output_item.added", {**place, "item": begun}
        if self.items is not None:
            yield "conversation.item.added", {"previous_item_id": previous, "item": begun}
        yield "response.function_call_arguments.delta", {**written, "delta": call.arguments}
        yield "response.function_call_arguments.done", {**written, "arguments": call.arguments, "name": call.name}
        if self.items is not None:
            yield "conversation.item.done", {"previous_item_id": previous, "item": done}
        yield "response.output_item.done", {**place, "item": done}

    def add_approval(self, item_id: str, label: str, name: str, call: ToolCall) -> Iterator[Told]:
        """A tool of an MCP server waits for the client's approval."""
        item: Json = {"id": item_id, "type": "mcp_approval_request", "server_label": label, "name": name}
        item["arguments"] = call.arguments
        place = {"response_id": self.id, "output_index": len(self._output), "item": item}
        self._output.append(item)
        previous = self._add(item)
        yield "response.output_item.added", place
        if self.items is not None:
            yield "conversation.item.added", {"previous_item_id": previous, "item": item}
            yield "conversation.item.done", {"previous_item_id": previous, "item": item}
        yield "response.output_item.done", place

    def add_mcp_call(
        self, item_id: str, label: str, name: str, call: ToolCall, approval_request_id: str | None
    ) -> Iterator[Told]:
        """A tool of an MCP server is called."""
        begun: Json = {"id": item_id, "type": "mcp_call", "server_label": label, "name": name, "arguments": ""}
        begun |= {"approval_request_id": approval_request_id, "output": None, "error": None}
        item = {**begun, "arguments": call.arguments}
        index = len(self._output)
        self._output.append(item)
        previous = self._add(item)
        place: Json = {"output_index": index, "item_id": item_id}
        written = {"response_id": self.id, **place}
        yield "response.output_item.added", {"response_id": self.id, "output_index": index, "item": begun}
        if self.items is not None:
            yield "conversation.item.added", {"previous_item_id": previous, "item": begun}
        # Optional to OpenAI; without it agents-realtime drops the event.
        yield "response.mcp_call_arguments.delta", {**written, "delta": call.arguments, "obfuscation": ""}
        yield "response.mcp_call_arguments.done", {**written, "arguments": call.arguments}
        yield "response.mcp_call.in_progress", place

    def end_mcp_call(self, item_id: str, output: str, *, failed: bool) -> Iterator[Told]:
        """It has answered, or nobody waits for it any more."""
        index = next(index for index, item in enumerate(self._output) if item["id"] == item_id)
        error = {"type": "tool_execution_error", "message": output} if failed else None
        item = {**self._output[index], "output": None if failed else output, "error": error}
        self._output[index] = item
        yield f"response.mcp_call.{'failed' if failed else 'completed'}", {"output_index": index, "item_id": item_id}
        if self.items is not None and item_id in self.items:
            yield "conversation.item.done", {"previous_item_id": self.items.add(item), "item": item}
        yield "response.output_item.done", {"response_id": self.id, "output_index": index, "item": item}

    def done(self, event: ReplyDone) -> Iterator[Told]:
        """It is over."""
        if self._index is not None:
            yield from self._end_message(event)
        details = _details(event)
        status = "incomplete" if event.cut_short and event.status == "completed" else event.status
        yield "response.done", {"response": self.describe(status, details, _usage(event.usage))}

    def _end_message(self, event: ReplyDone) -> Iterator[Told]:
        assert self._index is not None
        if self.speaks:
            yield "response.output_audio.done", self._place()
        if not self.text_done:
            yield from self._text_done(event.text)
        status = "completed" if event.status == "completed" and not event.cut_short else "incomplete"
        item = message(self.item_id, "assistant", status, [self._content(event.text)])
        # Behind what is said before a function is called comes another message.
        item["phase"] = "commentary" if self.asks_client else "final_answer"
        self._output[self._index] = item
        previous = self._replace(item)
        yield "response.content_part.done", {**self._place(), "part": self._part(event.text)}
        if self.items is not None and self.item_id in self.items:
            yield "conversation.item.done", {"previous_item_id": previous, "item": item}
        yield "response.output_item.done", {"response_id": self.id, "output_index": self._index, "item": item}

    def _message(self) -> Iterator[Told]:
        """The message appears, unless it has."""
        if self._index is not None:
            return
        self._index = len(self._output)
        item = message(self.item_id, "assistant", "in_progress", [])
        self._output.append(item)
        previous = self._add(item)
        yield "response.output_item.added", {"response_id": self.id, "output_index": self._index, "item": item}
        if self.items is not None:
            yield "conversation.item.added", {"previous_item_id": previous, "item": item}
        yield "response.content_part.added", {**self._place(), "part": self._part("")}

    def _text_done(self, text: str) -> Iterator[Told]:
        self.text_done = True
        named = {"transcript" if self.speaks else "text": text}
        yield self._text_event("done"), {**self._place(), **named}

    def _text_event(self, what: str) -> str:
        return f"response.output_audio_transcript.{what}" if self.speaks else f"response.output_text.{what}"

    def _place(self) -> Json:
        return {"response_id": self.id, "item_id": self.item_id, "output_index": self._index, "content_index": 0}

    def _part(self, text: str) -> Json:
        return {"type": "audio", "transcript": text} if self.speaks else {"type": "text", "text": text}

    def _content(self, text: str) -> Json:
        return {"type": "output_audio", "transcript": text} if self.speaks else {"type": "output_text", "text": text}

    def _add(self, item: Json) -> str | None:
        return self.items.add(item) if self.items is not None else None

    def _replace(self, item: Json) -> str | None:
        """Put the finished message into its place, unless the client has deleted it."""
        if self.items is None or self.item_id not in self.items:
            return None
        return self.items.add(item)

    def describe(self, status: str, details: Json | None = None, usage: Json | None = None) -> Json:
        """As the client sees it."""
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": list(self._output),
            "conversation_id": self.conversation_id,
            "output_modalities": ["audio" if self.speaks else "text"],
            "max_output_tokens": self.max_output_tokens,
            "audio": {"output": {"format": self.audio["format"], "voice": self.audio["voice"]}},
            "usage": usage,
            "metadata": self.metadata,
        }


def _details(event: ReplyDone) -> Json | None:
    match event.status:
        case "cancelled":
            return {"type": "cancelled", "reason": event.reason}
        case "failed":
            return {"type": "failed", "error": {"type": "server_error", "code": "engine_failed"}}
        case _ if event.cut_short:
            return {"type": "incomplete", "reason": "max_output_tokens"}
    return None


def _usage(usage: TokenUsage | None) -> Json | None:
    """Tokens as the language model counted them: it reads and writes text, whatever its words sound like."""
    if usage is None:
        return None
    return {
        "total_tokens": usage.prompt + usage.completion,
        "input_tokens": usage.prompt,
        "output_tokens": usage.completion,
        "input_token_details": {"text_tokens": usage.prompt, "audio_tokens": 0, "image_tokens": 0},
        "output_token_details": {"text_tokens": usage.completion, "audio_tokens": 0},
    }
