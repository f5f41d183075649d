"""Bodies that come too slowly: a client that sends a byte now and then must not hold a handler for ever."""

import asyncio

from aiohttp import web
from aiohttp.typedefs import Middleware

from server.http.errors import ApiError, Handler

PATIENCE_S = 20.0
"""How often a body is looked at."""

RATE = 2_000
"""Bytes a second that a body must come at, taken over `PATIENCE_S`: less than the thinnest speech in real time."""


class BodyDeadline:
    """Watches one body; the read that waits for it gets the error.

    Args:
        request: whose body.
        patience_s: how often to look.
        rate: bytes a second that must have come between two looks.
    """

    def __init__(self, request: web.Request, patience_s: float, rate: float) -> None:
        self._request = request
        self._patience_s = patience_s
        self._rate = rate
        self._seen = 0
        self._timer = self._start()

    def stop(self) -> None:
        """The request is answered."""
        self._timer.cancel()

    def _start(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._patience_s, self._look)

    def _look(self) -> None:
        content, transport = self._request.content, self._request.transport
        if content.is_eof() or transport is None:
            return
        came, self._seen = content.total_raw_bytes - self._seen, content.total_raw_bytes
        # A handler that reads slowly has stopped the transport: then the client is not to blame.
        if came >= self._rate * self._patience_s or not transport.is_reading():
            self._timer = self._start()
            return
        message = f"The body did not come in time: at least {self._rate:.0f} bytes a second are expected"
        content.set_exception(ApiError(408, "body_too_slow", message))


def in_time(patience_s: float = PATIENCE_S, rate: float = RATE) -> Middleware:
    """A middleware that answers 408 to a body that does not come.

    Args:
        patience_s: how often to look.
        rate: bytes a second that must have come between two looks.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.content.is_eof():
            return await handler(request)
        deadline = BodyDeadline(request, patience_s, rate)
        try:
            return await handler(request)
        finally:
            deadline.stop()

    return middleware
