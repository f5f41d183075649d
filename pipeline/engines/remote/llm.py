"""The language model, and the embedder beside it, by Morgan's own service in another process."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Literal, cast

from pipeline.engines.llm.openai_chat_format import chat_messages, form_options, tool_options
from pipeline.engines.protocols import ChatDelta, ChatRequest, EngineError, FinishReason, Message, ToolCall
from pipeline.engines.remote.reply import Question
from pipeline.engines.remote.service import RemoteService
from pipeline.scheduling.lane_load import LaneLoad
from pipeline.scheduling.lanes import LaneFullError, Ticket

DATA, END = b"data: ", b"[DONE]"


class RemoteLanguageModel:
    """A `LanguageModel` over `POST /v1/chat/completions` and `POST /prefill`.

    The conversation's key goes along as `prompt_cache_key`, so that the service reads only what is new, and each
    conversation stays with one server as long as that is not busier than the others.

    Args:
        service: the way there.
        health: what its `/health` told.
    """

    kind: Literal["in-process", "remote"] = "remote"

    def __init__(self, service: RemoteService, health: dict[str, Any]) -> None:
        self.name = str(health.get("engine", "morgan"))
        self.model = str(health.get("model", ""))
        self.calls_tools = health.get("calls_tools") is True
        self.shapes_answers = health.get("shapes_answers") is True
        self.sees_images = health.get("sees_images") is True
        self.service = service

    @property
    def load(self) -> LaneLoad:
        """Counters of what is asked of the service."""
        return self.service.load

    async def stream(self, request: ChatRequest, ticket: Ticket) -> AsyncIterator[ChatDelta]:
        """Generate a reply; closing the iterator, or cancelling the ticket, hangs up, which stops the service.

        Raises:
            ContextOverflowError, RequestRefusedError: the model does not take this.
            EngineError, LaneFullError, LaneClosedError: as `RemoteService.ask`.
        """
        question = _question("/v1/chat/completions", request, stream=True, stream_options={"include_usage": True})
        async with self.service.ask(question, ticket) as reply:
            if reply is None:
                return
            reason: FinishReason | None = None
            calls: tuple[ToolCall, ...] = ()
            counts = (0, 0)
            async with aclosing(reply.lines()) as lines:
                async for line in lines:
                    chunk = _chunk(line)
                    usage = chunk.get("usage")
                    if usage:
                        counts = (usage["prompt_tokens"], usage["completion_tokens"])
                    for choice in chunk.get("choices", ()):
                        delta = choice.get("delta", {})
                        if delta.get("content"):
                            yield ChatDelta(delta["content"])
                        calls += tuple(_tool_call(call) for call in delta.get("tool_calls") or ())
                        reason = choice.get("finish_reason") or reason
            if ticket.cancelled:
                return
            if reason is None:
                raise EngineError("llm: the reply ended before it was finished")
            yield ChatDelta("", reason, *counts, calls)

    async def prefill(self, request: ChatRequest, ticket: Ticket) -> None:
        """Have the service read the context. Raises as `stream` does."""
        if any(message.images for message in request.messages):
            # Megabytes, for models that read nothing ahead: none that does sees any.
            return
        async with self.service.ask(_question("/prefill", request), ticket) as reply:
            if reply is not None:
                await reply.json()

    async def warm_up(self) -> None:
        """Generate two tokens."""
        request = ChatRequest((Message("user", "Hello"),), max_tokens=2)
        async for _ in self.stream(request, Ticket()):
            pass

    async def close(self) -> None:
        """Close the connections."""
        await self.service.close()


class RemoteEmbedder:
    """A `TextEmbedder` over `POST /embed` of the language model's service.

    Args:
        service: the way there; closed with this.
        health: what its `/health` told of its embedder: model and dimensions.
    """

    kind: Literal["in-process", "remote"] = "remote"

    def __init__(self, service: RemoteService, health: dict[str, Any]) -> None:
        self.name = str(health.get("engine", "morgan"))
        self.model = str(health["model"])
        self.dimensions = int(health["dimensions"])
        self.service = service

    @property
    def load(self) -> LaneLoad:
        """Counters of what is asked of the service."""
        return self.service.load

    async def embed(self, texts: Sequence[str], ticket: Ticket) -> list[list[float]]:
        """See `TextEmbedder`.

        Raises:
            EngineError, LaneFullError, LaneClosedError: as `RemoteService.ask`.
        """
        if not texts:
            return []
        # The service takes no empty texts.
        body = json.dumps({"texts": [text[:LONGEST_CHARS] or " " for text in texts]}).encode()
        async with self.service.ask(Question("/embed", body), ticket) as reply:
            told = await reply.json() if reply is not None else None
        if told is None:
            return [[0.0] * self.dimensions for _ in texts]
        return cast(list[list[float]], told["embeddings"])

    async def warm_up(self) -> None:
        """Embed a word."""
        await self.embed(["Hello"], Ticket())

    async def close(self) -> None:
        """Close the connections."""
        await self.service.close()


LONGEST_CHARS = 20_000
"""Of a text to embed; models read a few hundred words."""


def _question(path: str, request: ChatRequest, **more: Any) -> Question:
    asked: dict[str, Any] = {
        "messages": chat_messages(request.messages),
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        **tool_options(request),
        **form_options(request),
        **more,
    }
    if request.conversation:
        asked["prompt_cache_key"] = request.conversation
    if request.guidance:
        asked["guidance"] = [str(each.name).lower() for each in request.guidance]
    if request.stop:
        asked["stop"] = list(request.stop)
    asked |= {name: value for name in ("top_p", "seed") if (value := getattr(request, name)) is not None}
    return Question(path, json.dumps(asked).encode(), conversation=request.conversation)


def _chunk(line: bytes) -> dict[str, Any]:
    """What a server-sent event says; nothing for the end of all.

    Raises:
        EngineError, LaneFullError: the service tells of an error, or says what is no event.
    """
    data = line.removeprefix(DATA)
    if data == END:
        return {}
    try:
        chunk = json.loads(data)
    except ValueError:
        raise EngineError("llm: the answer is no event stream; is it a Morgan?") from None
    if "error" in chunk:
        kind = LaneFullError if chunk["error"].get("code") == "busy" else EngineError
        raise kind(f"llm: {chunk['error'].get('message')}")
    return cast(dict[str, Any], chunk)


def _tool_call(call: dict[str, Any]) -> ToolCall:
    function = call["function"]
    return ToolCall(call["id"], function["name"], function["arguments"])
