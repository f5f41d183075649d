"""Requests and answers of `/chat/completions` as the API spells them, without any connection.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.engines.images import content_parts
from pipeline.engines.protocols import ChatRequest, Message, ToolCall, ToolSpec
from pipeline.text.thinking import without_thoughts


def chat_messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The context."""
    return [_message(message) for message in messages]


def _message(message: Message) -> dict[str, Any]:
    content = without_thoughts(message.content) if message.role == "assistant" else message.content
    spelled: dict[str, Any] = {
        "role": message.role,
        "content": content_parts(content, message.images) if message.images else content,
    }
    if message.tool_call_id:
        spelled["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        spelled["content"] = content or None
        spelled["tool_calls"] = [tool_call(call) for call in message.tool_calls]
    return spelled


def tool_call(call: ToolCall) -> dict[str, Any]:
    """What is asked of a tool."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def tool_options(request: ChatRequest) -> dict[str, Any]:
    """The fields `tools` and what else is said of them; none where there are no tools."""
    if not request.tools:
        return {}
    choice: Any = request.tool_choice
    if choice not in ("auto", "none", "required"):
        choice = {"type": "function", "function": {"name": choice}}
    # What endpoints do where nothing is said; not all of them know the field.
    single = {} if request.parallel_tool_calls else {"parallel_tool_calls": False}
    return {"tools": [chat_tool(tool) for tool in request.tools], "tool_choice": choice, **single}


def form_options(request: ChatRequest) -> dict[str, Any]:
    """The field `response_format`; none where the answer is text."""
    form = request.form
    if form is None:
        return {}
    if form.schema is None:
        return {"response_format": {"type": "json_object"}}
    schema: dict[str, Any] = {"name": form.name or "answer", "schema": dict(form.schema)}
    schema |= {"description": form.description} if form.description else {}
    schema |= {"strict": form.strict} if form.strict is not None else {}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def chat_tool(tool: ToolSpec) -> dict[str, Any]:
    """A tool that may be asked for."""
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


@dataclass(slots=True)
class _Part:
    id: str = ""
    name: str = ""
    arguments: str = ""


class ToolCallAssembler:
    """Puts the tool calls of a streamed reply together.

    A call comes in pieces: its id and name once, its arguments a few characters at a time, told apart by `index`.
    Some servers leave the index or the id out; a new name then begins the next call, and ids are made up.
    """

    def __init__(self) -> None:
        self._parts: dict[int, _Part] = {}

    def add(self, pieces: Iterable[Any] | None) -> None:
        """Take in `delta.tool_calls` of a chunk."""
        for piece in pieces or ():
            function = piece.function
            part = self._parts.setdefault(self._index(piece), _Part())
            part.id = part.id or piece.id or ""
            if function is not None:
                part.name = part.name or function.name or ""
                part.arguments += function.arguments or ""

    def _index(self, piece: Any) -> int:
        if piece.index is not None:
            return int(piece.index)
        begins = not self._parts or (piece.function is not None and bool(piece.function.name))
        return len(self._parts) if begins else len(self._parts) - 1

    def calls(self) -> tuple[ToolCall, ...]:
        """The calls as far as they are known, in the order of their index; arguments left out are an empty object."""
        listed = sorted(self._parts.items())
        return tuple(
            ToolCall(part.id or f"call_{index}", part.name, part.arguments or "{}")
            for index, part in listed
            if part.name
        )
