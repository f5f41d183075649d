"""The records of memory, as the doors get them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, Protocol, TypeVar
from uuid import UUID

Role = Literal["user", "assistant", "system", "tool"]
PointRole = Role | Literal["document"]
"""Of what the vector index holds: who said a message, or that it is a passage of a document."""
SessionKind = Literal["call", "ws", "realtime", "telephone"]
Status = Literal["ok", "degraded", "down"]
Kind = Literal["embedded", "external", "memory"]

DIMENSIONS = 384
"""Of an embedding."""

T = TypeVar("T")


class Embedder(Protocol):
    """Turns texts into vectors; runs in a lane of the lowest priority."""

    async def embed(self, texts: list[str], *, waited_for: bool = False) -> list[list[float]]:
        """One vector of `DIMENSIONS` numbers per text.

        Args:
            texts: in any language.
            waited_for: a turn waits for the answer; it comes before the backlog.
        """


@dataclass(frozen=True, slots=True)
class Conversation:
    """A row of `conversations`."""

    id: UUID
    user_id: str
    title: str | None
    language: str | None
    started_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    channel: str
    metadata: Mapping[str, Any]
    message_count: int


@dataclass(frozen=True, slots=True)
class Message:
    """A row of `messages`; `content` is what was heard, `latency` is in milliseconds by stage."""

    id: UUID
    conversation_id: UUID
    sequence_number: int
    role: Role
    content: str
    created_at: datetime
    interrupted: bool
    latency: Mapping[str, float]
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StreamingSession:
    """A row of `streaming_sessions`."""

    id: str
    conversation_id: UUID
    user_id: str
    kind: SessionKind
    state: str
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    stats: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AudioTranscription:
    """What speech to text made of a piece of audio.

    Attributes:
        session_id: of the stream that it was heard in.
        text: the words.
        language: ISO 639-1 code.
        confidence: 0 to 1.
        duration_ms: of the audio.
        model: that did it.
        message_id: item id of the turn that it became, where it did.
        audio_sha256: of the audio, hex, where it was taken.
        segments: with text, start and end in seconds.
    """

    session_id: str
    text: str
    language: str | None = None
    confidence: float | None = None
    duration_ms: int = 0
    model: str = ""
    message_id: str | None = None
    audio_sha256: str | None = None
    segments: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class TtsGeneration:
    """Speech that was made once.

    Attributes:
        key: sha256 (hex) of what it depends on, see `tts_key`.
        text: what is said.
        voice: who says it.
        format: of the audio, such as "pcm" (s16le mono).
        sample_rate: Hz.
        duration_ms: of the audio.
        audio: the bytes.
        words: text, start and end (seconds) of each, where they are known.
    """

    key: str
    text: str
    voice: str
    format: str
    sample_rate: int
    duration_ms: int
    audio: bytes
    words: tuple[tuple[str, float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Metric:
    """A sample for `system_metrics`."""

    time: datetime
    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContextMessage:
    """A message as the next turn needs it; ids are uuids as text."""

    id: str
    role: Role
    content: str
    created_at: str
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class ConversationContext:
    """The last messages of a conversation, oldest first."""

    conversation_id: str
    user_id: str
    title: str | None
    language: str | None
    messages: tuple[ContextMessage, ...]


@dataclass(frozen=True, slots=True)
class Recalled:
    """A past message, or a passage of a document, of the same user that fits what is being said.

    Attributes:
        message_id: of the message, or of the passage.
        conversation_id: that it is in; of a passage, the document.
        role: who said it, or "document".
        content: the words.
        created_at: ISO 8601.
        score: cosine similarity.
        source: of a passage: title of the document and place in it, for people; "" for a message.
    """

    message_id: str
    conversation_id: str
    role: PointRole
    content: str
    created_at: str
    score: float
    source: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document.

    Attributes:
        content: its words.
        place: where it stands, for people: "page 12", a heading; "" where that is not known.
    """

    content: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """What a user has given Morgan to read.

    Attributes:
        id: of this version of it.
        user_id: whose it is.
        source: what its user knows it by; the same again replaces it.
        title: for people.
        sha256: of what was added, hex.
        passage_count: pieces that it was cut into.
        created_at: when it was added.
        owed: pieces that cannot be found yet.
    """

    id: UUID
    user_id: str
    source: str
    title: str
    sha256: str
    passage_count: int
    created_at: datetime
    owed: int = 0


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A piece of a list; `next_cursor` is None at its end."""

    items: tuple[T, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class ComponentHealth:
    """One component of `/health`; `latency_ms` of a round trip, None when it cannot be had."""

    status: Status
    kind: Kind
    latency_ms: float | None = None
    detail: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
