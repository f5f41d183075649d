"""What is written to PostgreSQL, as records of the journal.

Every operation carries the ids and times of its source, so that delivering it twice changes nothing.
"""

import json
import typing
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cache
from typing import Any, TypeAlias
from uuid import UUID

from persistence.journal.frames import Frame
from persistence.values import Role, SessionKind


@dataclass(frozen=True, slots=True)
class PutConversation:
    """A conversation begins, or goes on."""

    id: UUID
    user_id: str
    channel: str
    language: str | None
    at: datetime
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PutMessage:
    """A message, or its better version under the same id."""

    id: UUID
    conversation_id: UUID
    user_id: str
    role: Role
    content: str
    at: datetime
    interrupted: bool = False
    language: str | None = None
    latency: dict[str, float] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PutLatency:
    """Latencies that were known only after the message; they join those that are there."""

    message_id: UUID
    conversation_id: UUID
    latency: dict[str, float]


@dataclass(frozen=True, slots=True)
class RemoveMessage:
    """A message was taken back; later ones move up."""

    message_id: UUID
    conversation_id: UUID


@dataclass(frozen=True, slots=True)
class PutSession:
    """A streaming session begins, or its state changes."""

    id: str
    conversation_id: UUID
    user_id: str
    kind: SessionKind
    state: str
    server: str
    at: datetime


@dataclass(frozen=True, slots=True)
class EndLostSessions:
    """A server starts: sessions that it left open when it was killed are over."""

    server: str
    at: datetime


@dataclass(frozen=True, slots=True)
class EndSession:
    """A streaming session is over, and its conversation with it unless another session goes on with that."""

    id: str
    conversation_id: UUID
    reason: str
    at: datetime
    stats: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PutTranscription:
    """What speech to text made of a piece of audio."""

    id: UUID
    session_id: str
    message_id: UUID | None
    audio_sha256: str | None
    text: str
    language: str | None
    confidence: float | None
    duration_ms: int
    model: str
    segments: list[dict[str, Any]]
    at: datetime


@dataclass(frozen=True, slots=True)
class PutGeneration:
    """Speech that was made; `audio` travels as the record's bytes."""

    key: str
    text: str
    voice: str
    format: str
    sample_rate: int
    duration_ms: int
    at: datetime
    conversation_id: UUID | None = None
    words: list[Any] = field(default_factory=list)
    audio: bytes = b""


@dataclass(frozen=True, slots=True)
class PutPreferences:
    """All preferences of a user."""

    user_id: str
    preferences: dict[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class DeleteConversation:
    """A conversation goes, with everything that hangs on it."""

    conversation_id: UUID
    user_id: str


@dataclass(frozen=True, slots=True)
class DeleteUser:
    """Everything of a user goes."""

    user_id: str


Operation: TypeAlias = (
    PutConversation
    | PutMessage
    | PutLatency
    | RemoveMessage
    | PutSession
    | EndLostSessions
    | EndSession
    | PutTranscription
    | PutGeneration
    | PutPreferences
    | DeleteConversation
    | DeleteUser
)

_BY_NAME: dict[str, type[Any]] = {cls.__name__: cls for cls in typing.get_args(Operation)}
_BLOB = "audio"


def encode(operation: Operation) -> tuple[bytes, bytes]:
    """JSON and bytes of an operation."""
    values: dict[str, Any] = {"op": type(operation).__name__}
    blob = b""
    for each in fields(operation):
        value = getattr(operation, each.name)
        if each.name == _BLOB:
            blob = value
        else:
            values[each.name] = value
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"), default=_as_text).encode(), blob


def decode(frame: Frame) -> Operation | None:
    """The operation in a record; None when a newer Morgan wrote one that this one does not know."""
    values = json.loads(frame.json)
    cls = _BY_NAME.get(values.pop("op"))
    if cls is None:
        return None
    kinds = _converters(cls.__name__)
    known = {name: kinds[name](value) for name, value in values.items() if name in kinds}
    if _BLOB in kinds:
        known[_BLOB] = frame.blob
    return typing.cast("Operation", cls(**known))


def _as_text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} in an operation")


@cache
def _converters(operation_name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field_name, hint in typing.get_type_hints(_BY_NAME[operation_name]).items():
        kinds = typing.get_args(hint) or (hint,)
        if UUID in kinds:
            found[field_name] = lambda value: None if value is None else UUID(value)
        elif datetime in kinds:
            found[field_name] = datetime.fromisoformat
        else:
            found[field_name] = lambda value: value
    return found
