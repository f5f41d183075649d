"""A connection to an OpenAI-compatible server: Ollama, vLLM, llama.cpp, a cloud.

What is asked of a server is what all of them have: `POST /chat/completions` with `stream` (`openai_chat.py`), and
`POST /audio/speech` with `response_format` "pcm" (`openai_speech.py`; https://platform.openai.com/docs/api-reference).
Connections are kept alive. Requests are not queued here: the server does that, and past a bound they are refused.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import httpx2
import openai
from openai import AsyncOpenAI

from pipeline.engines.llm.context_window import ContextOverflowError
from pipeline.engines.protocols import EngineError, EngineUnavailableError, RequestRefusedError
from pipeline.scheduling.lanes import LaneClosedError, LaneFullError, Ticket

T = TypeVar("T")

FAILURES = (openai.OpenAIError, httpx2.HTTPError, TimeoutError, ValueError, RecursionError)
"""What the client raises for a server that does not answer as it should."""

LOADING_S = 120.0
"""Patience with a server that may have to load the model first."""

_TICKET_CHECK_S = 0.05


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


class OpenAiConnection:
    """The connection and the bounds that both engines share."""

    kind: Literal["in-process", "remote"] = "remote"
    name = "openai-compatible"

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        self.model = model
        self.in_flight = 0
        self.endpoint = endpoint
        self._closed = False
        self.client = AsyncOpenAI(
            base_url=endpoint.base_url,
            api_key=endpoint.api_key or "none",
            # Retries with pauses between them would come too late for a caller; see `opened`.
            max_retries=0,
            timeout=openai.Timeout(LOADING_S, connect=endpoint.connect_timeout_s),
        )

    async def close(self) -> None:
        """Close the connections."""
        self._closed = True
        await self.client.close()

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """One of the places in flight; turns what the client raises into `EngineError`."""
        if self._closed:
            raise LaneClosedError(f"{self.name} is closed")
        if self.in_flight >= self.endpoint.capacity:
            raise LaneFullError(f"{self.name} has {self.in_flight} requests in flight")
        self.in_flight += 1
        try:
            yield
        except openai.APIStatusError as error:
            # Without the answer of the server, in which the request may stand again: this gets into logs.
            raise self._failure(error) from None
        except FAILURES as error:
            raise self._failure(error) from error
        finally:
            self.in_flight -= 1

    async def opened(
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
        at = f"{self.model} at {self.endpoint.base_url}"
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


async def next_piece(iterator: AsyncIterator[T], timeout_s: float, ticket: Ticket) -> T | None:
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


def _said(error: openai.APIStatusError) -> str:
    """What the server says of its refusal, in at most 300 characters."""
    told = error.body.get("message") if isinstance(error.body, dict) else None
    return str(told or f"status {error.status_code}")[:300]
