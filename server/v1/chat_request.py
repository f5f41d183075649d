"""What clients of `/v1/chat/completions` send, as Pydantic validates it, and what it means for the engine.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from pipeline.engines.guidance import Guidance
from pipeline.engines.images import Image
from pipeline.engines.protocols import AnswerForm, ChatRequest, Message, Role, ToolCall, ToolSpec
from server.bounds import MAX_CHAT_CHARS, MAX_CHAT_MESSAGES, MAX_SCHEMA_PARTS, MAX_TOKENS
from server.conversations.generation import DEFAULT_MAX_TOKENS
from server.conversations.images import Detail, ImageUrl
from server.http.errors import ApiError
from server.v1.model_name import ModelName

_Text = Annotated[str, Field(max_length=MAX_CHAT_CHARS)]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class _Part(BaseModel):
    """Fields that are not known here mean nothing here."""

    model_config = ConfigDict(extra="ignore")


class TextPart(_Part):
    """A piece of a message."""

    type: Literal["text"]
    text: _Text


class RefusalPart(_Part):
    """A piece of an earlier answer in which a model declined."""

    type: Literal["refusal"]
    refusal: _Text

    @property
    def text(self) -> str:
        """What it said."""
        return self.refusal


class ImageAt(_Part):
    """Where an image is, and how closely the model is to look."""

    url: ImageUrl
    detail: Detail | None = None


class ImagePart(_Part):
    """An image, for a model that sees; as a data URL."""

    type: Literal["image_url"]
    image_url: ImageAt
    text: ClassVar = ""


class CalledFunction(_Part):
    """Which function, with which arguments (JSON as text)."""

    name: _Name
    arguments: Annotated[str, Field(max_length=MAX_CHAT_CHARS)]


class AskedTool(_Part):
    """A tool call of an earlier answer."""

    id: Annotated[str, Field(max_length=128)]
    type: Literal["function"] = "function"
    function: CalledFunction


ContentPart = Annotated[TextPart | ImagePart | RefusalPart, Field(discriminator="type")]

_ROLES = {"developer": "system", "function": "tool"}


class ChatMessage(_Part):
    """One message."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: _Text | Annotated[list[ContentPart], Field(max_length=100)] | None = None
    refusal: _Text | None = None
    name: Annotated[str, Field(max_length=128)] | None = None
    tool_calls: Annotated[list[AskedTool], Field(max_length=128)] | None = None
    tool_call_id: Annotated[str, Field(max_length=128)] | None = None
    function_call: CalledFunction | None = None

    @model_validator(mode="after")
    def _shown_by_the_user(self) -> "ChatMessage":
        if self.role != "user" and self._images():
            raise ValueError("only the user shows images: an image_url is of the role user")
        return self

    def _images(self) -> tuple[Image, ...]:
        images, words = list[Image](), 0
        for part in self.content if isinstance(self.content, list) else ():
            if isinstance(part, ImagePart):
                images.append(Image(part.image_url.url, words, part.image_url.detail or ""))
            words += len(part.text)
        return tuple(images)

    def message(self) -> Message:
        """As engines know it: what came before `tool_calls` (role `function`, `function_call`) in today's words."""
        role = _ROLES.get(self.role, self.role)
        parts = self.content if isinstance(self.content, list) else None
        text = "".join(part.text for part in parts) if parts is not None else str(self.content or self.refusal or "")
        asked = [ToolCall(call.id, call.function.name, call.function.arguments) for call in self.tool_calls or ()]
        if self.function_call is not None:
            asked.append(ToolCall(self.function_call.name, self.function_call.name, self.function_call.arguments))
        answers = self.name if self.role == "function" else self.tool_call_id
        return Message(cast(Role, role), text, answers, tuple(asked), self._images())


def _small(schema: dict[str, Any]) -> dict[str, Any]:
    parts: list[Any] = [schema]
    # Grows while it is gone through; what lies beyond the bound is not looked at.
    for part in parts:
        if len(parts) > MAX_SCHEMA_PARTS:
            raise ValueError(f"a schema may have at most {MAX_SCHEMA_PARTS} parts")
        parts += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return schema


Schema = Annotated[dict[str, Any], AfterValidator(_small)]
"""A JSON schema."""


class Function(_Part):
    """A function that the model may ask for."""

    name: _Name
    description: Annotated[str, Field(max_length=8_192)] | None = None
    parameters: Schema | None = None

    def spec(self) -> ToolSpec:
        """As engines know it; one that says nothing of its arguments has none."""
        return ToolSpec(self.name, self.description or "", self.parameters or {"type": "object", "properties": {}})


class Tool(_Part):
    """A tool; only functions are known."""

    type: Literal["function"]
    function: Function


class NamedFunction(_Part):
    """Which function."""

    name: _Name


class NamedTool(_Part):
    """The tool that the model must ask for."""

    type: Literal["function"]
    function: NamedFunction


class StreamOptions(_Part):
    """How the answer is streamed."""

    include_usage: bool | None = False


class JsonSchema(_Part):
    """A schema with its name."""

    name: Annotated[str, Field(max_length=64)] | None = None
    description: Annotated[str, Field(max_length=8_192)] | None = None
    # The SDKs call it `schema`, which is a method of Pydantic's models.
    schema_: Annotated[Schema | None, Field(alias="schema")] = None
    strict: bool | None = None


class ResponseFormat(_Part):
    """Which form the answer has to have."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _with_schema(self) -> "ResponseFormat":
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("json_schema is missing, which the type json_schema needs")
        return self

    def form(self) -> AnswerForm | None:
        """As engines know it; None for text."""
        if self.type == "text":
            return None
        told = self.json_schema if self.type == "json_schema" else None
        if told is None:
            return AnswerForm()
        return AnswerForm(told.schema_, told.name or "", told.description or "", told.strict)


class ChatCompletionRequest(_Part):
    """A request for an answer; what changes only its words, and no engine can do (penalties, ...), is not looked at."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_CHAT_MESSAGES)]
    model: ModelName = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    stop: Annotated[str, Field(max_length=500)] | Annotated[list[str], Field(max_length=16)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    n: Annotated[int, Field(ge=1, le=1)] | None = Field(None, description="One answer to a request.")
    response_format: ResponseFormat | None = Field(
        None, description="JSON, of any shape or of a schema; in process, not together with tools."
    )
    modalities: Annotated[list[Literal["text"]], Field(max_length=1)] | None = None
    logprobs: bool | None = Field(None, description="Not to be had; true is refused.")
    functions: list[Any] | None = Field(None, description="What `tools` was before; refused unless it is empty.")
    web_search_options: Any = Field(None, description="Not to be had; whatever is not null is refused.")
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = Field(None, description="False: the model asks for one tool at a time.")
    user: Annotated[str, Field(max_length=256)] | None = None
    prompt_cache_key: Annotated[str, Field(max_length=256)] | None = Field(
        None, description="Requests that begin alike and share a key reuse what the model has read."
    )
    guidance: Annotated[list[Literal["facts", "manner"]], Field(max_length=2)] | None = Field(
        None, description="Of calls of another Morgan: what a model of less than a billion parameters is helped with."
    )

    @field_validator("logprobs", "functions", "web_search_options")
    @classmethod
    def _not_to_be_had(cls, value: Any, info: ValidationInfo) -> Any:
        # Options of a search may be empty, and ask for one all the same.
        if value or (info.field_name == "web_search_options" and value is not None):
            there = {
                "logprobs": "there are none here",
                "functions": "send `tools` in their place",
                "web_search_options": "nothing is searched for here",
            }
            raise ValueError(there[info.field_name or ""])
        return value

    def chat_request(self, temperature: float) -> ChatRequest:
        """As engines know it.

        Args:
            temperature: where the client does not say.
        """
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        choice = self.tool_choice.function.name if isinstance(self.tool_choice, NamedTool) else self.tool_choice
        return ChatRequest(
            tuple(message.message() for message in self.messages),
            self.prompt_cache_key or "",
            max_tokens=self.max_completion_tokens or self.max_tokens or DEFAULT_MAX_TOKENS,
            temperature=temperature if self.temperature is None else self.temperature,
            stop=stop,
            tools=self._tools(choice),
            tool_choice=choice or "auto",
            parallel_tool_calls=self.parallel_tool_calls is not False,
            top_p=self.top_p,
            seed=self.seed,
            form=self.response_format.form() if self.response_format is not None else None,
            guidance=self._guidance(),
        )

    def _guidance(self) -> Guidance:
        allowed = Guidance.NONE
        for each in self.guidance or ():
            allowed |= Guidance[each.upper()]
        return allowed

    def _tools(self, choice: str | None) -> tuple[ToolSpec, ...]:
        functions = [tool.function for tool in self.tools or ()]
        names = {function.name for function in functions}
        if choice not in (None, "auto", "none", *(("required",) if names else ()), *names):
            message = f"tool_choice is {choice}, and there is no such tool among `tools`"
            raise ApiError(400, "invalid_tool_choice", message, [{"field": "tool_choice", "message": message}])
        return tuple(each.spec() for each in functions)
