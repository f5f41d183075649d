"""How memory is doing: health by component, and figures by name."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Protocol

from persistence.cache.conversation_store import ConversationStore
from persistence.cache.redis_tier import RedisTier
from persistence.cache.tts_cache import TtsCache
from persistence.embedded.postgres import EmbeddedPostgres
from persistence.embedded.valkey import EmbeddedValkey
from persistence.errors import StoreUnavailableError
from persistence.journal.outbox import Outbox
from persistence.postgres.pool import Postgres
from persistence.retention import Sweeper
from persistence.values import ComponentHealth, Status
from persistence.vectors.embedding_worker import EmbeddingWorker
from persistence.vectors.index import VectorIndex
from persistence.vectors.recall import Recall

FILLING = 0.5
"""Share of the journal's bound from which on it is called degraded."""


class ReportedParts(Protocol):
    """The parts of memory that are looked at."""

    postgres: Postgres
    redis: RedisTier
    outbox: Outbox
    store: ConversationStore
    vectors: VectorIndex
    worker: EmbeddingWorker
    sweeper: Sweeper
    recaller: Recall
    tts: TtsCache
    embedded_postgres: EmbeddedPostgres | None
    embedded_valkey: EmbeddedValkey | None


def now() -> datetime:
    """The wall clock, for rows and people."""
    return datetime.now(tz=UTC)


async def health(memory: ReportedParts) -> dict[str, ComponentHealth]:
    """Each component by its name."""
    return {
        "postgres": _postgres(memory),
        "redis": _redis(memory),
        "qdrant": await _qdrant(memory),
        "journal": _journal(memory),
    }


def _postgres(memory: ReportedParts) -> ComponentHealth:
    postgres, problem = memory.postgres, ""
    status: Status = "ok"
    if not postgres.up.is_set():
        status, problem = "down", postgres.problem
    elif memory.outbox.refusal.problem:
        # It answers, and its disk is full, or a right was taken away.
        status, problem = "degraded", memory.outbox.refusal.problem
    return ComponentHealth(
        status,
        "external" if memory.embedded_postgres is None else "embedded",
        _rounded(postgres.latency_ms),
        f"{problem}; what is said waits in the journal" if problem else "",
        {"connections": postgres.pool_size},
    )


def _redis(memory: ReportedParts) -> ComponentHealth:
    redis = memory.redis
    if redis.up.is_set():
        kind = "external" if memory.embedded_valkey is None else "embedded"
        return ComponentHealth("ok", kind, _rounded(redis.latency_ms))  # type: ignore[arg-type]
    return ComponentHealth("degraded", "memory", None, f"{redis.problem}; process memory serves")


async def _qdrant(memory: ReportedParts) -> ComponentHealth:
    kind = "embedded" if memory.vectors.local else "external"
    try:
        latency_ms = await memory.vectors.check()
    except StoreUnavailableError as error:
        return ComponentHealth("down", kind, None, f"{error}; nothing is recalled")  # type: ignore[arg-type]
    refusal = memory.vectors.refusal.problem
    status: Status = "degraded" if refusal else "ok"
    detail = f"{refusal}; what is new is not recalled" if refusal else ""
    return ComponentHealth(status, kind, _rounded(latency_ms), detail)  # type: ignore[arg-type]


def _journal(memory: ReportedParts) -> ComponentHealth:
    outbox = memory.outbox
    measured = outbox.measure()
    status: Status = "ok"
    detail = ""
    if measured.fill >= FILLING:
        status, detail = "degraded", f"{measured.fill:.0%} of its bound is in use"
    if measured.refused:
        status, detail = "degraded", f"{measured.refused} records were refused by PostgreSQL (refused.jsonl)"
    if outbox.disk.problem or measured.lost:
        status, detail = "down", outbox.disk.problem or f"{measured.lost} records were lost"
    return ComponentHealth(status, "embedded", None, detail, asdict(measured))


def cache(memory: ReportedParts) -> dict[str, float]:
    """Cached reads: what Redis counts, and process memory in its place while Redis is down."""
    redis, store = memory.redis.figures, memory.store.figures
    hits, misses = redis.hits + store.memory_hits, redis.misses + store.memory_misses
    return {
        "hits": hits,
        "misses": misses,
        "hit_rate": round(hits / (hits + misses), 4) if hits + misses else 0.0,
        "redis_hits": redis.hits,
        "redis_misses": redis.misses,
        "from_redis": store.from_redis,
        "from_memory": store.from_memory,
        "from_postgres": store.from_postgres,
    }


def figures(memory: ReportedParts) -> dict[str, float]:
    """Everything that is counted."""
    groups = {
        "outbox": asdict(memory.outbox.measure()),
        "cache": cache(memory),
        "redis": asdict(memory.redis.figures),
        "store": asdict(memory.store.figures),
        "embeddings": asdict(memory.worker.figures),
        "recall": asdict(memory.recaller.figures),
        "tts_cache": asdict(memory.tts.figures),
        "swept": asdict(memory.sweeper.figures),
    }
    found = {f"{group}_{name}": float(value) for group, values in groups.items() for name, value in values.items()}
    found["store_conversations"] = float(len(memory.store))
    found["postgres_connections"] = float(memory.postgres.pool_size)
    for name, latency_ms in (("postgres", memory.postgres.latency_ms), ("redis", memory.redis.latency_ms)):
        if latency_ms is not None:
            found[f"{name}_latency_ms"] = latency_ms
    return found


def _rounded(latency_ms: float | None) -> float | None:
    return None if latency_ms is None else round(latency_ms, 2)
