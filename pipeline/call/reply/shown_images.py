"""Replies to conversations with images in them, which not every image lets a language model make."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import structlog

from pipeline.engines.images import with_placeholders
from pipeline.engines.protocols import ChatDelta, ChatRequest, LanguageModel, RequestRefusedError
from pipeline.scheduling.lanes import Ticket

log = structlog.get_logger(__name__)


async def reply_to(llm: LanguageModel, request: ChatRequest, ticket: Ticket) -> AsyncGenerator[ChatDelta, None]:
    """The deltas of a reply; where the request is refused with its images, those of one to its words alone.

    An image stays in a conversation: one that the model's server cannot read would have every later turn refused, too.

    Raises:
        EngineError, LaneFullError, LaneClosedError: as the language model.
    """
    try:
        async with aclosing(llm.stream(request, ticket)) as deltas:  # type: ignore[type-var]
            async for delta in deltas:
                yield delta
        return
    except RequestRefusedError as error:
        if not any(message.images for message in request.messages):
            raise
        log.warning("images refused; the words alone are answered", error=type(error).__name__)
    words = tuple(
        replace(message, content=with_placeholders(message.content, message.images), images=())
        for message in request.messages
    )
    async with aclosing(llm.stream(replace(request, messages=words), ticket)) as deltas:  # type: ignore[type-var]
        async for delta in deltas:
            yield delta
