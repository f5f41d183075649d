"""Vectors of texts, for the routes that hand them out."""

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from pipeline.engines.protocols import EngineError
from pipeline.scheduling.lanes import LaneClosedError, LaneFullError
from server.app_keys import ENGINES
from server.http.errors import ApiError
from server.http.tickets import asked_ticket

BATCH = 16
"""Texts that go to the model at once: between two batches other work gets its turn."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors and where they come from."""

    vectors: list[list[float]]
    model: str
    dimensions: int


async def embed(request: web.Request, texts: Sequence[str]) -> Embedded:
    """One vector of length 1 for each text, in order.

    Raises:
        ApiError: 503 without an embedding model, or when it is busy or fails.
    """
    embedder = request.app[ENGINES].embedder
    if embedder is None:
        raise ApiError(503, "no_embedder", "This server has no embedding model; `morgan doctor` says why")
    vectors: list[list[float]] = []
    try:
        with asked_ticket(request) as ticket:
            for at in range(0, len(texts), BATCH):
                vectors += await embedder.embed(texts[at : at + BATCH], ticket)
    except LaneFullError:
        raise ApiError(503, "busy", "Too many texts wait already", headers={"Retry-After": "2"}) from None
    except (EngineError, LaneClosedError) as error:
        message = f"The embedding model could not do it: {error}"
        raise ApiError(503, "embedding_failed", message, headers={"Retry-After": "2"}) from None
    return Embedded(vectors, embedder.model, embedder.dimensions)
