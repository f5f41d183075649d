"""`/health` of the core: whether this server can take calls, and how each of its parts does."""

import time
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel

from server.app_keys import WATCHES
from server.calls.registry import DRAIN_RETRY_S, RETRY_S, CallRegistry
from server.calls.requests import REGISTRY
from server.http.operation import Answer, operation
from server.memory.door import MEMORY, MemoryDoor
from server.services.health import Component, engine_health, sees_details
from server.version import version

STARTED: web.AppKey[float] = web.AppKey("started", float)

routes = web.RouteTableDef()

RETRIED = {"Retry-After": "Seconds after which it is worth asking again"}

STORES = ("postgres", "redis", "qdrant")


class Conversations(BaseModel):
    """Conversations that are going on, conversations and messages that are stored."""

    active: int
    total: int
    messages: int


class Calls(BaseModel):
    """Calls that are open, that may be open at once, and that were taken since the start."""

    active: int
    capacity: int
    total: int


class Cache(BaseModel):
    """Cached reads since the start, and clauses and texts that were spoken out of the cache of speech."""

    hits: int
    misses: int
    hit_rate: float
    speech_hits: int
    speech_misses: int


class Media(BaseModel):
    """The UDP port of all calls."""

    port: int
    peers: int
    datagrams_dropped: dict[str, int]


class Health(BaseModel):
    """How the server does: "degraded" while calls go on without one of its parts, "down" when it takes none.

    Where keys are asked for, only those with the scope "metrics" are told more than what is well and what is not: for
    everybody else the rest is null.
    """

    status: Literal["ok", "degraded", "down"]
    components: dict[str, Component]
    version: str | None = None
    uptime_s: float | None = None
    conversations: Conversations | None = None
    calls: Calls | None = None
    cache: Cache | None = None
    media: Media | None = None


class Readiness(BaseModel):
    """Whether calls can be taken, or why not."""

    status: Literal["ok", "draining", "full"]


class Liveness(BaseModel):
    """The process answers."""

    status: Literal["ok"]


async def describe(app: web.Application) -> dict[str, Any]:
    """The health report."""
    calls, memory = app[REGISTRY], app[MEMORY].memory
    components: dict[str, dict[str, Any]] = {
        role: engine_health(engine, app[WATCHES].get(role)) for role, engine in calls.engines.all().items()
    }
    components |= await _stores(app[MEMORY])
    whole = all(component["status"] in ("ok", "off") for component in components.values())
    conversations = await memory.counts() if memory else _counted_here(calls)
    cache = {"hits": 0, "misses": 0, "hit_rate": 0.0, "speech_hits": 0, "speech_misses": 0}
    if memory:
        speech = memory.tts.figures
        cache = {**memory.cache(), "speech_hits": speech.hits, "speech_misses": speech.misses}
    return {
        "status": "down" if calls.draining else "ok" if whole else "degraded",
        "version": version(),
        "uptime_s": round(time.monotonic() - app[STARTED], 1),
        "components": components,
        "conversations": conversations,
        "calls": {"active": len(calls.active), "capacity": calls.capacity, "total": calls.total},
        "cache": cache,
        "media": {
            "port": calls.endpoint.port,
            "peers": calls.endpoint.stats().peers,
            "datagrams_dropped": calls.endpoint.stats().datagrams_dropped,
        },
    }


def for_strangers(report: dict[str, Any]) -> dict[str, Any]:
    """Without addresses, versions, figures, and the words of errors; all fields are there, for who counts on it."""
    shown = {
        name: {"status": component["status"], "kind": component["kind"], "latency_ms": None}
        for name, component in report["components"].items()
    }
    return {**dict.fromkeys(report), "status": report["status"], "components": shown}


async def _stores(door: MemoryDoor) -> dict[str, dict[str, Any]]:
    if door.memory is None:
        status = "off" if door.off else "down"
        down = {"status": status, "kind": "memory", "latency_ms": None, "detail": door.problem}
        return {store: dict(down) for store in STORES}
    components: dict[str, dict[str, Any]] = {}
    for name, found in (await door.memory.health()).items():
        components[name] = {"status": found.status, "kind": found.kind, "latency_ms": found.latency_ms, **found.figures}
        if found.detail:
            components[name]["detail"] = found.detail
    return components


def _counted_here(calls: CallRegistry) -> dict[str, int]:
    messages = calls.messages + sum(call.record.messages for call in calls.active)
    return {"active": len(calls.active), "total": calls.total, "messages": messages}


@routes.get("/health")
@operation(
    "operations",
    answers={
        200: Answer("Calls can be taken", Health),
        503: Answer("No calls can be taken", Health, headers=RETRIED),
    },
    open=True,
)
async def health(request: web.Request) -> web.Response:
    """How the server and each of its parts does; latencies of engines are medians of their last pieces of work."""
    report = await describe(request.app)
    if not sees_details(request):
        report = for_strangers(report)
    return _unready(report, DRAIN_RETRY_S) if report["status"] == "down" else web.json_response(report)


@routes.get("/health/live")
@operation("operations", answers={200: Answer("The process answers", Liveness)}, open=True)
async def live(_: web.Request) -> web.Response:
    """The process answers."""
    return web.json_response({"status": "ok"})


@routes.get("/health/ready")
@operation(
    "operations",
    answers={
        200: Answer("Calls can be taken", Readiness),
        503: Answer("No further calls now", Readiness, headers=RETRIED),
    },
    open=True,
)
async def ready(request: web.Request) -> web.Response:
    """Calls can be taken."""
    calls = request.app[REGISTRY]
    if calls.draining:
        return _unready({"status": "draining"}, DRAIN_RETRY_S)
    if len(calls.active) >= calls.capacity:
        return _unready({"status": "full"}, RETRY_S)
    return web.json_response({"status": "ok"})


def _unready(report: dict[str, Any], retry_s: int) -> web.Response:
    return web.json_response(report, status=503, headers={"Retry-After": str(retry_s)})
