"""What a client wants of one response, as the call and the language model take it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pipeline.call.wish import ReplyWish
from pipeline.engines.images import Image
from pipeline.engines.protocols import Message, ToolCall
from server.bounds import MAX_ITEM_CHARS
from server.realtime.client_events import (
    AskedItem,
    FunctionCallItem,
    FunctionOutputItem,
    MessageItem,
    ReferenceItem,
    ResponseWanted,
)
from server.realtime.errors import RealtimeError, unsupported
from server.realtime.session_config import Json, SessionConfig
from server.realtime.session_schema import MOST_TOKENS
from server.realtime.session_tools import functions_among, spec


def without_fixed(wanted: ResponseWanted, config: SessionConfig) -> ResponseWanted:
    """What is left of a client's wishes where its token says some of it."""
    fixed, changed = config.defaults.fixed, dict[str, Any]()
    if "instructions" in fixed:
        changed["instructions"] = None
    if "voice" in fixed and wanted.audio is not None and wanted.audio.output is not None:
        output = wanted.audio.output.model_copy(update={"voice": None})
        changed["audio"] = wanted.audio.model_copy(update={"output": output})
    return wanted.model_copy(update=changed)


def reply_wish(
    wanted: ResponseWanted, config: SessionConfig, messages: tuple[Message, ...] | None, name: str
) -> ReplyWish:
    """How a response is to be made.

    Args:
        wanted: by the client.
        config: of the session.
        messages: what it answers in place of the conversation; None for the conversation.
        name: of the wish.

    Raises:
        RealtimeError: something in it is not to be had.
    """
    output = wanted.audio.output if wanted.audio else None
    if output is not None and output.format is not None and output.format.type != config.output_format["type"]:
        message = "The format of the output is that of the session: change it with session.update"
        raise unsupported("response.audio.output.format", message)
    if any(tool.type == "mcp" for tool in wanted.tools or ()):
        raise unsupported("response.tools", "MCP servers are those of the session: name them with session.update")
    functions = None if wanted.tools is None else functions_among(wanted.tools, config.abilities, "response.tools")
    most = wanted.max_output_tokens
    return ReplyWish(
        name,
        wanted.instructions,
        None if wanted.output_modalities is None else wanted.output_modalities[0] == "audio",
        config.voice_of(output.voice, "response.audio.output.voice") if output and output.voice else None,
        MOST_TOKENS if most == "inf" else most,
        None if functions is None else tuple(spec(tool) for tool in functions),
        _choice(wanted),
        wanted.parallel_tool_calls,
        messages,
    )


def _choice(wanted: ResponseWanted) -> str | None:
    choice = wanted.tool_choice
    if choice is None or isinstance(choice, str):
        return choice
    return str(getattr(choice, "name"))  # noqa: B009


def asked_messages(
    items: Sequence[AskedItem], find: Callable[[str], Json], shown: Callable[[str], tuple[Image, ...]]
) -> tuple[Message, ...]:
    """The input of a response as messages; its images are looked at by `refuse_images`.

    Args:
        items: as the client gave them.
        find: an item of the conversation by its id.
        shown: its images, likewise.

    Raises:
        RealtimeError: there is no item of an id, or it is too much: an item may be named many times.
    """
    messages: list[Message] = []
    chars = 0
    for item in items:
        found = _messages(item, find, shown)
        chars += sum(len(each.content) + sum(len(call.arguments) for call in each.tool_calls) for each in found)
        if chars > MAX_ITEM_CHARS:
            message = f"The input of a response may have at most {MAX_ITEM_CHARS} characters"
            raise RealtimeError("invalid_value", message, "response.input")
        messages += found
    return tuple(messages)


def _messages(item: AskedItem, find: Callable[[str], Json], shown: Callable[[str], tuple[Image, ...]]) -> list[Message]:
    match item:
        case MessageItem():
            if any(part.audio and not part.transcript for part in item.content):
                message = "Audio in the input of a response needs a `transcript`; as an item it is transcribed"
                raise unsupported("response.input", message)
            return [Message(item.role, item.words(), images=item.images())]
        case FunctionCallItem():
            return [Message("assistant", "", tool_calls=(ToolCall(item.call_id or "", item.name, item.arguments),))]
        case FunctionOutputItem():
            return [Message("tool", item.words(), item.call_id)]
        case ReferenceItem():
            try:
                return [replace(each, images=shown(item.id)) for each in _of_json(find(item.id))]
            except RealtimeError as error:
                raise RealtimeError(error.code, error.message, "response.input") from None


def _of_json(item: dict[str, Any]) -> list[Message]:
    """An item of the conversation."""
    match item["type"]:
        case "function_call":
            return [Message("assistant", "", tool_calls=(ToolCall(item["call_id"], item["name"], item["arguments"]),))]
        case "function_call_output":
            return [Message("tool", item["output"], item["call_id"])]
    if item["type"].startswith("mcp_"):
        return []
    # As `MessageItem.words` has them: the places of images are counted in those.
    texts = ((part.get("text") or part.get("transcript") or "").strip() for part in item["content"])
    return [Message(item["role"], " ".join(text for text in texts if text))]
