"""`/health`: whether this server can take calls, and how each of its parts does."""

import time
from collections import Counter
from typing import Any

from aiohttp import web

from server.routes.calls import REGISTRY
from server.version import version

STARTED: web.AppKey[float] = web.AppKey("started", float)

routes = web.RouteTableDef()


def describe(app: web.Application) -> dict[str, Any]:
    """The health report."""
    calls = app[REGISTRY]
    faults: Counter[str] = Counter()
    messages = calls.messages
    for call in calls.active:
        faults.update(call.counts)
        messages += call.record.messages
    components: dict[str, dict[str, Any]] = {
        role: {"status": "ok", "kind": engine.kind, "engine": engine.name, "model": engine.model, "latency_ms": None}
        for role, engine in calls.engines.all().items()
    }
    # Conversations live in the memory of the process until there is a database behind them.
    for store in ("postgres", "redis", "qdrant"):
        components[store] = {"status": "ok", "kind": "memory", "latency_ms": 0.0}
    return {
        "status": "down" if calls.draining else "ok",
        "version": version(),
        "uptime_s": round(time.monotonic() - app[STARTED], 1),
        "components": components,
        "conversations": {"active": len(calls.active), "total": calls.total, "messages": messages},
        "calls": {"active": len(calls.active), "capacity": calls.capacity, "total": calls.total},
        "cache": {"hits": 0, "misses": 0, "hit_rate": 0.0},
        "media": {
            "port": calls.endpoint.port,
            "peers": calls.endpoint.stats().peers,
            "datagrams_dropped": calls.endpoint.stats().datagrams_dropped,
        },
    }


@routes.get("/health")
async def health(request: web.Request) -> web.Response:
    """200 while calls can be taken, else 503."""
    report = describe(request.app)
    return web.json_response(report, status=503 if report["status"] == "down" else 200)


@routes.get("/health/live")
async def live(_: web.Request) -> web.Response:
    """The process answers."""
    return web.json_response({"status": "ok"})


@routes.get("/health/ready")
async def ready(request: web.Request) -> web.Response:
    """Calls can be taken."""
    calls = request.app[REGISTRY]
    if calls.draining:
        return web.json_response({"status": "draining"}, status=503)
    if len(calls.active) >= calls.capacity:
        return web.json_response({"status": "full"}, status=503)
    return web.json_response({"status": "ok"})
