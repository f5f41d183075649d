"""The settings of memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FsyncPolicy = Literal["always", "interval", "never"]


@dataclass(frozen=True, slots=True)
class Retention:
    """Ages, in seconds, at which what is kept goes; None: never.

    Attributes:
        messages_s: of what was said, with transcriptions, speech and sessions.
        memories_s: of embeddings and vectors, by which messages are found by their meaning.
        documents_s: of documents that users gave Morgan to read, from when they were last added.
        journals_s: of records that PostgreSQL still has not taken.
        refused_s: of records that it will never take.
    """

    messages_s: float | None = None
    memories_s: float | None = None
    documents_s: float | None = None
    journals_s: float | None = None
    refused_s: float | None = None


@dataclass(frozen=True, slots=True)
class PersistenceConfig:
    """Settings of memory; the defaults start servers of our own under the data directory.

    Attributes:
        data_dir: where the journal, the embedded servers and the run files are.
        postgres_dsn: of a PostgreSQL to use, such as postgresql://user:password@host/morgan; None: our own.
        redis_url: of a Redis or Valkey to use; None: our own.
        qdrant_url: of a Qdrant to use, or file:///folder for the local mode; None: local mode in the data directory.
        qdrant_api_key: of that Qdrant.
        pool_min: connections to PostgreSQL that are kept open.
        pool_max: most connections.
        journal_fsync: "always" before a record counts as written, "interval" once a second, "never" leaves it to the
            kernel. All of them survive a kill of the process; the difference is a power cut.
        journal_max_bytes: what may wait for PostgreSQL on disk; warned of at 50, 80 and 95 %.
        conversation_ttl_s: of `conversation:{user_id}`.
        session_ttl_s: of `stream_session:{id}`.
        preferences_ttl_s: of `user_prefs:{user_id}`.
        context_messages: messages of a conversation that are kept in the fast tiers.
        memory_conversations: conversations that are kept in process memory.
        tts_cache_max_bytes: audio kept in `tts_generations`.
        metrics_keep_s: age at which rows of `system_metrics` go.
        valkey_max_bytes: of our own Valkey.
        retention: when what is kept goes.
        store_text: whether words are kept outside this process' memory.
        store_audio: whether sound is.
    """

    data_dir: Path
    postgres_dsn: str | None = None
    redis_url: str | None = None
    qdrant_url: str | None = None
    qdrant_api_key: str | None = None
    pool_min: int = 5
    pool_max: int = 20
    journal_fsync: FsyncPolicy = "interval"
    journal_max_bytes: int = 256 * 1024 * 1024
    conversation_ttl_s: int = 3600
    session_ttl_s: int = 1800
    preferences_ttl_s: int = 86_400
    context_messages: int = 60
    memory_conversations: int = 2000
    tts_cache_max_bytes: int = 256 * 1024 * 1024
    metrics_keep_s: float = 7 * 86_400.0
    valkey_max_bytes: int = 256 * 1024 * 1024
    retention: Retention = Retention()
    store_text: bool = True
    store_audio: bool = True

    @property
    def run_dir(self) -> Path:
        """Where pid, port and password files are."""
        return self.data_dir / "run"

    @property
    def journal_dir(self) -> Path:
        """Where the journal's segments are."""
        return self.data_dir / "journal"
