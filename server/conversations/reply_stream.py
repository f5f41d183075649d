"""A reply as server-sent events: `token` events as it is written, then `done` or `error`, then `[DONE]`."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import structlog
from aiohttp import web

from server.conversations.generation import FAILURES, no_answer
from server.http import sse

log = structlog.get_logger(__name__)


async def stream_reply(
    request: web.Request, pieces: AsyncGenerator[str, None], done: Callable[[], dict[str, Any]]
) -> web.StreamResponse:
    """Stream a reply; a client that hangs up stops it.

    Args:
        request: the client's.
        pieces: the reply; closed at the end, whatever happens.
        done: called when the reply is whole, for the fields of the `done` event.
    """
    async with aclosing(pieces):
        response = await sse.open_events(request)
        try:
            try:
                async for piece in pieces:
                    await response.write(sse.event({"type": "token", "text": piece}))
            except FAILURES as error:
                told = no_answer(error)
                await response.write(sse.event({"type": "error", "code": told.code, "message": told.message}))
            else:
                await response.write(sse.event({"type": "done", **done()}))
            await response.write(sse.DONE)
            await response.write_eof()
        except ConnectionError:
            log.info("the client left before the reply was over")
    return response
