"""What clients say on `/ws/audio`: JSON with a `type`, and audio as binary messages."""

import json
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from pipeline.audio import HEARING_RATE
from server.errors import ApiError, parse_json
from server.fields import ConversationId, UserId
from server.services.stt import LanguageWanted, SampleRate


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Start(_Message):
    """Begin a session; the first message."""

    type: Literal["start"]
    user_id: UserId
    language: LanguageWanted | None = None
    conversation_id: ConversationId | None = None
    voice: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    instructions: Annotated[str, Field(max_length=16_000)] | None = None
    sample_rate: SampleRate = HEARING_RATE
    """Of the audio that the client sends, Hz."""


class Audio(_Message):
    """s16le mono at the session's rate, as base64."""

    type: Literal["audio"]
    data: str


class Text(_Message):
    """Something that the user wrote instead of saying it."""

    type: Literal["text"]
    text: Annotated[str, Field(min_length=1, max_length=16_000, pattern=r"\S")]


class Interrupt(_Message):
    """Be silent."""

    type: Literal["interrupt"]


class Stop(_Message):
    """Nothing more comes; what was said is still answered."""

    type: Literal["stop"]


class Ping(_Message):
    """Are you there? For clients that cannot send a WebSocket's own pings, as in browsers."""

    type: Literal["ping"]


Message: TypeAlias = Start | Audio | Text | Interrupt | Stop | Ping

KINDS: dict[str, type[Message]] = {
    "start": Start,
    "audio": Audio,
    "text": Text,
    "interrupt": Interrupt,
    "stop": Stop,
    "ping": Ping,
}


def parse_message(text: str) -> Message:
    """A text message.

    Raises:
        ApiError: 400 no JSON or of no known type, 422 not what its type asks for, naming the field.
    """
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        raise ApiError(400, "invalid_json", "Text messages are JSON; audio comes in binary ones") from None
    kind = said.get("type") if isinstance(said, dict) else None
    model = KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise ApiError(400, "unknown_message", f"type: known are {', '.join(KINDS)}")
    return parse_json(text.encode("utf-8", "surrogatepass"), model)
