"""The language model as a service of its own: text in, text out, and vectors of texts."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.engines.images import sees_images
from pipeline.engines.llm.llama_batcher import LlamaStats
from pipeline.engines.protocols import ChatRequest, Message, shapes_answers
from server.app_keys import ENGINES, SETTINGS
from server.bounds import (
    MAX_EMBEDDED,
    MAX_EMBEDDED_CHARS,
    MAX_PROMPT_BODY,
    MAX_PROMPT_CHARS,
    MAX_PROMPT_MESSAGES,
    MAX_SYSTEM_CHARS,
    MAX_TOKENS,
)
from server.conversations.generation import DEFAULT_MAX_TOKENS, FAILURES, Generation, no_answer
from server.conversations.reply_stream import stream_reply
from server.conversations.written_turn import WrittenTurn
from server.http.acting import acting_user
from server.http.fields import UserId
from server.http.operation import Answer, operation
from server.http.sse import EVENT_STREAM
from server.http.tickets import asked_ticket
from server.services.health import HEALTH, service_health
from server.services.llm_conversation import kept_turn
from server.v1.chat_request import ChatCompletionRequest
from server.v1.vectors import embed

routes = web.RouteTableDef()


class ChatMessage(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: Annotated[str, Field(max_length=MAX_PROMPT_CHARS)]


class Prompt(BaseModel):
    """What to answer: a prompt, or the messages of a conversation.

    With `conversation_id`, a prompt is answered in the light of that conversation, and both are kept in it. Messages
    say all there is to know by themselves: for them a conversation_id only helps the model to reuse what it has read.
    """

    model_config = ConfigDict(extra="forbid")

    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT_CHARS, pattern=r"\S")] | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_PROMPT_MESSAGES)] | None = None
    system: Annotated[str, Field(max_length=MAX_SYSTEM_CHARS)] | None = None
    conversation_id: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        None, description='A uuid, "last" for the user\'s last conversation, or a name of your own.'
    )
    user_id: UserId = Field("anonymous", description="Whose conversation it is.")
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] = DEFAULT_MAX_TOKENS
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    stream: bool = Field(True, description="Taken for compatibility; the path says whether the answer is streamed.")

    @model_validator(mode="after")
    def _one_of_both(self) -> "Prompt":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        return self


class Usage(BaseModel):
    """Tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Generated(BaseModel):
    """The model's answer."""

    text: str
    usage: Usage
    latency_ms: float
    conversation_id: str | None = None


class Opening(ChatCompletionRequest):
    """A conversation as far as it is known; the user need not have said anything yet."""


class Read(BaseModel):
    """The conversation was read."""

    status: Literal["ok"]


class Texts(BaseModel):
    """Texts to be put into vectors."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1, max_length=MAX_EMBEDDED_CHARS)] | None = None
    texts: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=MAX_EMBEDDED_CHARS)]],
            Field(min_length=1, max_length=MAX_EMBEDDED),
        ]
        | None
    ) = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Texts":
        if (self.text is None) == (self.texts is None):
            raise ValueError("give either text or texts")
        return self


class Vectors(BaseModel):
    """One vector of length 1 for each text, in order."""

    embeddings: list[list[float]]
    model: str
    dimensions: int


@routes.post("/stream")
@operation(
    "llm",
    scope="llm",
    cost="work",
    body=Prompt,
    body_limit=MAX_PROMPT_BODY,
    answers={200: Answer("Server-sent events", content=(EVENT_STREAM,))},
    errors=(400, 404, 503),
)
async def stream(request: web.Request, body: Prompt) -> web.StreamResponse:
    """Answer as server-sent events.

    Events: `{"type": "token", "text"}` for each piece, then `{"type": "done", "text", "usage", "latency_ms"}` or
    `{"type": "error", "code", "message"}`, then `[DONE]`. Hanging up stops the generation.
    """
    answering = await _answering(request, body)
    return await stream_reply(request, answering.reply(), lambda: _result(answering))


@routes.post("/generate")
@operation(
    "llm",
    scope="llm",
    cost="work",
    body=Prompt,
    body_limit=MAX_PROMPT_BODY,
    answers={200: Answer("The answer", Generated)},
    errors=(400, 404, 503),
)
async def generate(request: web.Request, body: Prompt) -> web.Response:
    """Answer as one JSON object. Hanging up stops the generation."""
    answering = await _answering(request, body)
    try:
        async for _ in answering.reply():
            pass
    except FAILURES as error:
        raise no_answer(error) from None
    return web.json_response(_result(answering))


@routes.post("/prefill")
@operation(
    "llm",
    scope="llm",
    cost="work",
    body=Opening,
    body_limit=MAX_PROMPT_BODY,
    answers={200: Answer("Read", Read)},
    errors=(400, 503),
)
async def prefill(request: web.Request, body: Opening) -> web.Response:
    """Read a conversation ahead of time: an answer to it, or to a longer one with its key, then begins sooner.

    The conversation's key is `prompt_cache_key`. A model that cannot read ahead does nothing.
    """
    asked = body.chat_request(request.app[SETTINGS].llm_temperature)
    with asked_ticket(request) as ticket:
        try:
            await request.app[ENGINES].llm.prefill(asked, ticket)
        except FAILURES as error:
            raise no_answer(error) from None
    return web.json_response({"status": "ok"})


@routes.post("/embed")
@operation(
    "llm",
    scope="llm",
    cost="work",
    body=Texts,
    body_limit=MAX_PROMPT_BODY,
    answers={200: Answer("The vectors", Vectors)},
    errors=(503,),
)
async def embed_texts(request: web.Request, body: Texts) -> web.Response:
    """Put texts into vectors."""
    found = await embed(request, body.texts or [body.text or ""])
    vectors = {"embeddings": found.vectors, "model": found.model, "dimensions": found.dimensions}
    return web.json_response(vectors)


@routes.get("/health")
@HEALTH
async def health(request: web.Request) -> web.Response:
    """200 while the service answers."""
    engines = request.app[ENGINES]
    embedder = engines.embedder
    told = None
    if embedder is not None:
        told = {"engine": embedder.name, "model": embedder.model, "dimensions": embedder.dimensions}
    more: dict[str, Any] = {
        "calls_tools": engines.llm.calls_tools,
        "shapes_answers": shapes_answers(engines.llm),
        "sees_images": sees_images(engines.llm),
        "embedder": told,
    }
    stats = getattr(engines.llm, "stats", None)
    if isinstance(stats, LlamaStats):
        more["tokens"] = asdict(stats)
    return service_health(request, "llm", more)


async def _answering(request: web.Request, body: Prompt) -> Generation | WrittenTurn:
    engines, settings = request.app[ENGINES], request.app[SETTINGS]
    temperature = settings.llm_temperature if body.temperature is None else body.temperature
    if body.prompt is not None and body.conversation_id is not None:
        named = body.user_id if "user_id" in body.model_fields_set else None
        return await kept_turn(
            request,
            body.prompt,
            user_id=acting_user(request, named) or body.user_id,
            conversation=body.conversation_id,
            system=body.system or "",
            max_tokens=body.max_tokens,
            temperature=temperature,
        )
    messages = [Message("system", body.system)] if body.system else []
    if body.prompt is not None:
        messages.append(Message("user", body.prompt))
    messages += [Message(message.role, message.content) for message in body.messages or ()]
    asked = ChatRequest(tuple(messages), body.conversation_id or "", body.max_tokens, temperature)
    return Generation(engines.llm, asked)


def _result(answered: Generation | WrittenTurn) -> dict[str, Any]:
    result = {"text": answered.text.strip(), "usage": answered.usage, "latency_ms": answered.latency_ms}
    if isinstance(answered, WrittenTurn):
        result["conversation_id"] = answered.conversation_id
    return result
