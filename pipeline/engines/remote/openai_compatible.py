"""Engines behind an OpenAI-compatible server: Ollama, vLLM, llama.cpp, a cloud.

What is asked of a server is what all of them have: `POST /chat/completions` with `stream`, and `POST /audio/speech`
with `response_format` "pcm" (https://platform.openai.com/docs/api-reference). Connections are kept alive. Requests are
not queued here: the server does that, and past a bound they are refused.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar, cast

import httpx2
import numpy as np
import openai
import soxr
from openai import AsyncOpenAI

from pipeline.audio import SPEECH_RATE, Pcm
from pipeline.engines.llm.context_window import ContextOverflowError
from pipeline.engines.llm.openai_chat_format import ToolCallAssembler, chat_messages, form_options, tool_options
from pipeline.engines.protocols import (
    ChatDelta,
    ChatRequest,
    EngineError,
    EngineUnavailableError,
    FinishReason,
    Message,
    RequestRefusedError,
    SpeechChunk,
    Voice,
)
from pipeline.scheduling.lanes import LaneClosedError, LaneFullError, Ticket
from pipeline.text.thinking import ThoughtFilter, likely_untagged

T = TypeVar("T")

_FAILURES = (openai.OpenAIError, httpx2.HTTPError, TimeoutError, ValueError, RecursionError)
_TICKET_CHECK_S = 0.05
_TAIL_S = 1.0
_LOADING_S = 120.0
_SMALLEST_CHUNK = 960

GREETING_TOKENS = 200
"""Of the reply to the warm-up: models that think have closed their thought by then, others have long ended."""

MOST_THOUGHT = 1024
"""Tokens of thoughts beside a reply, where the model is one that thinks."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is and how long to wait for it.

    Attributes:
        base_url: up to and with the version, such as "http://localhost:11434/v1".
        api_key: sent as bearer token; local servers need none.
        connect_timeout_s: until the connection stands.
        first_timeout_s: from the request to the first piece of the answer.
        next_timeout_s: from one piece to the next.
        capacity: requests in flight; one more raises `LaneFullError`.
    """

    base_url: str
    api_key: str = ""
    connect_timeout_s: float = 2.0
    first_timeout_s: float = 10.0
    next_timeout_s: float = 10.0
    capacity: int = 64


class _Remote:
    """The connection and the bounds that both engines share."""

    kind: Literal["in-process", "remote"] = "remote"
    name = "openai-compatible"

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        self.model = model
        self.in_flight = 0
        self._endpoint = endpoint
        self._closed = False
        self._client = AsyncOpenAI(
            base_url=endpoint.base_url,
            api_key=endpoint.api_key or "none",
            # Retries with pauses between them would come too late for a caller; see `_opened`.
            max_retries=0,
            timeout=openai.Timeout(_LOADING_S, connect=endpoint.connect_timeout_s),
        )

    async def close(self) -> None:
        """Close the connections."""
        self._closed = True
        await self._client.close()

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """One of the places in flight; turns what the client raises into `EngineError`."""
        if self._closed:
            raise LaneClosedError(f"{self.name} is closed")
        if self.in_flight >= self._endpoint.capacity:
            raise LaneFullError(f"{self.name} has {self.in_flight} requests in flight")
        self.in_flight += 1
        try:
            yield
        except _FAILURES as error:
            raise self._failure(error) from error
        finally:
            self.in_flight -= 1

    async def _opened(
        self, opening: Callable[[], Coroutine[Any, Any, T]], patience_s: float, ticket: Ticket
    ) -> T | None:
        """The result of an opening call; tried twice, because a kept connection may have been closed meanwhile."""

        async def attempts() -> T:
            try:
                return await opening()
            except openai.APITimeoutError:
                raise
            except openai.APIConnectionError:
                return await opening()

        return await _awaited(attempts(), patience_s, ticket)

    def _failure(self, error: Exception) -> EngineError:
        at = f"{self.model} at {self._endpoint.base_url}"
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            return EngineUnavailableError(f"{at}: the API key was refused; check the setting")
        if isinstance(error, openai.NotFoundError):
            return EngineUnavailableError(f"{at}: no such model or path; pull the model there or check the URL")
        if isinstance(error, TimeoutError | openai.APITimeoutError | httpx2.TimeoutException):
            return EngineError(f"{at}: no answer in time")
        if isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError):
            overflow = error.code == "context_length_exceeded"
            return (ContextOverflowError if overflow else RequestRefusedError)(
                f"{at} does not take this: {_said(error)}"
            )
        if isinstance(error, openai.APIStatusError):
            return EngineError(f"{at}: status {error.status_code}")
        if isinstance(error, openai.APIConnectionError | httpx2.TransportError):
            return EngineError(f"{at}: the connection failed or broke off; is the server running?")
        return EngineError(f"{at}: {error}")


class OpenAiChat(_Remote):
    """A chat model behind `pipeline.engines.protocols.LanguageModel`.

    Args:
        endpoint: where the server is.
        model: its name there.
        limit_field: what the server calls the bound on tokens; newer OpenAI models want "max_completion_tokens".
        prefills: whether `prefill` sends a request for one token. Worth it where the server keeps prefixes (llama.cpp,
            vLLM, Ollama) and tokens cost nothing.
        asks_usage: whether to ask for token counts with `stream_options`.
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
    ) -> None:
        super().__init__(endpoint, model)
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
        with self._place():
            chunks = await self._opened(lambda: self._request(request), self._endpoint.first_timeout_s, ticket)
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
        with contextlib.suppress(EngineError, LaneFullError), self._place():
            await self._opened(lambda: self._whole(request, 1), self._endpoint.first_timeout_s, ticket)

    async def warm_up(self) -> None:
        """Have it greet; a server that has to load the model first is given two minutes.

        How it greets tells whether it thinks, and whether it does so without an opening tag, before anybody hears it.
        """
        with self._place():
            request = ChatRequest((Message("user", "Hi"),))
            greeting = await self._opened(lambda: self._whole(request, GREETING_TOKENS), _LOADING_S, Ticket())
        for choice in greeting.choices[:1] if greeting is not None else ():
            found = ThoughtFilter()
            found.feed(choice.message.content or "")
            self._learn(found, thought=bool(_reasoning(choice.message)))

    def _learn(self, found: ThoughtFilter, *, thought: bool) -> None:
        self._thinks = self._thinks or thought or found.thought
        self._begins_in_thought = self._begins_in_thought or found.unopened

    async def _deltas(self, chunks: Any, ticket: Ticket) -> AsyncIterator[ChatDelta]:
        wait = self._endpoint.first_timeout_s
        reason: FinishReason | None = None
        counts, asked = (0, 0), ToolCallAssembler()
        found, reasoned = ThoughtFilter(opened=self._begins_in_thought, sure=False), False
        iterator = aiter(chunks)
        while True:
            try:
                chunk = await _next(iterator, wait, ticket)
                piece = _Piece() if chunk is None else _read(chunk, asked)
            except _FAILURES:
                # Everything has been said; only the counts are missing.
                if reason is None:
                    raise
                break
            if chunk is None or ticket.cancelled:
                break
            counts = piece.counts or counts
            if piece.content or piece.reasoning:
                wait = self._endpoint.next_timeout_s
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
            raise EngineError(f"{self.model} at {self._endpoint.base_url}: the reply ended before it was finished")
        # Cut at the limit, the arguments are half an object: nothing to run a tool with.
        calls = asked.calls() if reason != "length" else ()
        yield ChatDelta("", "tool_calls" if calls else reason, *counts, calls)

    async def _request(self, request: ChatRequest) -> Any:
        # Servers count thoughts as part of the reply.
        most = request.max_tokens + (MOST_THOUGHT if self._thinks or self._begins_in_thought else 0)
        options: dict[str, Any] = {self._limit_field: most, **tool_options(request), **form_options(request)}
        options |= {name: value for name in ("top_p", "seed") if (value := getattr(request, name)) is not None}
        if request.stop:
            options["stop"] = list(request.stop)
        if self._asks_usage:
            options["stream_options"] = {"include_usage": True}
        return await self._client.chat.completions.create(
            model=self.model,
            messages=cast(Any, chat_messages(request.messages)),
            temperature=request.temperature,
            stream=True,
            **options,
        )

    async def _whole(self, request: ChatRequest, most: int) -> Any:
        options: dict[str, Any] = {self._limit_field: most}
        return await self._client.chat.completions.create(
            model=self.model, messages=cast(Any, chat_messages(request.messages)), **options
        )


class OpenAiSpeech(_Remote):
    """A voice behind `pipeline.engines.protocols.TextToSpeech`.

    Args:
        endpoint: where the server is.
        model: its name there.
        voices: ids that the server knows; the first is the default.
        language: of the voices, ISO 639-1, for their description.
        rate: of the server's PCM, Hz (OpenAI's is 24 kHz); resampled where it differs from `SPEECH_RATE`.

    Raises:
        ValueError: no voice is named.
    """

    def __init__(
        self, endpoint: Endpoint, model: str, voices: Sequence[str], *, language: str = "en", rate: int = SPEECH_RATE
    ) -> None:
        if not voices:
            raise ValueError("name one voice at least")
        super().__init__(endpoint, model)
        self.voices: Sequence[Voice] = tuple(Voice(voice, voice, language, self.name) for voice in voices)
        self.default_voice = voices[0]
        self._rate = rate

    def synthesize(
        self, text: str, ticket: Ticket, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncIterator[SpeechChunk]:
        """Say a clause or a sentence; chunks come as the server sends them, without word times.

        Raises:
            ValueError: unknown voice.
            EngineError: the server cannot be reached, refuses, falls silent, breaks off or sends something else.
        """
        known = [each.id for each in self.voices]
        if voice is not None and voice not in known:
            raise ValueError(f"unknown voice {voice!r}; known are {', '.join(known)}")
        return self._chunks(text, ticket, voice or self.default_voice, speed)

    async def warm_up(self) -> None:
        """Say a word; a server that has to load the model first is given two minutes."""
        async for _ in self._chunks("Ready.", Ticket(), self.default_voice, 1.0, patience_s=_LOADING_S):
            pass

    async def _chunks(
        self, text: str, ticket: Ticket, voice: str, speed: float, patience_s: float | None = None
    ) -> AsyncIterator[SpeechChunk]:
        if ticket.cancelled or not any(character.isalnum() for character in text):
            return
        wait = patience_s or self._endpoint.first_timeout_s
        speech = self._client.audio.speech.with_streaming_response
        options: dict[str, Any] = {"model": self.model, "voice": voice, "input": text, "speed": speed}
        with self._place():
            async with contextlib.AsyncExitStack() as stack:
                response = await self._opened(
                    lambda: stack.enter_async_context(speech.create(**options, response_format="pcm")), wait, ticket
                )
                if response is None:
                    return
                assembler = _PcmAssembler(self._rate)
                pieces = aiter(response.iter_bytes())
                while (piece := await _next(pieces, wait, ticket)) is not None and not ticket.cancelled:
                    wait = self._endpoint.next_timeout_s
                    pcm = assembler.feed(piece)
                    if pcm.size:
                        yield SpeechChunk(pcm)
                if not ticket.cancelled and (rest := assembler.finish()).size:
                    yield SpeechChunk(rest)


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


class _PcmAssembler:
    """Turns network pieces, which may end in the middle of a sample, into samples at `SPEECH_RATE`."""

    def __init__(self, rate: int) -> None:
        self._bytes = bytearray()
        self._seen = False
        self._resampler = None if rate == SPEECH_RATE else soxr.ResampleStream(rate, SPEECH_RATE, 1, dtype="int16")

    def feed(self, piece: bytes) -> Pcm:
        """The samples that are ready now; nothing until 20 ms have come together."""
        self._bytes += piece
        if len(self._bytes) < _SMALLEST_CHUNK:
            return np.zeros(0, np.int16)
        return self._take(last=False)

    def finish(self) -> Pcm:
        """What is left; half a sample at the very end is dropped."""
        return self._take(last=True)

    def _take(self, *, last: bool) -> Pcm:
        if not self._seen and bytes(self._bytes[:4]) in (b"RIFF", b"OggS", b"fLaC", b"ID3\x03", b"ID3\x04"):
            raise ValueError("the server ignores response_format: it sends an audio file, not PCM")
        self._seen = True
        whole = len(self._bytes) // 2 * 2
        samples = np.frombuffer(bytes(self._bytes[:whole]), "<i2").astype(np.int16)
        del self._bytes[:whole]
        if self._resampler is None:
            return samples
        return np.asarray(self._resampler.resample_chunk(samples, last=last), np.int16)


async def _next(iterator: AsyncIterator[T], timeout_s: float, ticket: Ticket) -> T | None:
    """The next item; None at the end or once the ticket is cancelled."""

    async def item() -> T | None:
        return await anext(iterator, None)

    return await _awaited(item(), timeout_s, ticket)


async def _awaited(work: Coroutine[Any, Any, T], timeout_s: float, ticket: Ticket) -> T | None:
    """What a coroutine returns; None once the ticket is cancelled.

    Raises:
        TimeoutError: it took too long.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=max(0.0, min(_TICKET_CHECK_S, deadline - loop.time())))
            if not task.done() and ticket.cancelled:
                return None
            if not task.done() and loop.time() >= deadline:
                raise TimeoutError(f"nothing for {timeout_s:g} s")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


def _reasoning(message: Any) -> str:
    """Thoughts that a server has taken out by itself: `reasoning_content` or `reasoning`."""
    return str(getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None) or "")


def _said(error: openai.APIStatusError) -> str:
    """What the server says of its refusal, in at most 300 characters."""
    told = error.body.get("message") if isinstance(error.body, dict) else None
    return str(told or f"status {error.status_code}")[:300]
