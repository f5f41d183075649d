"""`/v1/embeddings`: vectors of texts, as OpenAI's API gives them."""

import asyncio
import base64
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, PlainValidator

from server.app_keys import ENGINES
from server.bounds import MAX_EMBEDDED, MAX_EMBEDDED_CHARS, MAX_EMBEDDED_TOKENS, MAX_TOKEN_PARTS, MAX_VECTORS_BODY
from server.http.errors import ApiError
from server.http.operation import Answer, operation
from server.v1.foreign_tokens import text_of
from server.v1.model_name import ModelName
from server.v1.vectors import embed

routes = web.RouteTableDef()

_Text = Annotated[str, Field(min_length=1, max_length=MAX_EMBEDDED_CHARS)]

_Tokens = Annotated[list[Annotated[int, Field(ge=0, strict=True)]], Field(min_length=1, max_length=MAX_EMBEDDED_TOKENS)]

_Forms: TypeAlias = (
    _Text
    | Annotated[list[_Text], Field(min_length=1, max_length=MAX_EMBEDDED)]
    | _Tokens
    | Annotated[list[_Tokens], Field(min_length=1, max_length=MAX_EMBEDDED)]
)


def _checked(given: Any) -> Any:
    """An input, if it has one of the forms.

    By hand: Pydantic tries one after the other, which takes a second of the event loop for the tokens that two
    megabytes hold.
    """
    kinds = set(map(type, given)) if isinstance(given, list) else None
    if kinds is None or kinds == {str}:
        texts = [given] if kinds is None else given
        if not all(isinstance(text, str) and 1 <= len(text) <= MAX_EMBEDDED_CHARS for text in texts):
            raise ValueError(f"a text has 1 to {MAX_EMBEDDED_CHARS} characters")
    elif kinds == {int}:
        _check_tokens(given)
    elif kinds == {list}:
        for each in given[:MAX_EMBEDDED]:
            _check_tokens(each)
    else:
        raise ValueError("give a text, texts, tokens, or lists of tokens")
    if kinds != {int} and isinstance(given, list) and len(given) > MAX_EMBEDDED:
        raise ValueError(f"at most {MAX_EMBEDDED} texts in one request")
    return given


def _check_tokens(given: list[Any]) -> None:
    if not 1 <= len(given) <= MAX_EMBEDDED_TOKENS or set(map(type, given)) != {int} or min(given) < 0:
        raise ValueError(f"tokens of a text are 1 to {MAX_EMBEDDED_TOKENS} numbers, none of them negative")


class EmbeddingRequest(BaseModel):
    """Texts, and in which form their vectors are wanted."""

    model_config = ConfigDict(extra="ignore")

    input: Annotated[Any, PlainValidator(_checked, json_schema_input_type=_Forms)] = Field(
        description="One text or several; or tokens of cl100k_base in place of each."
    )
    model: ModelName = None
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Fewer than the model has: the first so many of its numbers, at length 1 again."
    )
    user: str | None = None

    def texts(self) -> list[str]:
        """What is to be put into vectors. Tokens are looked up, so not for the event loop.

        Raises:
            ApiError: 400, a number is no token.
        """
        given = [self.input] if isinstance(self.input, str) or isinstance(self.input[0], int) else self.input
        try:
            return [each if isinstance(each, str) else text_of(each) for each in given]
        except ValueError as error:
            message = f"input: {error}; send texts, or tokens of that encoding"
            raise ApiError(400, "invalid_tokens", message, [{"field": "input", "message": str(error)}]) from None


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
    body_limit=MAX_VECTORS_BODY,
    body_values=MAX_TOKEN_PARTS,
    answers={200: Answer("The vectors", Embeddings)},
    errors=(400, 503),
)
async def create_embeddings(request: web.Request, body: EmbeddingRequest) -> web.Response:
    """Put texts into vectors of length 1."""
    embedder = request.app[ENGINES].embedder
    wanted = body.dimensions
    if embedder is not None and wanted is not None and wanted > embedder.dimensions:
        message = f"The vectors of {embedder.model} have {embedder.dimensions} dimensions; ask for as many or fewer"
        raise ApiError(400, "invalid_dimensions", message, [{"field": "dimensions", "message": message}])
    found = await embed(request, await asyncio.to_thread(body.texts))
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector[:wanted], body.encoding_format)}
        for index, vector in enumerate(found.vectors)
    ]
    usage = {"prompt_tokens": 0, "total_tokens": 0}
    return web.json_response({"object": "list", "data": data, "model": found.model, "usage": usage})


def _encoded(vector: Sequence[float], encoding: str | None) -> Any:
    """A vector, at length 1 again where it was cut, as it is written down."""
    numbers = np.asarray(vector, "<f4")
    numbers /= max(float(np.linalg.norm(numbers)), 1e-12)
    return base64.b64encode(numbers.tobytes()).decode() if encoding == "base64" else numbers.tolist()
