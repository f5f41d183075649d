"""What clients say on `/ws/audio`: JSON with a `type`, and audio as binary messages."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from pipeline.audio import HEARING_RATE
from server.bounds import MAX_INSTRUCTIONS, MAX_TEXT
from server.http.errors import parse_socket_message
from server.http.fields import ConversationId, UserId
from server.transcription.fields import LanguageWanted, SampleRate


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Start(_Message):
    """Begin a session; the first message."""

    type: Literal["start"]
    user_id: UserId
    language: LanguageWanted | None = None
    conversation_id: ConversationId | None = None
    voice: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    instructions: Annotated[str, Field(max_length=MAX_INSTRUCTIONS)] | None = None
    sample_rate: SampleRate = HEARING_RATE
    """Of the audio that the client sends, Hz."""


class Audio(_Message):
    """s16le mono at the session's rate, as base64."""

    type: Literal["audio"]
    data: str


class Text(_Message):
    """Something that the user wrote instead of saying it."""

    type: Literal["text"]
    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT, pattern=r"\S")]


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

_MESSAGES: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


def parse_message(text: str) -> Message:
    """A text message.

    Raises:
        ApiError: 400 no JSON or of no known type, 422 not what its type asks for, naming the field.
    """
    return parse_socket_message(text, _MESSAGES)
