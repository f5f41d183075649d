"""A chat model behind an OpenAI-compatible server."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Literal, NamedTuple, cast

from pipeline.engines.llm.openai_chat_format import ToolCallAssembler, chat_messages, form_options, tool_options
from pipeline.engines.protocols import ChatDelta, ChatRequest, EngineError, FinishReason, Message
from pipeline.engines.remote.openai_connection import FAILURES, LOADING_S, Endpoint, OpenAiConnection, next_piece
from pipeline.scheduling.lanes import LaneFullError, Ticket
from pipeline.text.thinking import ThoughtFilter, likely_untagged

GREETING_TOKENS = 200
"""Of the reply to the warm-up: models that think have closed their thought by then, others have long ended."""

MOST_THOUGHT = 1024
"""Tokens of thoughts beside a reply, where the model is one that thinks."""

_TAIL_S = 1.0


class OpenAiChat(OpenAiConnection):
    """A chat model behind `pipeline.engines.protocols.LanguageModel`.

    Args:
        endpoint: where the server is.
        model: its name there.
        limit_field: what the server calls the bound on tokens; newer OpenAI models want "max_completion_tokens".
        prefills: whether `prefill` sends a request for one token. Worth it where the server keeps prefixes (llama.cpp,
            vLLM, Ollama) and tokens cost nothing.
        asks_usage: whether to ask for token counts with `stream_options`.
        sees_images: whether the model takes images; servers do not tell it in a way that all of them share.
    """

    calls_tools = True
    shapes_answers = True

    def __init__(
        self,
        endpoint: Endpoint,
        model: str,
        *,
        limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens",
        prefills: bool = False,
        asks_usage: bool = True,
        sees_images: bool = False,
    ) -> None:
        super().__init__(endpoint, model)
        self.sees_images = sees_images
        self._limit_field = limit_field
        self._prefills = prefills
        self._asks_usage = asks_usage
        # Learnt from its replies, the first of which is the one to the warm-up.
        self._thinks = False
        self._begins_in_thought = likely_untagged(model)

    async def stream(self, request: ChatRequest, ticket: Ticket) -> AsyncIterator[ChatDelta]:
        """Generate a reply.

        Closing the iterator closes the HTTP stream, which stops the server; cancelling the ticket does so within 50 ms.

        Raises:
            EngineError: the server cannot be reached, refuses, falls silent or breaks off.
            LaneFullError: too many requests are in flight.
        """
        if ticket.cancelled:
            return
        with self.place():
            chunks = await self.opened(lambda: self._request(request), self.endpoint.first_timeout_s, ticket)
            if chunks is None:
                return
            try:
                async for delta in self._deltas(chunks, ticket):
                    yield delta
            finally:
                await chunks.close()

    async def prefill(self, request: ChatRequest, ticket: Ticket) -> None:
        """Have the server read the context, if `prefills` is set; failures are left to `stream` to report."""
        if not self._prefills or ticket.cancelled:
            return
        with contextlib.suppress(EngineError, LaneFullError), self.place():
            await self.opened(lambda: self._whole(request, 1), self.endpoint.first_timeout_s, ticket)

    async def warm_up(self) -> None:
        """Have it greet; a server that has to load the model first is given two minutes.

        How it greets tells whether it thinks, and whether it does so without an opening tag, before a caller hears it.
        """
        with self.place():
            request = ChatRequest((Message("user", "Hi"),))
            greeting = await self.opened(lambda: self._whole(request, GREETING_TOKENS), LOADING_S, Ticket())
        for choice in greeting.choices[:1] if greeting is not None else ():
            found = ThoughtFilter()
            found.feed(choice.message.content or "")
            self._learn(found, thought=bool(_reasoning(choice.message)))

    def _learn(self, found: ThoughtFilter, *, thought: bool) -> None:
        self._thinks = self._thinks or thought or found.thought
        self._begins_in_thought = self._begins_in_thought or found.unopened

    async def _deltas(self, chunks: Any, ticket: Ticket) -> AsyncIterator[ChatDelta]:
        wait = self.endpoint.first_timeout_s
        reason: FinishReason | None = None
        counts, asked = (0, 0), ToolCallAssembler()
        found, reasoned = ThoughtFilter(opened=self._begins_in_thought, sure=False), False
        iterator = aiter(chunks)
        while True:
            try:
                chunk = await next_piece(iterator, wait, ticket)
                piece = _Piece() if chunk is None else _read(chunk, asked)
            except FAILURES:
                # Everything has been said; only the counts are missing.
                if reason is None:
                    raise
                break
            if chunk is None or ticket.cancelled:
                break
            counts = piece.counts or counts
            if piece.content or piece.reasoning:
                wait = self.endpoint.next_timeout_s
                reasoned = reasoned or not piece.content
                text = found.feed(piece.content)
                thinking = found.thinking or not piece.content
                if text or thinking:
                    yield ChatDelta(text, thinking=thinking)
            if piece.finish_reason is not None:
                reason = "length" if piece.finish_reason == "length" else "stop"
                wait = _TAIL_S
        if ticket.cancelled:
            return
        text = found.finish()
        self._learn(found, thought=reasoned)
        if text:
            yield ChatDelta(text)
        if reason is None:
            raise EngineError(f"{self.model} at {self.endpoint.base_url}: the reply ended before it was finished")
        # Cut at the limit, the arguments are half an object: nothing to run a tool with.
        calls = asked.calls() if reason != "length" else ()
        yield ChatDelta("", "tool_calls" if calls else reason, *counts, calls)

    async def _request(self, request: ChatRequest) -> Any:
        """Open a streamed reply.

        Messages and tools go beside the client's own parameters: it would compare each part of each message with the
        types that it knows, 5 ms of the event loop for a conversation of forty, and change nothing in them.
        """
        # Servers count thoughts as part of the reply.
        most = request.max_tokens + (MOST_THOUGHT if self._thinks or self._begins_in_thought else 0)
        options: dict[str, Any] = {self._limit_field: most, **form_options(request)}
        options |= {name: value for name in ("top_p", "seed") if (value := getattr(request, name)) is not None}
        if request.stop:
            options["stop"] = list(request.stop)
        if self._asks_usage:
            options["stream_options"] = {"include_usage": True}
        return await self.client.chat.completions.create(
            model=self.model,
            messages=(),
            temperature=request.temperature,
            stream=True,
            extra_body={"messages": chat_messages(request.messages), **tool_options(request)},
            **options,
        )

    async def _whole(self, request: ChatRequest, most: int) -> Any:
        options: dict[str, Any] = {self._limit_field: most}
        return await self.client.chat.completions.create(
            model=self.model, messages=cast(Any, chat_messages(request.messages)), **options
        )


class _Piece(NamedTuple):
    """What a chunk of a streamed reply says."""

    content: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    counts: tuple[int, int] | None = None


def _read(chunk: Any, asked: ToolCallAssembler) -> _Piece:
    """A chunk, whose tool calls go to the assembler. The client checks no types: a server may send anything.

    Raises:
        ValueError: it is no chunk of a chat completion.
    """
    try:
        usage = chunk.usage
        counts = None if usage is None else (int(usage.prompt_tokens or 0), int(usage.completion_tokens or 0))
        piece = _Piece(counts=counts)
        for choice in (chunk.choices or [])[:1]:
            delta = choice.delta
            if delta:
                asked.add(delta.tool_calls)
                content = delta.content or ""
                if not isinstance(content, str):
                    raise TypeError("content is no text")
                piece = piece._replace(content=content, reasoning=_reasoning(delta))
            piece = piece._replace(finish_reason=choice.finish_reason)
        return piece
    except (AttributeError, TypeError) as error:
        raise ValueError(f"what it sends is no chat completion ({error})") from error


def _reasoning(message: Any) -> str:
    """Thoughts that a server has taken out by itself: `reasoning_content` or `reasoning`."""
    return str(getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None) or "")
