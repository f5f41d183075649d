"""`/v1/models`: the models that this server has loaded, as OpenAI's API lists them."""

import time
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from server.app_keys import ENGINES
from server.http.errors import ApiError
from server.http.operation import Answer, operation

ROLES = ("llm", "stt", "tts", "embedder")
"""Engines whose models clients can use, in the order of the list."""

_LOADED = int(time.time())
"""Unix second since which they are there."""

routes = web.RouteTableDef()


class Model(BaseModel):
    """A model; `role` says what it does: llm, stt, tts or embedder."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    role: str


class ModelList(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[Model]


class WhichModel(BaseModel):
    """Which model."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(min_length=1, max_length=256)]


def models(app: web.Application) -> list[dict[str, Any]]:
    """The loaded models, each once."""
    engines, listed = app[ENGINES].all(), {}
    for role in ROLES:
        engine = engines.get(role)
        if engine is not None and engine.model not in listed:
            entry = Model(id=engine.model, created=_LOADED, owned_by=engine.name, role=role)
            listed[engine.model] = entry.model_dump()
    return list(listed.values())


@routes.get("/v1/models")
@operation("openai", scope="llm", answers={200: Answer("The models", ModelList)})
async def list_models(request: web.Request) -> web.Response:
    """List the loaded models. Other names in requests mean the loaded model of that kind."""
    return web.json_response({"object": "list", "data": models(request.app)})


@routes.get("/v1/models/{id:.+}")
@operation("openai", scope="llm", params=WhichModel, answers={200: Answer("The model", Model)}, errors=(404,))
async def show_model(request: web.Request, params: WhichModel) -> web.Response:
    """One model."""
    listed = models(request.app)
    for model in listed:
        if model["id"] == params.id:
            return web.json_response(model)
    known = ", ".join(model["id"] for model in listed)
    raise ApiError(404, "model_not_found", f"There is no model {params.id[:80]!r}; there are {known}")
