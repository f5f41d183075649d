"""Memory as the server sees it: one object that starts everything, writes without waiting, and answers from the
fastest tier that knows."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import structlog

from persistence import deletion, erasure, reports
from persistence.cache.conversation_store import ConversationStore
from persistence.cache.keys import audio_key, session_key
from persistence.cache.preferences import Preferences
from persistence.cache.redis_tier import RedisTier
from persistence.cache.restore import restore
from persistence.cache.tts_cache import TtsCache
from persistence.config import PersistenceConfig
from persistence.conversation_log import transcription_operation
from persistence.conversation_logs import ConversationLogs
from persistence.conversation_reads import ConversationReads
from persistence.data_dir import DataDir
from persistence.embedded.postgres import EmbeddedPostgres
from persistence.embedded.processes import write_private
from persistence.embedded.servers import start_servers, stop_servers
from persistence.embedded.valkey import EmbeddedValkey
from persistence.errors import JournalFullError, StoreUnavailableError, TextNotStoredError
from persistence.foreign_deletions import ForeignDeletions
from persistence.housekeeping import Housekeeping, Job
from persistence.ids import conversation_uuid
from persistence.journal.operations import EndLostSessions, Operation
from persistence.journal.outbox import Outbox
from persistence.postgres.conversations import Conversations
from persistence.postgres.documents import Documents
from persistence.postgres.metrics import Metrics
from persistence.postgres.pool import Postgres
from persistence.retention import Sweeper
from persistence.text import check_id, clean_text
from persistence.values import (
    AudioTranscription,
    ComponentHealth,
    ConversationContext,
    Document,
    Embedder,
    Passage,
    Recalled,
)
from persistence.vectors.embedding_worker import EmbeddingWorker
from persistence.vectors.index import VectorIndex
from persistence.vectors.recall import Recall

log = structlog.get_logger(__name__)

SETTLE_S = 0.5
"""How long a read waits for what was written just before it."""

SWEEP_S = 300.0
"""How often what is too old is looked for."""

OWN_S, FOREIGN_S = 10.0, 1.0
"""How long the start waits for a server that answered a moment ago, and for one that may be down for long."""


class Memory:
    """Everything that outlives a call. Made by `open`.

    Attributes:
        conversations: reads from PostgreSQL.
        documents: that users gave Morgan to read; add them with `add_document`.
        preferences: of users; write them with `put_preferences`.
        tts: the cache of speech.
        metrics: samples for `system_metrics`.
        recaller: what users said before.
        store: the three tiers.
        logs: conversations that are being written to: `conversation`, `begin_session`, `end_session` are theirs.
        reads: what PostgreSQL has of conversations: `find_conversation`, `list_conversations`, `messages` and `export`
            are theirs.
        redis: the fast tier, for audio buffers and active users.
        outbox: the journal and its delivery.
        sweeper: takes out what is too old.
        worker: embeddings; `worker.rebuild()` makes the index anew.
        on_deleted: awaited when a conversation was deleted, here or by another server: with the user and its id, or
            None for all that is the user's. What others keep of it is theirs to delete.
    """

    def __init__(
        self,
        config: PersistenceConfig,
        data_dir: DataDir,
        embedder: Embedder | None,
        postgres: EmbeddedPostgres | None,
        valkey: EmbeddedValkey | None,
    ) -> None:
        self.config = config
        self.embedded_postgres, self.embedded_valkey = postgres, valkey
        dsn = postgres.dsn if postgres is not None else config.postgres_dsn
        assert dsn is not None
        self.redis_url = valkey.url if valkey is not None else config.redis_url
        self.qdrant_url = config.qdrant_url or f"file://{config.data_dir.resolve() / 'qdrant'}"
        self.postgres = Postgres(dsn, pool_min=config.pool_min, pool_max=config.pool_max)
        self.redis = RedisTier(self.redis_url, on_invalidation=self._heard, on_reconnect=self._missed)
        self.outbox = Outbox(config, self.postgres, self._delivered)
        self.conversations = Conversations(self.postgres)
        self.documents = Documents(self.postgres)
        self.reads = ConversationReads(self.conversations, self.settle)
        self.find_conversation = self.reads.find_conversation
        self.list_conversations = self.reads.list_conversations
        self.messages, self.export = self.reads.messages, self.reads.export
        self.store = ConversationStore(self.redis, self.reads.context, config, lambda: self.outbox.delivered)
        self.logs = ConversationLogs(config, data_dir.server_id, self.record, self.store, self.redis)
        self.conversation = self.logs.conversation
        self.begin_session, self.end_session = self.logs.begin_session, self.logs.end_session
        self.being_written = self.logs.being_written
        self.preferences = Preferences(self.redis, self.postgres, config, self.store.origin)
        self.vectors = VectorIndex(self.qdrant_url, config.qdrant_api_key)
        self.worker = EmbeddingWorker(
            self.postgres, self.vectors, embedder if config.store_text else None, config.retention.memories_s
        )
        self.recaller = Recall(self.vectors, embedder)
        self.tts = TtsCache(
            self.postgres,
            lambda operation: config.store_text and config.store_audio and self.record(operation) > 0,
            lambda: self.outbox.measure().fill,
            config.tts_cache_max_bytes,
        )
        self.metrics = Metrics(self.postgres, config.metrics_keep_s)
        self._data_dir = data_dir
        self.on_deleted: Callable[[str, uuid.UUID | None], Awaitable[None]] = _nothing_else
        self._foreign = ForeignDeletions(self._forget_elsewhere, lambda *gone: self.on_deleted(*gone))
        self._closed = False
        self._opening: asyncio.Task[None] | None = None
        self.sweeper = Sweeper(self, config.retention)
        # By itself: a large sweep must not hold the others up.
        self._sweeping = Housekeeping([Job("retention", SWEEP_S, self.sweeper.sweep)])
        self._housekeeping = Housekeeping(
            [
                Job("whole conversations", 1.0, self.store.complete),
                Job("metrics", 10.0, self.metrics.write),
                Job("clean-up", 60.0, self._clean),
                Job("speech cache", 60.0, self.tts.sync),
                Job("live sessions", 300.0, self.logs.refresh),
                Job("old metrics", 3600.0, self.metrics.prune),
            ]
        )

    @classmethod
    async def open(cls, config: PersistenceConfig, embedder: Embedder | None = None) -> "Memory":
        """Start the servers that are not configured, connect, and recover what the last run left.

        External servers that are down are no error: memory serves and the journal keeps until they come.

        Raises:
            DataDirInUseError: another process uses the data directory.
            EmbeddedServerError: our own PostgreSQL cannot be started.
            MigrationError: the database is of a newer Morgan.
        """
        data_dir = DataDir(config.data_dir)
        postgres = EmbeddedPostgres(config) if config.postgres_dsn is None else None
        valkey = EmbeddedValkey(config) if config.redis_url is None else None
        memory: Memory | None = None
        try:
            valkey = await start_servers(postgres, valkey)
            memory = cls(config, data_dir, embedder, postgres, valkey)
            await memory._start()
        except BaseException:
            if memory is not None:
                await memory.close()
            else:
                await stop_servers(postgres, valkey)
                data_dir.release()
            raise
        return memory

    async def close(self, deliver_s: float = 2.0) -> None:
        """Write everything down and stop what was started; once more does nothing.

        Args:
            deliver_s: PostgreSQL, where it is up, is given so long to take what is in the journal.
        """
        if self._closed:
            return
        self._closed = True
        await asyncio.gather(self._housekeeping.close(), self._sweeping.close())
        if self._opening is not None:
            await asyncio.gather(self._opening, return_exceptions=True)  # at its end it starts the worker
        await self.worker.close()
        await asyncio.gather(self._foreign.close(), self.reads.close())
        await self.outbox.close(deliver_s=deliver_s)
        await asyncio.gather(self.redis.close(), self.vectors.close())
        await self.postgres.close()
        await stop_servers(self.embedded_postgres, self.embedded_valkey)
        self._data_dir.release()

    # Writing: nothing here waits.

    def record_transcription(self, done: AudioTranscription) -> None:
        """A transcription of the speech-to-text service, without a conversation."""
        operation = transcription_operation(done, None)
        if self.config.store_text:
            self.record(operation)

    def put_preferences(self, user_id: str, preferences: Mapping[str, Any]) -> None:
        """Replace a user's preferences.

        Raises:
            InvalidTextError: the id or the preferences cannot be stored.
        """
        self.record(self.preferences.put(check_id(user_id, "user_id"), preferences))

    # Reading.

    async def context(
        self, user_id: str, conversation_id: str | None = None, count: int = 20
    ) -> ConversationContext | None:
        """The last messages of a conversation of the user, or of their last one; None if there is none.

        Raises:
            StoreUnavailableError: it is in no fast tier, and PostgreSQL does not answer.
        """
        wanted = None if conversation_id is None else str(conversation_uuid(conversation_id))
        return await self.store.context(user_id, wanted, count)

    async def recall(
        self, user_id: str, text: str, count: int = 4, budget_ms: float = 20.0, without: Collection[uuid.UUID] = ()
    ) -> list[Recalled]:
        """What the user said in the past that fits, best first; empty rather than late. See `Recall.within`."""
        return await self.recaller.within(user_id, text, count, budget_ms, without)

    async def search(self, user_id: str, text: str, count: int) -> list[Recalled]:
        """Messages of the user's conversations by meaning, best first, those of a moment ago among them.

        Raises:
            StoreUnavailableError: there is no embedder, or Qdrant does not answer.
        """
        await self.settle()
        await self.worker.caught_up(SETTLE_S)
        return await self.recaller.search(user_id, text, count)

    # Documents.

    async def add_document(
        self, user_id: str, source: str, title: str, sha256: str, passages: Sequence[Passage]
    ) -> Document:
        """Put a document in, or in the place of the user's one from the same source; found once it is embedded.

        Raises:
            InvalidTextError: an id or a text cannot be stored.
            TextNotStoredError: no text is kept.
            StoreUnavailableError: PostgreSQL does not answer.
        """
        if not self.config.store_text:
            raise TextNotStoredError("no documents are taken: MORGAN_STORE_TEXT is off")
        check_id(user_id, "user_id")
        cleaned = [Passage(clean_text(each.content), clean_text(each.place)) for each in passages]
        added = await self.documents.put(user_id, check_id(source, "source"), clean_text(title), sha256, cleaned)
        self.worker.wake()
        return added

    async def delete_document(self, user_id: str | None, document_id: uuid.UUID) -> bool:
        """Delete a document with its vectors; whether the user (None: anybody) had it."""
        deleted = await self.documents.delete(document_id, user_id)
        if deleted:
            await self.worker.idle(deletion.DELETE_S)
        return deleted

    # Deleting.

    async def delete_conversation(self, user_id: str, conversation_id: str) -> bool:
        """Delete rows, copies and vectors of a conversation; with PostgreSQL down that waits in the journal.

        Returns:
            whether the user had such a conversation (taken to be so while PostgreSQL is down).
        """
        return await deletion.delete_conversation(self, user_id, conversation_id)

    async def delete_user(self, user_id: str) -> tuple[uuid.UUID, ...]:
        """Delete everything of a user.

        Returns:
            ids of the conversations that were theirs.

        Raises:
            StoreUnavailableError: PostgreSQL does not answer, and which conversations there are is not known.
        """
        return await deletion.delete_user(self, user_id)

    async def erase_user(self, user_id: str) -> erasure.Erasure:
        """Delete everything of a user and look for what is left of it in every store, files included.

        Raises:
            StoreUnavailableError: PostgreSQL does not answer: nothing was deleted.
        """
        return await erasure.erase_user(self, user_id)

    # How it is.

    async def health(self) -> dict[str, ComponentHealth]:
        """Each component: "postgres", "redis", "qdrant", "journal"."""
        return await reports.health(self)

    def figures(self) -> dict[str, float]:
        """All counters and loads by name."""
        return reports.figures(self)

    def cache(self) -> dict[str, float]:
        """`hits`, `misses` and `hit_rate` of cached reads, and where answers came from."""
        return reports.cache(self)

    async def counts(self) -> dict[str, int]:
        """Conversations active here, conversations and messages in all (at most five seconds old)."""
        conversations, messages = await self.reads.counts()
        return {"active": self.logs.active, "total": conversations, "messages": messages}

    def environment(self) -> dict[str, str]:
        """What lets psql, redis-cli and others find the servers; also in <data-dir>/run/environment.json."""
        found = {"MORGAN_POSTGRES_DSN": self.postgres.dsn, "MORGAN_QDRANT_URL": self.qdrant_url}
        return found if self.redis_url is None else {**found, "MORGAN_REDIS_URL": self.redis_url}

    # Inside.

    async def _start(self) -> None:
        await self.outbox.start()
        own = self.embedded_postgres is not None
        await asyncio.gather(self.postgres.start(OWN_S if own else FOREIGN_S), self.redis.start(FOREIGN_S))
        restore(await self.outbox.pending(), self.outbox.recorded, self.store, self.preferences)
        self.record(EndLostSessions(self._data_dir.server_id, reports.now()))
        self._opening = asyncio.create_task(self._open_vectors(), name="vector index")
        self._housekeeping.start()
        self._sweeping.start()
        write_private(self._data_dir.environment_file, json.dumps(self.environment(), indent=2) + "\n")
        await self.settle()

    async def _open_vectors(self) -> None:
        try:
            await self.vectors.open()
        except StoreUnavailableError as error:
            log.warning("vector index not open yet", problem=str(error))
        except Exception:  # of any kind: the worker tries again, and tells
            log.exception("vector index not open yet")
        self.worker.start()

    def record(self, operation: Operation) -> int:
        """Hand an operation to the outbox; returns its number, 0 when the journal could not take it."""
        try:
            return self.outbox.append(operation)
        except JournalFullError:
            # Said loudly by the outbox; a call goes on without being written down.
            return 0

    async def settle(self) -> None:
        """Wait a moment for PostgreSQL to have what was written just now, so that a read shows it."""
        if self.postgres.up.is_set():
            await self.outbox.settle(SETTLE_S)

    def forget(self, user_id: str, conversations: set[uuid.UUID], sessions: Collection[str]) -> None:
        """Close the logs of what is deleted, so that what is still written to it goes nowhere, and drop copies here."""
        self.logs.forget(user_id, conversations)
        self.tts.forget(conversations)
        for session_id in sessions:
            self.redis.delete(session_key(session_id))
            self.redis.delete(audio_key(session_id))

    def _forget_elsewhere(self, user_id: str, conversation_id: uuid.UUID | None) -> None:
        gone = self.being_written(user_id) if conversation_id is None else {conversation_id}
        self.forget(user_id, gone, ())

    def _heard(self, message: dict[str, Any]) -> None:
        self.store.heard(message)
        self.preferences.heard(message)
        if message.get("kind") == "deleted" and message.get("origin") != self.store.origin:
            self._foreign.heard(message)

    def _missed(self) -> None:
        self.store.missed()
        self.preferences.missed()

    def _delivered(self) -> None:
        self.worker.wake()

    async def _clean(self) -> None:
        self.store.clean()


async def _nothing_else(user_id: str, conversation_id: uuid.UUID | None) -> None:
    """Nobody keeps anything beside memory."""
