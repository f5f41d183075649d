"""What clients may say of a session: `session` of `session.update`, of `client_secrets` and of `calls`.

Fields are OpenAI's (https://platform.openai.com/docs/api-reference/realtime-client-events/session/update). What is not
given stays as it is. Unknown fields are refused by name, and so is what this server has not.
"""

import math
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator
from pydantic_core import PydanticCustomError

from server.bounds import MAX_INSTRUCTIONS, MAX_SCHEMA_PARTS, MAX_STT_PROMPT
from server.realtime.mcp_schema import McpTool, NamedMcp

MOST_TOKENS = 4096
MOST_TOOLS = 128

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


def not_here(message: str) -> PydanticCustomError:
    """The refusal of a field that this server knows and has nothing behind."""
    return PydanticCustomError("unsupported", "{message}", {"message": message})


class Part(BaseModel):
    """A part of a session or an event; fields that are not known are refused."""

    model_config = ConfigDict(extra="forbid")


class PcmFormat(Part):
    """16-bit samples, little-endian, mono."""

    type: Literal["audio/pcm"]
    rate: Literal[24000] = 24000


class G711Format(Part):
    """mu-law or A-law, 8 kHz."""

    type: Literal["audio/pcmu", "audio/pcma"]
    rate: Literal[8000] | None = None


Format: TypeAlias = Annotated[PcmFormat | G711Format, Field(discriminator="type")]


class NoiseReduction(Part):
    """Taken, and without effect: it is echoed as null."""

    type: Literal["near_field", "far_field"] | None = None
    strength: float | None = None


class Transcription(Part):
    """How the user's words are transcribed. The model is always the server's."""

    model: str | None = None
    language: Annotated[str, Field(max_length=16)] | None = None
    languages: Annotated[list[Annotated[str, Field(max_length=16)]], Field(max_length=32)] | None = None
    prompt: Annotated[str, Field(max_length=MAX_STT_PROMPT)] | None = None
    keywords: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=200)] | None = None
    delay: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None


class ServerVad(Part):
    """A turn is over after a silence."""

    type: Literal["server_vad"]
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    prefix_padding_ms: Annotated[int, Field(ge=0, le=5_000)] | None = None
    silence_duration_ms: Annotated[int, Field(ge=0, le=30_000)] | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None
    idle_timeout_ms: Annotated[int, Field(ge=1_000, le=600_000)] | None = None


class SemanticVad(Part):
    """A turn is over when it sounds so, and its words do not ask for more."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None


TurnDetection: TypeAlias = Annotated[ServerVad | SemanticVad, Field(discriminator="type")]


class AudioInput(Part):
    """What comes from the user."""

    format: Format | None = None
    noise_reduction: NoiseReduction | None = None
    transcription: Transcription | None = None
    turn_detection: TurnDetection | None = None


class CustomVoice(Part):
    """A voice by its id."""

    id: Annotated[str, Field(max_length=128)]


Voice: TypeAlias = Annotated[str, Field(min_length=1, max_length=128)] | CustomVoice


class AudioOutput(Part):
    """What goes to the user."""

    format: Format | None = None
    voice: Voice | None = None
    speed: Annotated[float, Field(ge=0.25, le=1.5)] | None = None


class Audio(Part):
    """Sound, both ways."""

    input: AudioInput | None = None
    output: AudioOutput | None = None


class InputOnly(Part):
    """Sound, one way."""

    input: AudioInput | None = None


class FunctionTool(Part):
    """A function that the client runs."""

    type: Literal["function"]
    name: Name
    description: Annotated[str, Field(max_length=8_192)] | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    @field_validator("parameters")
    @classmethod
    def _small(cls, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        parts: list[Any] = [schema or {}]
        # Grows while it is gone through; what lies beyond the bound is not looked at.
        for part in parts:
            if len(parts) > MAX_SCHEMA_PARTS:
                raise ValueError(f"a schema may have at most {MAX_SCHEMA_PARTS} parts")
            if isinstance(part, float) and not math.isfinite(part):
                raise ValueError("a number in a schema is too large")
            parts += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        return schema


Tool: TypeAlias = Annotated[FunctionTool | McpTool, Field(discriminator="type")]


class NamedFunction(Part):
    """The tool that has to be called."""

    type: Literal["function"]
    name: Name


ToolChoice: TypeAlias = (
    Literal["auto", "none", "required"] | Annotated[NamedFunction | NamedMcp, Field(discriminator="type")]
)

MaxTokens: TypeAlias = Annotated[int, Field(ge=1, le=MOST_TOKENS)] | Literal["inf"]

Modality: TypeAlias = Literal["audio", "text"]


class _NotHere(Part):
    """Fields that OpenAI has and this server takes only as null."""

    prompt: Any = None
    reasoning: Any = None
    include: Any = None

    @field_validator("prompt")
    @classmethod
    def _no_prompt(cls, value: Any) -> None:
        if value is not None:
            raise not_here("stored prompts are not supported here: send `instructions`")

    @field_validator("reasoning")
    @classmethod
    def _no_reasoning(cls, value: Any) -> None:
        if value is not None:
            raise not_here("the language model of this server takes no reasoning effort")

    @field_validator("include")
    @classmethod
    def _no_include(cls, value: Any) -> None:
        if value:
            raise not_here("transcripts have no log probabilities here")


class SpokenSession(_NotHere):
    """A conversation. The model is always the server's; what a client calls it does not matter."""

    type: Literal["realtime"]
    id: Any = None
    object: Any = None
    expires_at: Any = None
    model: Annotated[str, Field(max_length=256)] | None = None
    output_modalities: Annotated[list[Modality], Field(min_length=1, max_length=2)] | None = None
    instructions: Annotated[str, Field(max_length=MAX_INSTRUCTIONS)] | None = None
    max_output_tokens: MaxTokens | None = None
    tools: Annotated[list[Tool], Field(max_length=MOST_TOOLS)] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    tracing: Any = None
    truncation: Any = None
    audio: Audio | None = None

    @field_validator("output_modalities")
    @classmethod
    def _one_of_them(cls, wanted: list[Modality] | None) -> list[Modality] | None:
        if wanted is not None and len(wanted) != 1:
            raise ValueError('it is either ["audio"], which has its text as a transcript, or ["text"]')
        return wanted

    @field_validator("truncation")
    @classmethod
    def _automatic(cls, value: Any) -> Any:
        if value not in (None, "auto"):
            raise not_here('the conversation is always cut to what the model reads: only "auto" is supported')
        return value


class TranscriptionSession(_NotHere):
    """Nothing but transcripts."""

    type: Literal["transcription"]
    id: Any = None
    object: Any = None
    expires_at: Any = None
    audio: InputOnly | None = None


SessionPatch: TypeAlias = Annotated[SpokenSession | TranscriptionSession, Field(discriminator="type")]

SESSION: TypeAdapter[SpokenSession | TranscriptionSession] = TypeAdapter(SessionPatch)
