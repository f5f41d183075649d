"""Where one conversation is written down: by a call, a WebSocket session or a text request.

Nothing here waits: every method puts an operation into the journal's queue and the fast tiers, and returns.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from persistence.cache.conversation_store import ConversationStore
from persistence.cache.keys import session_key
from persistence.cache.redis_tier import RedisTier
from persistence.ids import message_uuid
from persistence.journal.operations import (
    EndSession,
    Operation,
    PutLatency,
    PutMessage,
    PutSession,
    PutTranscription,
    RemoveMessage,
)
from persistence.text import clean_json, clean_text
from persistence.values import AudioTranscription, ContextMessage, Role, SessionKind


class TakeOperation(Protocol):
    """Takes operations into the outbox."""

    def __call__(self, operation: Operation) -> int:
        """The number of the record, 0 when the journal could not take it."""


@dataclass(slots=True)
class LiveSession:
    """A running streaming session, as `stream_session:{id}` shows it."""

    id: str
    conversation_id: str
    user_id: str
    kind: SessionKind
    state: str
    started_at: str
    updated_at: str


class ConversationLog:
    """Writes one conversation of one user.

    Args:
        conversation_id: of the conversation.
        user_id: whose it is.
        record: hands operations to the outbox.
        store: the fast tiers.
        redis: for sessions and events.
        session: the streaming session, if there is one.
        session_ttl_s: of its key.
        server_id: of this server, so that sessions that it loses are ended at its next start.
        store_text: whether words leave this process' memory; without, there are no messages but here.
    """

    def __init__(
        self,
        conversation_id: uuid.UUID,
        user_id: str,
        record: TakeOperation,
        store: ConversationStore,
        redis: RedisTier,
        *,
        session: LiveSession | None = None,
        session_ttl_s: int = 1800,
        server_id: str = "",
        store_text: bool = True,
    ) -> None:
        self.conversation_id = conversation_id
        self.user_id = user_id
        self.session = session
        self.deleted = False
        self._record = record
        self._store = store
        self._redis = redis
        self._session_ttl_s = session_ttl_s
        self._server_id = server_id
        self._store_text = store_text
        self._written: dict[str, datetime] = {}

    def user_turn(
        self,
        item_id: str,
        text: str,
        *,
        language: str | None = None,
        latency: Mapping[str, float] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """The user said something; again under the same id when they went on after all.

        Args:
            item_id: of the turn in every event.
            text: all the words of the turn.
            language: ISO 639-1 code of what the conversation is in from now on; None where that is not known.
            latency: milliseconds by stage, as far as they are known.
            metadata: anything else, such as duration_ms.

        Raises:
            TextTooLongError: more than 100,000 characters.
            InvalidTextError: latency or metadata are no JSON.
        """
        self._put(item_id, "user", text, language=language, latency=latency, metadata=metadata)

    def reply(
        self,
        item_id: str,
        heard: str,
        *,
        interrupted: bool = False,
        latency: Mapping[str, float] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Morgan said something: the words that were heard. Of a reply that was not heard nothing is kept.

        Raises:
            TextTooLongError, InvalidTextError: see `user_turn`.
        """
        if heard.strip():
            self._put(item_id, "assistant", heard, interrupted=interrupted, latency=latency, metadata=metadata)
        elif item_id in self._written:
            self.remove(item_id)

    def message(self, item_id: str, role: Role, text: str, metadata: Mapping[str, Any] | None = None) -> None:
        """A system or tool message."""
        self._put(item_id, role, text, metadata=metadata)

    def latency(self, item_id: str, latency: Mapping[str, float]) -> None:
        """Latencies (milliseconds by stage) of a message that is written already."""
        if not self.deleted and self._store_text:
            identity = message_uuid(self.conversation_id, item_id)
            self._record(PutLatency(identity, self.conversation_id, clean_json(latency, "latency")))

    def remove(self, item_id: str) -> None:
        """A message was taken back."""
        if self.deleted:
            return
        self._written.pop(item_id, None)
        identity = message_uuid(self.conversation_id, item_id)
        number = self._record(RemoveMessage(identity, self.conversation_id)) if self._store_text else 0
        self._store.remove(self.user_id, str(self.conversation_id), str(identity), number)

    def transcription(self, done: AudioTranscription) -> None:
        """What speech to text made of a turn's audio."""
        if not self.deleted and self._store_text:
            self._record(transcription_operation(done, self.conversation_id))

    def event(self, event: Mapping[str, Any]) -> None:
        """Publish a final transcript, a reply or a state change on `morgan:events:{conversation_id}`."""
        message = json.dumps({"conversation_id": str(self.conversation_id), **event}, default=str)
        self._redis.publish(f"morgan:events:{self.conversation_id}", message.encode())

    def state(self, state: str) -> None:
        """The session is in another state: for Redis and its listeners; PostgreSQL gets the beginning and the end."""
        if self.session is None or self.deleted:
            return
        self.session.state = state
        self.event({"type": "state", "session_id": self.session.id, "state": state})
        self.refresh()

    def refresh(self) -> None:
        """Keep `stream_session:{id}` from expiring."""
        if self.session is None or self.deleted:
            return
        self.session.updated_at = datetime.now(tz=UTC).isoformat()
        value = json.dumps(asdict(self.session), ensure_ascii=False).encode()
        self._redis.put(session_key(self.session.id), value, self._session_ttl_s)
        self._redis.seen(self.user_id)

    def begin_session(self) -> None:
        """Write the session's beginning."""
        assert self.session is not None
        session, now = self.session, datetime.now(tz=UTC)
        self._record(
            PutSession(
                session.id, self.conversation_id, self.user_id, session.kind, session.state, self._server_id, now
            )
        )
        self.refresh()

    def end_session(self, reason: str, stats: Mapping[str, Any] | None = None) -> None:
        """Write the session's end; its key stays for its TTL."""
        if self.session is None or self.deleted:
            return
        cleaned = clean_json(stats or {}, "stats")
        self._record(
            EndSession(self.session.id, self.conversation_id, clean_text(reason), datetime.now(tz=UTC), cleaned)
        )
        self.state("ended")
        self.session = None

    def _put(
        self,
        item_id: str,
        role: Role,
        text: str,
        *,
        interrupted: bool = False,
        language: str | None = None,
        latency: Mapping[str, float] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        content = clean_text(text)
        measured = clean_json(latency or {}, "latency")
        extra = clean_json(metadata or {}, "metadata")
        if self.deleted:
            return
        identity = message_uuid(self.conversation_id, item_id)
        # A better version of a message keeps the time of the first.
        at = self._written.setdefault(item_id, datetime.now(tz=UTC))
        message = PutMessage(
            identity, self.conversation_id, self.user_id, role, content, at, interrupted, language, measured, extra
        )
        number = self._record(message) if self._store_text else 0
        said = ContextMessage(str(identity), role, content, at.isoformat(), interrupted)
        self._store.put(self.user_id, str(self.conversation_id), said, number, language)
        self._redis.seen(self.user_id)


def transcription_operation(done: AudioTranscription, conversation_id: uuid.UUID | None) -> PutTranscription:
    """A transcription as a record; the speech-to-text service has them without a conversation.

    Raises:
        TextTooLongError, InvalidTextError: the text or the segments cannot be stored.
    """
    message_id = None
    if done.message_id is not None and conversation_id is not None:
        message_id = message_uuid(conversation_id, done.message_id)
    segments = clean_json({"segments": [dict(each) for each in done.segments]}, "segments", 1_000_000)["segments"]
    return PutTranscription(
        uuid.uuid4(),
        clean_text(done.session_id, "session_id", 256),
        message_id,
        done.audio_sha256,
        clean_text(done.text),
        done.language,
        done.confidence,
        done.duration_ms,
        clean_text(done.model, "model", 256),
        segments,
        datetime.now(tz=UTC),
    )
