"""The client events of the Realtime API, as Pydantic validates them.

Source: https://platform.openai.com/docs/api-reference/realtime-client-events
"""

from typing import Annotated, Any, Literal, TypeAlias

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator, model_validator

from pipeline.engines.images import Image
from server.bounds import MAX_CALL_ARGUMENTS, MAX_CALL_RESULT, MAX_INSTRUCTIONS, MAX_JSON_PARTS, MAX_TEXT
from server.conversations.images import Detail, ImageUrl
from server.http.json_parts import has_too_many_parts
from server.realtime.errors import RealtimeError, validated
from server.realtime.session_schema import (
    Format,
    MaxTokens,
    Modality,
    Name,
    Part,
    Tool,
    ToolChoice,
    Voice,
    not_here,
)

ItemId = Annotated[str, Field(min_length=1, max_length=64)]

Text = Annotated[str, Field(max_length=MAX_TEXT)]

# Items ---------------------------------------------------------------------------------------------------------------


class ContentPart(BaseModel):
    """A part of a message."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["input_text", "input_audio", "input_image", "output_text", "output_audio"]
    text: Text | None = None
    audio: str | None = None
    transcript: Text | None = None
    image_url: ImageUrl | None = None
    detail: Detail | None = None

    @model_validator(mode="after")
    def _something(self) -> "ContentPart":
        if self.type.endswith("_text") and self.text is None:
            raise ValueError(f"a part of the type {self.type} has a `text`")
        if self.type == "input_image" and self.image_url is None:
            raise ValueError("a part of the type input_image has an `image_url`")
        return self

    def words(self) -> str:
        """What it says."""
        return ((self.text if self.text is not None else self.transcript) or "").strip()


class _Item(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: ItemId | None = None
    status: Literal["completed", "incomplete", "in_progress"] | None = None


class MessageItem(_Item):
    """Something said or written."""

    type: Literal["message"]
    role: Literal["user", "assistant", "system"]
    phase: Literal["commentary", "final_answer"] | None = None
    content: Annotated[list[ContentPart], Field(min_length=1, max_length=100)]

    @model_validator(mode="after")
    def _fitting(self) -> "MessageItem":
        fitting = {
            "user": ("input_text", "input_audio", "input_image"),
            "assistant": ("output_text", "output_audio"),
            "system": ("input_text",),
        }[self.role]
        for part in self.content:
            if part.type not in fitting:
                raise ValueError(f"content of the {self.role} is {' or '.join(fitting)}, not {part.type}")
            if self.role == "assistant" and part.type == "output_audio" and part.transcript is None:
                raise ValueError("output_audio needs a `transcript`: the words are what the model reads")
        return self

    def words(self) -> str:
        """What it says; without the audio that has no transcript."""
        return " ".join(words for part in self.content if (words := part.words()))

    def images(self) -> tuple[Image, ...]:
        """What it shows, each image at its place in the words."""
        shown, words = list[Image](), list[str]()
        for part in self.content:
            if part.type == "input_image":
                shown.append(Image(part.image_url or "", len(" ".join(words)), part.detail or ""))
            elif part.words():
                words.append(part.words())
        return tuple(shown)


class FunctionCallItem(_Item):
    """A function call of the assistant."""

    type: Literal["function_call"]
    name: Name
    arguments: Annotated[str, Field(max_length=MAX_CALL_ARGUMENTS)]
    call_id: ItemId | None = None


class OutputPart(BaseModel):
    """A part of a function's result."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["input_text", "output_text"]
    text: Text


class FunctionOutputItem(_Item):
    """What came of a function call."""

    type: Literal["function_call_output"]
    call_id: ItemId
    output: Annotated[str, Field(max_length=MAX_CALL_RESULT)] | Annotated[list[OutputPart], Field(max_length=100)]

    def words(self) -> str:
        """The result as one text."""
        return self.output if isinstance(self.output, str) else "\n".join(part.text for part in self.output)


class ReferenceItem(BaseModel):
    """An item that is there already."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["item_reference"]
    id: ItemId


class ApprovalItem(_Item):
    """Whether a tool of an MCP server may do what it is asked."""

    type: Literal["mcp_approval_response"]
    approval_request_id: ItemId
    approve: bool
    reason: Annotated[str, Field(max_length=2_000)] | None = None


Item: TypeAlias = MessageItem | FunctionCallItem | FunctionOutputItem
"""What a conversation is made of, and the language model reads."""

NewItem: TypeAlias = Annotated[Item | ApprovalItem, Field(discriminator="type")]
AskedItem: TypeAlias = Annotated[
    MessageItem | FunctionCallItem | FunctionOutputItem | ReferenceItem, Field(discriminator="type")
]

# Events --------------------------------------------------------------------------------------------------------------


class _Event(BaseModel):
    model_config = ConfigDict(extra="ignore")

    event_id: Annotated[str, Field(max_length=512)] | None = None


class SessionUpdate(_Event):
    """Change the configuration."""

    type: Literal["session.update"]
    session: Any = None


class Append(_Event):
    """Audio of the user."""

    type: Literal["input_audio_buffer.append"]
    audio: str


class Commit(_Event):
    """The user's turn is over."""

    type: Literal["input_audio_buffer.commit"]


class Clear(_Event):
    """What was heard does not count."""

    type: Literal["input_audio_buffer.clear"]


class ClearOutput(_Event):
    """Be silent."""

    type: Literal["output_audio_buffer.clear"]


class CreateItem(_Event):
    """Something is to count as said."""

    type: Literal["conversation.item.create"]
    item: NewItem
    previous_item_id: ItemId | None = None


class RetrieveItem(_Event):
    """Show an item."""

    type: Literal["conversation.item.retrieve"]
    item_id: ItemId


class DeleteItem(_Event):
    """Something is to count as never said."""

    type: Literal["conversation.item.delete"]
    item_id: ItemId


class TruncateItem(_Event):
    """Of a reply only so much was heard."""

    type: Literal["conversation.item.truncate"]
    item_id: ItemId
    content_index: Annotated[int, Field(ge=0)]
    audio_end_ms: Annotated[int, Field(ge=0)]


class ResponseAudioOutput(Part):
    """How one reply sounds."""

    format: Format | None = None
    voice: Voice | None = None


class ResponseAudio(Part):
    """Sound of one reply."""

    output: ResponseAudioOutput | None = None


class ResponseWanted(Part):
    """How one reply is to be."""

    audio: ResponseAudio | None = None
    conversation: Literal["auto", "none"] | None = None
    input: Annotated[list[AskedItem], Field(max_length=1_000)] | None = None
    instructions: Annotated[str, Field(max_length=MAX_INSTRUCTIONS)] | None = None
    max_output_tokens: MaxTokens | None = None
    metadata: dict[str, str] | None = None
    output_modalities: Annotated[list[Modality], Field(min_length=1, max_length=1)] | None = None
    parallel_tool_calls: bool | None = None
    prompt: Any = None
    reasoning: Any = None
    tool_choice: ToolChoice | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None

    @field_validator("prompt", "reasoning")
    @classmethod
    def _not_there(cls, value: Any) -> None:
        if value is not None:
            raise not_here("neither stored prompts nor a reasoning effort are supported here")

    @field_validator("metadata")
    @classmethod
    def _few(cls, pairs: dict[str, str] | None) -> dict[str, str] | None:
        if pairs and (len(pairs) > 16 or any(len(name) > 64 or len(value) > 512 for name, value in pairs.items())):
            raise ValueError("at most 16 pairs, of 64 and 512 characters")
        return pairs


class CreateResponse(_Event):
    """Reply."""

    type: Literal["response.create"]
    response: ResponseWanted | None = None


class CancelResponse(_Event):
    """Give the reply up."""

    type: Literal["response.cancel"]
    response_id: ItemId | None = None


ClientEvent: TypeAlias = (
    SessionUpdate
    | Append
    | Commit
    | Clear
    | ClearOutput
    | CreateItem
    | RetrieveItem
    | DeleteItem
    | TruncateItem
    | CreateResponse
    | CancelResponse
)

_FORMS: dict[str, TypeAdapter[ClientEvent]] = {
    form.model_fields["type"].annotation.__args__[0]: TypeAdapter(form) for form in ClientEvent.__args__
}


def parse_event(text: str) -> tuple[ClientEvent | None, str | None, RealtimeError | None]:
    """A message of a client.

    Returns:
        the event, the id that the client gave it, and what is wrong with it; either the first or the last is None.
    """
    event_id: str | None = None
    try:
        found = _parsed(text)
        given = found.get("event_id")
        event_id = given[:512] if isinstance(given, str) else None
        return validated(_form(found.get("type")), found), event_id, None
    except RealtimeError as error:
        return None, event_id, error


def _parsed(text: str) -> dict[str, Any]:
    if has_too_many_parts(text.encode("utf-8", "surrogatepass")):
        raise RealtimeError("too_many_values", f"A message may have at most {MAX_JSON_PARTS} values in it.")
    try:
        # Without what could not be told others: lone surrogates, NaN.
        found = pydantic_core.from_json(text.encode("utf-8", "surrogatepass"), allow_inf_nan=False)
    except ValueError:
        raise RealtimeError("invalid_json", "The message is not JSON.") from None
    if not isinstance(found, dict):
        raise RealtimeError("invalid_event", 'An event is an object with a "type".')
    return found


def _form(kind: object) -> TypeAdapter[ClientEvent]:
    if kind is None:
        raise RealtimeError("missing_required_parameter", "Missing required parameter: 'type'.", "type")
    if not isinstance(kind, str) or kind not in _FORMS:
        known = ", ".join(f"'{name}'" for name in _FORMS)
        message = f"Invalid value: '{str(kind)[:80]}'. Supported values are: {known}."
        raise RealtimeError("invalid_value", message, "type")
    return _FORMS[kind]
