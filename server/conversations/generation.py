"""One answer of the language model to one request over HTTP, and what clients are told when there is none."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from pipeline.engines.llm.context_window import ContextOverflowError
from pipeline.engines.protocols import (
    ChatRequest,
    EngineError,
    FinishReason,
    LanguageModel,
    RequestRefusedError,
    ToolCall,
)
from pipeline.scheduling.lanes import LaneClosedError, LaneFullError, Ticket
from server.http.errors import ApiError

log = structlog.get_logger(__name__)

DEFAULT_MAX_TOKENS = 1024
"""Of answers to clients that do not say."""

FAILURES = (EngineError, LaneFullError, LaneClosedError)
"""What an engine raises when there is no answer."""


class Generation:
    """Asks the language model, and keeps count.

    Args:
        llm: the language model.
        request: what it is asked.
        ticket: place in its lanes; cancelled at the end. By default one that lets everything else go first.

    Attributes:
        text: the answer as far as it is known.
        finish_reason: why it ended; None before it has.
        tool_calls: what the model asks of tools, once it has ended.
    """

    def __init__(self, llm: LanguageModel, request: ChatRequest, ticket: Ticket | None = None) -> None:
        self.text = ""
        self.finish_reason: FinishReason | None = None
        self.tool_calls: tuple[ToolCall, ...] = ()
        self._llm = llm
        self._request = request
        self._ticket = ticket or Ticket()
        self._began = time.monotonic()
        self._tokens = (0, 0)

    async def reply(self) -> AsyncGenerator[str, None]:
        """The answer, piece by piece; closing the generator stops the model.

        Raises:
            EngineError, LaneFullError, LaneClosedError: no answer, or no more of it.
        """
        try:
            async with aclosing(self._llm.stream(self._request, self._ticket)) as deltas:  # type: ignore[type-var]
                async for delta in deltas:
                    if delta.finish_reason is not None:
                        self.finish_reason, self.tool_calls = delta.finish_reason, delta.tool_calls
                        self._tokens = (delta.prompt_tokens, delta.completion_tokens)
                    if delta.text:
                        self.text += delta.text
                        yield delta.text
        finally:
            self._ticket.cancel()

    @property
    def usage(self) -> dict[str, int]:
        """Tokens, as far as the engine counts them."""
        prompt, completion = self._tokens
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    @property
    def latency_ms(self) -> float:
        """Milliseconds since the request came."""
        return round((time.monotonic() - self._began) * 1000, 1)


def no_answer(error: Exception) -> ApiError:
    """What the client is told of one of `FAILURES`."""
    match error:
        case ContextOverflowError():
            message = f"This is more than the model can read at once: {error}. Send less, or ask for fewer tokens"
            return ApiError(400, "context_length_exceeded", message)
        case RequestRefusedError():
            return ApiError(400, "request_refused", str(error))
        case LaneFullError():
            return ApiError(503, "busy", "Too many requests wait already", headers={"Retry-After": "2"})
    log.error("no answer from the language model", problem=str(error))
    return ApiError(503, "llm_failed", "The language model could not answer", headers={"Retry-After": "2"})
