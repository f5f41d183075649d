"""The server's way to memory: opened beside the engines, closed last, and open or not, calls go on."""

import asyncio
import json
from dataclasses import replace
from uuid import UUID

import structlog
from aiohttp import web

from persistence.backoff import Backoff
from persistence.cache.redis_tier import RedisTier
from persistence.config import PersistenceConfig, Retention
from persistence.embedded.processes import write_private
from persistence.erasure import Erased, Erasure
from persistence.errors import PersistenceError, StoreUnavailableError
from persistence.housekeeping import Housekeeping, Job
from persistence.memory import Memory
from persistence.tasks import ended, keep_running
from pipeline.call.context import Context
from pipeline.call.ports import Reminder
from pipeline.engines.protocols import TextEmbedder
from server.http.errors import ApiError
from server.memory.keeper import Keeper
from server.memory.metric_samples import MetricSampler
from server.memory.recall import MemoryEmbedder, recall_limits, reminder
from server.memory.recordings import Recordings
from server.observability.metrics import Metrics
from server.roles import takes_calls
from server.settings import Settings
from server.settings.privacy import seconds

log = structlog.get_logger(__name__)

SWEEP_S = 300.0
"""How often recordings are looked for that are too old."""

REOPEN_FIRST_S, REOPEN_LONGEST_S = 2.0, 60.0
"""Between tries to open a memory that could not be opened at the start."""

ENVIRONMENT = "environment.json"
"""File in the run directory that `morgan env` prints."""


def persistence_config(settings: Settings) -> PersistenceConfig:
    """Memory's share of the settings.

    A service alone keeps its journal in a folder of its own, so that all of a machine can share a data directory, and
    has few connections: the core's are those that calls wait for.
    """
    config = PersistenceConfig(
        settings.data_dir,
        postgres_dsn=settings.postgres_dsn.get_secret_value() if settings.postgres_dsn else None,
        redis_url=settings.redis_url.get_secret_value() if settings.redis_url else None,
        qdrant_url=settings.qdrant_url,
        qdrant_api_key=settings.qdrant_api_key.get_secret_value() or None,
        journal_fsync=settings.journal_fsync,
        retention=Retention(
            messages_s=seconds(settings.keep_messages_days),
            memories_s=seconds(settings.keep_memories_days),
            documents_s=seconds(settings.keep_documents_days),
            journals_s=seconds(settings.keep_journals_days),
            refused_s=seconds(settings.keep_refused_days),
        ),
        store_text=settings.store_text,
        store_audio=settings.store_audio,
    )
    if takes_calls(settings.role):
        return config
    return replace(config, data_dir=settings.data_dir / "services" / settings.role, pool_min=1, pool_max=5)


class MemoryDoor:
    """Holds the memory of this process, or why there is none.

    Attributes:
        memory: None before `open`, and when it could not be opened.
        problem: why there is none; empty while there is one.
        off: whether there is none on purpose (`MORGAN_MEMORY=off`).
        recordings: of calls.
        keepers: of all else that goes with its user, recordings among it.
    """

    def __init__(self, settings: Settings, embedder: TextEmbedder | None = None) -> None:
        self.memory: Memory | None = None
        self._embedder = MemoryEmbedder(embedder) if embedder is not None else None
        self._recall = recall_limits(settings)
        self.problem = "memory is not open yet"
        self.off = settings.memory == "off"
        self.recordings = Recordings(
            settings.data_dir,
            enabled=settings.record_calls,
            keys=settings.sealing_keys,
            keep_s=seconds(settings.keep_recordings_days),
        )
        self.keepers: list[Keeper] = [self.recordings]
        self._sweeping = Housekeeping([Job("recordings", SWEEP_S, self.recordings.sweep)])
        self._config = persistence_config(settings)
        self._alone = not takes_calls(settings.role)
        self._sample_s = settings.metrics_sample_s
        self._sampler: MetricSampler | None = None
        self._metrics: Metrics | None = None
        self._url = ""
        self._opening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open memory; one that cannot be opened is told in the log and in `/health`, and tried again beside calls."""
        if not self._alone:
            self._sweeping.start()
        if self.off:
            self.problem = "it is switched off (MORGAN_MEMORY=off)"
            log.warning("no memory, as asked: nothing of the calls is kept")
            return
        if self._alone and not (self._config.postgres_dsn and self._config.redis_url):
            # Databases of its own would be nobody else's: neither the core nor another of its kind would see them.
            self.problem = "a service alone uses no database of its own: set MORGAN_POSTGRES_DSN and MORGAN_REDIS_URL"
            log.warning("no memory: this service keeps nothing", problem=self.problem)
            return
        if not await self._try_to_open():
            log.error("no memory: calls go on, nothing of them is kept until it opens", problem=self.problem)
            self._opening = keep_running(self._keep_opening, "opening of memory")

    async def _try_to_open(self) -> bool:
        """Try to open memory; whether it is open now."""
        try:
            memory = await Memory.open(self._config, self._embedder)
        except (PersistenceError, OSError) as error:
            self.problem = str(error)
            return False
        memory.on_deleted = self._delete_kept
        self.memory, self.problem = memory, ""
        return True

    async def _keep_opening(self) -> None:
        """Until it works: a disk is given room, a port is let go of, the other server on the same folder ends."""
        backoff = Backoff(REOPEN_FIRST_S, REOPEN_LONGEST_S)
        while self.memory is None:
            await asyncio.sleep(backoff.failed())
            await self._try_to_open()
        log.info("memory is open")
        self._tell()

    def redis(self) -> RedisTier | None:
        """The fast tier, where there is one now."""
        return None if self.memory is None else self.memory.redis

    def stream_redis(self) -> RedisTier | None:
        """The same for streams of audio, with what was made of them so far; None where that is not to be kept."""
        return self.redis() if self._config.store_text and self._config.store_audio else None

    async def erase(self, user_id: str) -> Erasure:
        """Delete everything of a user, and look for what is left of it in every store.

        Raises:
            ApiError: 503, there is no memory on purpose.
            StoreUnavailableError: there is none, or PostgreSQL does not answer.
        """
        memory = self.opened()
        there = [await keeper.count(user_id) for keeper in self.keepers]
        report = await memory.erase_user(user_id)
        kept = [
            Erased(keeper.store, found, await keeper.count(user_id), {} if found is None else {keeper.part: found})
            for keeper, found in zip(self.keepers, there, strict=True)
        ]
        return replace(report, stores=(*report.stores, *kept))

    async def _delete_kept(self, user_id: str, conversation_id: UUID | None) -> None:
        for keeper in self.keepers:
            await keeper.delete(user_id, conversation_id)

    def reminder(self, user_id: str, context: Context) -> Reminder | None:
        """Who reminds a conversation of what its user said in others; None where nobody does."""
        return reminder(self.memory, user_id, context, self._recall)

    def announce(self, url: str) -> None:
        """Let `morgan env` know that the server is there, and where."""
        self._url = url
        self._tell()

    def sample(self, metrics: Metrics) -> None:
        """From now on keep samples of the server's metrics."""
        self._metrics = metrics
        self._tell()

    def _tell(self) -> None:
        """Write down what was asked for, as soon as there is a memory."""
        if self.memory is None:
            return
        if self._url:
            known = {**self.memory.environment(), "MORGAN_URL": self._url}
            write_private(self._config.run_dir / ENVIRONMENT, json.dumps(known, indent=2) + "\n")
        if self._metrics is not None and self._sampler is None:
            self._sampler = MetricSampler(self._metrics, self.memory, self._sample_s)

    async def close(self, deliver_s: float = 2.0) -> None:
        """Write everything down and stop the servers that were started; see `Memory.close`."""
        if self._opening is not None:
            await ended([self._opening])
        if self._sampler is not None:
            await self._sampler.close()
        await self._sweeping.close()
        await self.recordings.close()
        if self.memory is not None:
            await self.memory.close(deliver_s)

    def opened(self) -> Memory:
        """The memory.

        Raises:
            ApiError: 503, there is none on purpose.
            StoreUnavailableError: there is none.
        """
        if self.off:
            raise ApiError(503, "memory_off", "This server keeps nothing of what is said: MORGAN_MEMORY is off")
        if self.memory is None:
            raise StoreUnavailableError(f"This server has no memory: {self.problem}")
        return self.memory


MEMORY: web.AppKey[MemoryDoor] = web.AppKey("memory", MemoryDoor)
