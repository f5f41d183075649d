"""How a service does."""

import time
from collections.abc import Mapping
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from pipeline.engines.protocols import Engine
from pipeline.engines.remote.service import RemoteService
from server.app_keys import ENGINES, WATCHES
from server.engines.watch import EngineWatch
from server.http.operation import Answer, operation
from server.identity.principal import principal_of
from server.memory.door import MEMORY
from server.observability.sources import lane_load
from server.version import version


class Component(BaseModel):
    """A part of the server; further fields depend on which.

    An engine's `latency_ms` is the median of its last pieces of work until their first result; a store's that of its
    last answer. "off" is what the settings switch off.
    """

    model_config = ConfigDict(extra="allow")

    status: Literal["ok", "degraded", "down", "off"]
    kind: str
    latency_ms: float | None


class ServiceHealth(BaseModel):
    """A service and its engine; strangers are told its status only."""

    model_config = ConfigDict(extra="allow")

    status: Literal["ok", "degraded", "down", "off"]
    service: Literal["llm", "tts", "stt"]
    kind: str | None = None
    latency_ms: float | None = None
    version: str | None = None
    engine: str | None = None
    model: str | None = None
    memory: str | None = None


HEALTH = operation(
    "operations",
    answers={
        200: Answer("The service answers", ServiceHealth),
        503: Answer("Its engine has failed several times in a row", ServiceHealth),
    },
    open=True,
)
"""Describes `/health` of a service."""


def engine_health(engine: Engine, watch: EngineWatch | None) -> dict[str, Any]:
    """How an engine does, as JSON values.

    Args:
        engine: which.
        watch: what was seen of its work; None where nobody looks.
    """
    found: dict[str, Any] = {
        "status": watch.status if watch else "ok",
        "kind": engine.kind,
        "engine": engine.name,
        "model": engine.model,
        "latency_ms": watch.latency_ms() if watch else None,
    }
    if watch is not None and watch.problem:
        found["detail"] = watch.problem
    # What the self-check chose, where it chooses.
    found |= getattr(engine, "configuration", {})
    load = lane_load(engine)
    if load is not None:
        found |= {"waiting": load.waiting, "running": load.running}
    service = getattr(engine, "service", None)
    if isinstance(service, RemoteService):
        found |= _servers(service, found["status"])
    return found


def _servers(service: RemoteService, status: str) -> dict[str, Any]:
    """The servers of a remote engine: what the probes say of them holds, whether or not work has found out yet."""
    every = service.replicas.all
    usable = service.replicas.usable(time.monotonic())
    if status != "down":
        status = "degraded" if usable < len(every) or any(replica.problem for replica in every) else "ok"
    return {"status": status if usable else "down", "servers": service.describe()}


def sees_details(request: web.Request) -> bool:
    """Whether somebody is told more than how things are: where keys are asked for, whoever runs the server."""
    who = principal_of(request)
    return who.may("metrics") or who.may("service")


def memory_state(request: web.Request) -> str:
    """ "on", or why the service keeps nothing."""
    door = request.app[MEMORY]
    return "on" if door.memory is not None else door.problem


def service_health(request: web.Request, role: str, more: Mapping[str, Any] | None = None) -> web.Response:
    """The report on the engine of one role; 503 once it is down.

    Args:
        request: to a service.
        role: "llm", "tts" or "stt".
        more: further fields.
    """
    found = engine_health(request.app[ENGINES].all()[role], request.app[WATCHES].get(role))
    report = {**found, "service": role, "version": version(), "memory": memory_state(request), **(more or {})}
    if not sees_details(request):
        report = {"status": found["status"], "service": role}
    return web.json_response(report, status=503 if found["status"] == "down" else 200)
