"""`/v1/chat/completions`: the language model, as OpenAI's API has it."""

import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal

import structlog
from aiohttp import web
from pydantic import BaseModel

from pipeline.engines.images import sees_images
from pipeline.engines.llm.openai_chat_format import tool_call
from pipeline.engines.protocols import ChatRequest, LanguageModel, shapes_answers
from server.app_keys import ENGINES, SETTINGS
from server.bounds import MAX_CHAT_BODY
from server.conversations.generation import FAILURES, Generation, no_answer
from server.conversations.images import refused_images
from server.http import sse
from server.http.errors import ApiError
from server.http.operation import Answer, operation
from server.http.tickets import asked_ticket
from server.v1.chat_request import ChatCompletionRequest

routes = web.RouteTableDef()

log = structlog.get_logger(__name__)


class ChatCompletion(BaseModel):
    """An answer."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, int]


@routes.post("/v1/chat/completions")
@operation(
    "openai",
    scope="llm",
    cost="work",
    body=ChatCompletionRequest,
    body_limit=MAX_CHAT_BODY,
    answers={200: Answer("The answer; with `stream`, as server-sent events", ChatCompletion, (sse.EVENT_STREAM,))},
    errors=(400, 503),
)
async def create_chat_completion(request: web.Request, body: ChatCompletionRequest) -> web.StreamResponse:
    """Answer a conversation. Hanging up stops the generation.

    Tools need a model whose chat template tells of them, or one behind `MORGAN_LLM_BASE_URL`. Images, as data URLs in
    the user's messages, need one of which `MORGAN_LLM_SEES_IMAGES` says that it sees. With `response_format`
    the model in process can write nothing but JSON of that form; an endpoint is handed it on.
    """
    llm = request.app[ENGINES].llm
    asked = body.chat_request(request.app[SETTINGS].llm_temperature)
    refuse_tools(llm, asked)
    refuse_forms(llm, asked)
    refuse_images(llm, asked)
    with asked_ticket(request) as ticket:
        answering = _Completion(Generation(llm, asked, ticket), llm.model)
        if body.stream:
            return await answering.stream(
                request, usage=bool(body.stream_options and body.stream_options.include_usage)
            )
        return await answering.whole()


def refuse_tools(llm: LanguageModel, asked: ChatRequest) -> None:
    """Refuse a request with tools for a model that cannot be given any.

    Raises:
        ApiError: 400.
    """
    if asked.tools and asked.tool_choice != "none" and not llm.calls_tools:
        message = f"{llm.model} cannot be given tools here: set MORGAN_LLM_BASE_URL to an endpoint whose model can"
        raise ApiError(400, "tools_unsupported", message, [{"field": "tools", "message": message}])


def refuse_forms(llm: LanguageModel, asked: ChatRequest) -> None:
    """Refuse a request for JSON of a model that cannot be held to it.

    Raises:
        ApiError: 400.
    """
    if asked.form is not None and not shapes_answers(llm):
        message = f"{llm.model} cannot be held to a form here; leave response_format out"
        raise ApiError(400, "response_format_unsupported", message, [{"field": "response_format", "message": message}])


def refuse_images(llm: LanguageModel, asked: ChatRequest) -> None:
    """Refuse a request with images that do not reach the model.

    Raises:
        ApiError: 400.
    """
    shown = [image for message in asked.messages for image in message.images]
    refused = refused_images(shown, llm.model, sees=sees_images(llm))
    if refused is not None:
        raise ApiError(400, refused.code, refused.message, [{"field": "messages", "message": refused.message}])


class _Completion:
    """One answer, in the words of the API."""

    def __init__(self, generation: Generation, model: str) -> None:
        self._generation = generation
        self._common = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    async def whole(self) -> web.Response:
        """The answer as one JSON object."""
        generation = self._generation
        try:
            async for _ in generation.reply():
                pass
        except FAILURES as error:
            raise no_answer(error) from None
        calls = [tool_call(call) for call in generation.tool_calls]
        text = generation.text or (None if calls else "")
        message = {"role": "assistant", "content": text, "refusal": None} | ({"tool_calls": calls} if calls else {})
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": generation.finish_reason}
        return web.json_response(
            {**self._common, "object": "chat.completion", "choices": [choice], "usage": generation.usage}
        )

    async def stream(self, request: web.Request, *, usage: bool) -> web.StreamResponse:
        """The answer as server-sent events; what goes wrong before its first word has a status of its own."""
        async with aclosing(self._generation.reply()) as pieces:
            try:
                first = await anext(pieces, "")
            except FAILURES as error:
                raise no_answer(error) from None
            response = await sse.open_events(request)
            try:
                await self._write(response, first, pieces, usage)
                await response.write(sse.DONE)
                await response.write_eof()
            except ConnectionError:
                log.info("the client left before the answer was over")
        return response

    async def _write(
        self, response: web.StreamResponse, first: str, pieces: AsyncGenerator[str, None], usage: bool
    ) -> None:
        generation = self._generation
        await response.write(self._chunk({"role": "assistant", "content": first}))
        try:
            async for piece in pieces:
                await response.write(self._chunk({"content": piece}))
        except FAILURES as error:
            await response.write(sse.event(no_answer(error).body(openai=True)))
            return
        if generation.tool_calls:
            calls = [{"index": index, **tool_call(call)} for index, call in enumerate(generation.tool_calls)]
            await response.write(self._chunk({"tool_calls": calls}))
        await response.write(self._chunk({}, generation.finish_reason))
        if usage:
            await response.write(sse.event({**self._chunk_fields(), "choices": [], "usage": generation.usage}))

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return sse.event({**self._chunk_fields(), "choices": [choice]})

    def _chunk_fields(self) -> dict[str, Any]:
        return {**self._common, "object": "chat.completion.chunk"}
