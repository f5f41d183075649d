"""Conversations that are being written to: begun, ended with their sessions, closed where they are deleted."""

import uuid
from collections.abc import Collection, Mapping
from typing import Any

from persistence import reports
from persistence.cache.conversation_store import ConversationStore
from persistence.cache.redis_tier import RedisTier
from persistence.config import PersistenceConfig
from persistence.conversation_log import ConversationLog, LiveSession, TakeOperation
from persistence.ids import conversation_uuid
from persistence.journal.operations import PutConversation
from persistence.text import check_id, clean_json
from persistence.values import SessionKind


class ConversationLogs:
    """The open logs of this process; nothing here waits.

    Args:
        config: how long sessions are kept, and whether words are.
        server_id: of this process.
        record: hands an operation to the journal; returns its number.
        store: the tiers that are told of what is written.
        redis: the fast tier.
    """

    def __init__(
        self,
        config: PersistenceConfig,
        server_id: str,
        record: TakeOperation,
        store: ConversationStore,
        redis: RedisTier,
    ) -> None:
        self._config = config
        self._server_id = server_id
        self._record = record
        self._store = store
        self._redis = redis
        self._logs: dict[str, ConversationLog] = {}

    def conversation(
        self,
        user_id: str,
        conversation_id: str | None = None,
        *,
        channel: str = "call",
        language: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        new: bool | None = None,
    ) -> ConversationLog:
        """Begin a conversation, or go on with one that the caller has found to be the user's.

        Args:
            user_id: whose it is.
            conversation_id: of it; a new one if not given.
            channel: "call", "text", "audio", "ws" or "realtime".
            language: ISO 639-1 code.
            metadata: anything that is to be kept with it.
            new: whether nothing of it is stored yet; by default if there is no id.

        Raises:
            InvalidTextError: the user id or the metadata cannot be stored.
        """
        check_id(user_id, "user_id")
        identity = (
            uuid.uuid4() if conversation_id is None else conversation_uuid(check_id(conversation_id, "conversation_id"))
        )
        number = self._record(
            PutConversation(identity, user_id, channel, language, reports.now(), clean_json(metadata or {}, "metadata"))
        )
        is_new = conversation_id is None if new is None else new
        self._store.begin(user_id, str(identity), language, number, new=is_new)
        self._redis.seen(user_id)
        return ConversationLog(
            identity,
            user_id,
            self._record,
            self._store,
            self._redis,
            session_ttl_s=self._config.session_ttl_s,
            server_id=self._server_id,
            store_text=self._config.store_text,
        )

    def begin_session(
        self,
        session_id: str,
        user_id: str,
        conversation_id: str | None = None,
        *,
        kind: SessionKind = "call",
        language: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        new: bool | None = None,
    ) -> ConversationLog:
        """A streaming session begins: a call, a WebSocket, a realtime connection. See `conversation`."""
        check_id(session_id, "session_id")
        log = self.conversation(user_id, conversation_id, channel=kind, language=language, metadata=metadata, new=new)
        now = reports.now().isoformat()
        log.session = LiveSession(session_id, str(log.conversation_id), user_id, kind, "active", now, now)
        log.begin_session()
        self._logs[session_id] = log
        return log

    def end_session(self, session_id: str, reason: str, stats: Mapping[str, Any] | None = None) -> None:
        """A streaming session is over; an unknown one is none of ours."""
        log = self._logs.pop(session_id, None)
        if log is not None:
            log.end_session(reason, stats)

    @property
    def active(self) -> int:
        """Conversations that sessions write to just now."""
        return len({log.conversation_id for log in self._logs.values()})

    def being_written(self, user_id: str) -> set[uuid.UUID]:
        """Conversations of a user that sessions write to just now."""
        return {log.conversation_id for log in self._logs.values() if log.user_id == user_id}

    def forget(self, user_id: str, conversations: Collection[uuid.UUID]) -> None:
        """Close the logs of conversations that are deleted: what is still written to one goes nowhere."""
        for session_id, log in list(self._logs.items()):
            if log.user_id == user_id and log.conversation_id in conversations:
                log.deleted = True
                del self._logs[session_id]

    async def refresh(self) -> None:
        """Keep the sessions from expiring in the fast tier."""
        for log in self._logs.values():
            log.refresh()
