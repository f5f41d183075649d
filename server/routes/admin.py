"""`/api/admin/state`: how the whole server does now and did in the last hour, for the operator's page."""

import time
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import BaseModel, Field

from pipeline.scheduling.cores import CORES, longest_wait_s
from server.calls.call import Call
from server.calls.registry import CallRegistry
from server.calls.requests import REGISTRY
from server.http.metrics import METRICS
from server.http.operation import Answer, operation
from server.observability.faults import FAULTS
from server.observability.sources import lane_load
from server.routes.health import STARTED, Health, describe

routes = web.RouteTableDef()


class Since(BaseModel):
    """What the client has already."""

    after_s: Annotated[
        float, Field(allow_inf_nan=False, description="Second of the server's life; later turns and loads are told.")
    ] = -1.0
    after_fault: Annotated[int, Field(ge=0, le=2**53, description="Number of the last fault that is known.")] = 0


class CallRow(BaseModel):
    """An open call; its latency is that of its last answer."""

    call_id: str
    user_id: str
    kind: Literal["call", "ws", "realtime", "telephone"]
    state: str
    duration_s: float
    turns: int
    voice_to_voice_ms: float | None
    media: dict[str, float | None]


class Capacity(BaseModel):
    """`late` while callers wait much longer than one alone would, so that nobody else is let in."""

    active: int
    capacity: int
    late: bool
    cores: int
    cores_used: int
    waiting_s: float


class LaneRow(BaseModel):
    """The queue and the workers of an engine."""

    lane: str
    waiting: int
    running: int
    done: int
    dropped: int
    rejected: int
    busy_s: float
    waited_s: float


class TurnPoint(BaseModel):
    """An answered turn; stages in milliseconds, they sum to the whole."""

    at_s: float
    voice_to_voice_ms: float
    stages: dict[str, float]


class LoadPoint(BaseModel):
    """A sample of the load."""

    at_s: float
    calls: int
    capacity: int
    cores: int
    waiting: int


class FaultRow(BaseModel):
    """A warning or an error of the log; `fields` are what was said along with its words."""

    number: int
    at: str
    level: str
    source: str
    message: str
    fields: dict[str, str]


class State(BaseModel):
    """The server now, and what is new of its last hour. Times are seconds of the server's life, `now_s` is this one."""

    now_s: float
    health: Health
    capacity: Capacity
    calls: list[CallRow]
    lanes: list[LaneRow]
    turns: list[TurnPoint]
    loads: list[LoadPoint]
    faults: list[FaultRow]


@routes.get("/api/admin/state")
@operation("operations", scope="admin", params=Since, answers={200: Answer("The server", State)})
async def show_state(request: web.Request, params: Since) -> web.Response:
    """Calls, load, capacity, lanes, stores, latencies and faults; of the past only what is newer than asked for."""
    app = request.app
    calls, started = app[REGISTRY], app[STARTED]
    after = started + params.after_s
    recent = app[METRICS].recent
    state = {
        "now_s": round(time.monotonic() - started, 3),
        "health": await describe(app),
        "capacity": _capacity(calls),
        "calls": [_call(call) for call in calls.active],
        "lanes": _lanes(calls),
        "turns": [
            {"at_s": turn.at - started, "voice_to_voice_ms": turn.voice_to_voice_ms, "stages": dict(turn.stages)}
            for turn in recent.turns(after)
        ],
        "loads": [
            {"at_s": load.at - started, "calls": load.calls, "capacity": load.capacity}
            | {"cores": load.cores, "waiting": load.waiting}
            for load in recent.loads(after)
        ],
        "faults": [
            {"number": fault.number, "at": fault.at.isoformat(), "level": fault.level}
            | {"source": fault.source, "message": fault.message, "fields": fault.fields}
            for fault in FAULTS.since(params.after_fault)
        ],
    }
    return web.json_response(state)


def _capacity(calls: CallRegistry) -> dict[str, Any]:
    return {
        "active": len(calls.active),
        "capacity": calls.capacity,
        "late": calls.late,
        "cores": CORES.count,
        "cores_used": CORES.used,
        "waiting_s": round(longest_wait_s(), 3),
    }


def _call(call: Call) -> dict[str, Any]:
    told = call.describe()
    answered = [turn["voice_to_voice_ms"] for turn in told["turns"] if turn["voice_to_voice_ms"] is not None]
    row = {name: told[name] for name in ("call_id", "user_id", "kind", "state", "duration_s", "media")}
    return {**row, "turns": len(answered), "voice_to_voice_ms": answered[-1] if answered else None}


def _lanes(calls: CallRegistry) -> list[dict[str, Any]]:
    loads = {role: load for role, engine in calls.engines.all().items() if (load := lane_load(engine)) is not None}
    names = ("waiting", "running", "done", "dropped", "rejected", "busy_s", "waited_s")
    return [{"lane": lane, **{name: getattr(load, name) for name in names}} for lane, load in loads.items()]
