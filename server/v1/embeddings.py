"""`/v1/embeddings`: vectors of texts, as OpenAI's API gives them."""

import base64
from typing import Annotated, Any, Literal

import numpy as np
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, field_validator

from server.app_keys import ENGINES
from server.bounds import MAX_CHAT_BODY, MAX_EMBEDDED, MAX_EMBEDDED_CHARS
from server.http.errors import ApiError
from server.http.operation import Answer, operation
from server.v1.vectors import embed

routes = web.RouteTableDef()

_Text = Annotated[str, Field(min_length=1, max_length=MAX_EMBEDDED_CHARS)]


class EmbeddingRequest(BaseModel):
    """Texts, and in which form their vectors are wanted."""

    model_config = ConfigDict(extra="ignore")

    input: _Text | Annotated[list[_Text], Field(min_length=1, max_length=MAX_EMBEDDED)]
    model: Annotated[str, Field(max_length=256)] = Field("", description="Any name means the loaded model.")
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: str | None = None

    @field_validator("input", mode="before")
    @classmethod
    def _no_tokens(cls, given: object) -> object:
        first = given[0] if isinstance(given, list) and given else None
        if isinstance(first, int | list):
            raise ValueError("send texts: token numbers mean another model's tokens")
        return given


class Embedding(BaseModel):
    """One vector: numbers, or their little-endian float32 bytes in base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """Tokens; an embedding model in process counts none, and says 0."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(BaseModel):
    """The vectors, in the order of the texts."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


@routes.post("/v1/embeddings")
@operation(
    "openai",
    scope="llm",
    cost="work",
    body=EmbeddingRequest,
    body_limit=MAX_CHAT_BODY,
    answers={200: Answer("The vectors", Embeddings)},
    errors=(400, 503),
)
async def create_embeddings(request: web.Request, body: EmbeddingRequest) -> web.Response:
    """Put texts into vectors of length 1."""
    embedder = request.app[ENGINES].embedder
    if embedder is not None and body.dimensions not in (None, embedder.dimensions):
        message = f"The vectors of {embedder.model} have {embedder.dimensions} dimensions; leave `dimensions` out"
        raise ApiError(400, "invalid_dimensions", message, [{"field": "dimensions", "message": message}])
    texts = [body.input] if isinstance(body.input, str) else body.input
    found = await embed(request, texts)
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector, body.encoding_format)}
        for index, vector in enumerate(found.vectors)
    ]
    usage = {"prompt_tokens": 0, "total_tokens": 0}
    return web.json_response({"object": "list", "data": data, "model": found.model, "usage": usage})


def _encoded(vector: list[float], encoding: str) -> Any:
    if encoding == "float":
        return vector
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()
