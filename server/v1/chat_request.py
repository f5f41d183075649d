"""What clients of `/v1/chat/completions` send, as Pydantic validates it, and what it means for the engine.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipeline.engines.protocols import ChatRequest, Message, Role, ToolCall, ToolSpec
from server.bounds import MAX_CHAT_CHARS, MAX_CHAT_MESSAGES, MAX_SCHEMA_PARTS, MAX_TOKENS
from server.conversations.generation import DEFAULT_MAX_TOKENS
from server.http.errors import ApiError

_Text = Annotated[str, Field(max_length=MAX_CHAT_CHARS)]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class _Part(BaseModel):
    """Fields that are not known here mean nothing here."""

    model_config = ConfigDict(extra="ignore")


class TextPart(_Part):
    """A piece of a message; only text is understood."""

    type: Literal["text"]
    text: _Text


class CalledFunction(_Part):
    """Which function, with which arguments (JSON as text)."""

    name: _Name
    arguments: Annotated[str, Field(max_length=MAX_CHAT_CHARS)]


class AskedTool(_Part):
    """A tool call of an earlier answer."""

    id: Annotated[str, Field(min_length=1, max_length=128)]
    type: Literal["function"] = "function"
    function: CalledFunction


class ChatMessage(_Part):
    """One message."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: _Text | Annotated[list[TextPart], Field(max_length=100)] | None = None
    tool_calls: Annotated[list[AskedTool], Field(max_length=128)] | None = None
    tool_call_id: Annotated[str, Field(max_length=128)] | None = None

    def message(self) -> Message:
        """As engines know it."""
        role: Role = "system" if self.role == "developer" else self.role
        parts = self.content if isinstance(self.content, list) else None
        text = "".join(part.text for part in parts) if parts is not None else str(self.content or "")
        asked = tuple(ToolCall(call.id, call.function.name, call.function.arguments) for call in self.tool_calls or ())
        return Message(role, text, self.tool_call_id, asked)


class Function(_Part):
    """A function that the model may ask for."""

    name: _Name
    description: Annotated[str, Field(max_length=8_192)] = ""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})

    @field_validator("parameters")
    @classmethod
    def _small(cls, schema: dict[str, Any]) -> dict[str, Any]:
        parts: list[Any] = [schema]
        # Grows while it is gone through; what lies beyond the bound is not looked at.
        for part in parts:
            if len(parts) > MAX_SCHEMA_PARTS:
                raise ValueError(f"a schema may have at most {MAX_SCHEMA_PARTS} parts")
            parts += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        return schema


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

    include_usage: bool = False


class ChatCompletionRequest(_Part):
    """A request for an answer; what an engine cannot do (penalties, log probabilities, ...) is not looked at."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_CHAT_MESSAGES)]
    model: Annotated[str, Field(max_length=256)] = Field("", description="Any name means the loaded model.")
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    stop: Annotated[str, Field(max_length=500)] | Annotated[list[str], Field(max_length=16)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    n: Annotated[int, Field(ge=1, le=1)] | None = Field(None, description="One answer to a request.")
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    user: Annotated[str, Field(max_length=256)] | None = None
    prompt_cache_key: Annotated[str, Field(max_length=256)] | None = Field(
        None, description="Requests that begin alike and share a key reuse what the model has read."
    )

    @field_validator("messages")
    @classmethod
    def _something_said(cls, messages: list[ChatMessage]) -> list[ChatMessage]:
        if all(message.role in ("system", "developer") for message in messages):
            raise ValueError("there is nothing to answer: a message of the user is missing")
        return messages

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
            top_p=self.top_p,
            seed=self.seed,
        )

    def _tools(self, choice: str | None) -> tuple[ToolSpec, ...]:
        functions = [tool.function for tool in self.tools or ()]
        names = {function.name for function in functions}
        if choice not in (None, "auto", "none", *(("required",) if names else ()), *names):
            message = f"tool_choice is {choice}, and there is no such tool among `tools`"
            raise ApiError(400, "invalid_tool_choice", message, [{"field": "tool_choice", "message": message}])
        return tuple(ToolSpec(each.name, each.description, each.parameters) for each in functions)
