"""`/v1/models`: the models that this server has loaded, as OpenAI's API lists them."""

import asyncio
import time
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from pipeline.engines.images import sees_images
from pipeline.models import Manifest
from server.app_keys import ENGINES, SETTINGS
from server.engines.score_book import asked_model, load_scores, right_of
from server.http.errors import ApiError
from server.http.operation import Answer, operation

ROLES = ("llm", "stt", "tts", "embedder")
"""Engines whose models clients can use, in the order of the list."""

_LOADED = int(time.time())
"""Unix second since which they are there."""

routes = web.RouteTableDef()


class Model(BaseModel):
    """A model; `role` says what it does: llm, stt, tts or embedder. The rest is told of language models."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    role: str
    calls_tools: bool | None = None
    sees_images: bool | None = None
    right_of_60: int | None = Field(
        None, description="Questions of `morgan bench minds` that it answers right; left out where it was not asked."
    )


class ModelList(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[Model]


class WhichModel(BaseModel):
    """Which model."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(min_length=1, max_length=256)]


async def models(app: web.Application) -> list[dict[str, Any]]:
    """The loaded models, each once."""
    engines, listed = app[ENGINES].all(), {}
    for role in ROLES:
        engine = engines.get(role)
        if engine is not None and engine.model not in listed:
            told = await asyncio.to_thread(_mind, app) if role == "llm" else {}
            entry = Model(id=engine.model, created=_LOADED, owned_by=engine.name, role=role, **told)
            listed[engine.model] = entry.model_dump(exclude_none=True)
    return list(listed.values())


def _mind(app: web.Application) -> dict[str, Any]:
    """What the language model is good for; reads files."""
    llm, settings = app[ENGINES].llm, app[SETTINGS]
    asked = asked_model(settings) if settings.llm_base_url else getattr(llm, "model_id", "")
    known = {model.id: model for model in Manifest.load().models}
    right = right_of(asked, load_scores(settings), known.get(asked))
    return {"calls_tools": llm.calls_tools, "sees_images": sees_images(llm), "right_of_60": right}


@routes.get("/v1/models")
@operation("openai", scope="llm", answers={200: Answer("The models", ModelList)})
async def list_models(request: web.Request) -> web.Response:
    """List the loaded models. Other names in requests mean the loaded model of that kind."""
    return web.json_response({"object": "list", "data": await models(request.app)})


@routes.get("/v1/models/{id:.+}")
@operation("openai", scope="llm", params=WhichModel, answers={200: Answer("The model", Model)}, errors=(404,))
async def show_model(request: web.Request, params: WhichModel) -> web.Response:
    """One model."""
    listed = await models(request.app)
    for model in listed:
        if model["id"] == params.id:
            return web.json_response(model)
    known = ", ".join(model["id"] for model in listed)
    raise ApiError(404, "model_not_found", f"There is no model {params.id[:80]!r}; there are {known}")
