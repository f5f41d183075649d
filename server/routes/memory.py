"""`/api/memory`: search by meaning in what a user said and was told, and the index behind it made anew."""

from contextlib import aclosing
from dataclasses import asdict
from typing import Annotated

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from persistence.errors import PersistenceError
from pipeline.engines.protocols import EngineError
from pipeline.scheduling.lanes import LaneClosedError, LaneFullError
from server.bounds import MAX_SEARCH
from server.http import sse
from server.http.acting import named_user
from server.http.errors import ApiError
from server.http.fields import UserId
from server.http.operation import Answer, operation
from server.memory.door import MEMORY

MAX_RESULTS = 100

routes = web.RouteTableDef()

log = structlog.get_logger(__name__)


class Search(BaseModel):
    """What is looked for in whose conversations."""

    model_config = ConfigDict(extra="forbid")

    user_id: UserId
    q: Annotated[str, Field(min_length=1, max_length=MAX_SEARCH, pattern=r"\S")]
    limit: Annotated[int, Field(ge=1, le=MAX_RESULTS)] = 10


class Found(BaseModel):
    """A message."""

    message_id: str
    conversation_id: str
    role: str
    content: str
    created_at: str
    score: Annotated[float, Field(description="Cosine similarity; from about 0.4 it is about the same thing.")]


class Results(BaseModel):
    """The nearest messages, best first."""

    results: list[Found]


class Rebuild(BaseModel):
    """How the index is made anew."""

    model_config = ConfigDict(extra="forbid")

    embeddings: Annotated[bool, Field(description="The embeddings too, because another model is to make them.")] = False


@routes.get("/api/memory/search")
@operation(
    "memory",
    scope="read",
    cost="work",
    params=Search,
    answers={200: Answer("The nearest messages, best first", Results)},
    errors=(404, 503),
)
async def search_memory(request: web.Request, params: Search) -> web.Response:
    """Search by meaning in the messages of one user's conversations."""
    memory = request.app[MEMORY].opened()
    try:
        found = await memory.search(named_user(request, params.user_id), params.q, params.limit)
    except LaneFullError:
        raise ApiError(503, "busy", "Too many texts wait already", headers={"Retry-After": "2"}) from None
    except (EngineError, LaneClosedError) as error:
        raise ApiError(503, "embedding_failed", f"The embedding model could not do it: {error}") from None
    results = [Found(**asdict(each)) for each in found]
    return web.json_response(Results(results=results).model_dump())


@routes.post("/api/memory/rebuild")
@operation(
    "memory",
    scope="admin",
    cost="work",
    body=Rebuild,
    answers={200: Answer("How far it is: events `progress` with `done` and `total`", content=(sse.EVENT_STREAM,))},
    errors=(409, 503),
)
async def rebuild_memory(request: web.Request, body: Rebuild) -> web.StreamResponse:
    """Make the index of messages anew from PostgreSQL.

    Events `progress`, then `done` with `total` or `error` with `message`, then `[DONE]`. Until then searches find what
    is in the index again. It goes on in the background where the client hangs up.
    """
    worker = request.app[MEMORY].opened().worker
    if worker.rebuilding:
        raise ApiError(409, "rebuilding", "The index is being made anew already", headers={"Retry-After": "10"})
    response = await sse.open_events(request)
    total = 0
    try:
        async with aclosing(worker.rebuild(embeddings=body.embeddings)) as steps:
            async for step in steps:
                total = step.total
                await response.write(sse.event({"type": "progress", "done": step.done, "total": step.total}))
    except (PersistenceError, EngineError, LaneFullError, LaneClosedError) as error:
        log.warning("index not made anew", problem=str(error))
        message = "It stopped, and goes on by itself when the stores and the embedding model answer"
        await response.write(sse.event({"type": "error", "message": message}))
    else:
        await response.write(sse.event({"type": "done", "total": total}))
    await response.write(sse.DONE)
    await response.write_eof()
    return response
