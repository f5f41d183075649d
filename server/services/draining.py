"""The end of a service: what it has in hand is finished, what comes is sent elsewhere."""

import asyncio
import contextlib
import time

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from server.http.errors import ApiError, Handler

log = structlog.get_logger(__name__)


class RequestDrain:
    """Counts the requests of an application, and refuses further ones once it is to end.

    Attributes:
        in_hand: requests that are being answered.
        draining: whether the end has begun.
    """

    def __init__(self) -> None:
        self.in_hand = 0
        self.draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    def middleware(self) -> Middleware:
        """What counts and refuses."""

        @web.middleware
        async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
            if self.draining:
                # `/health` too: a balancer in front of several services is to take another.
                raise ApiError(503, "draining", "This service is shutting down", headers={"Retry-After": "2"})
            self.in_hand += 1
            self._idle.clear()
            try:
                return await handler(request)
            finally:
                self.in_hand -= 1
                if not self.in_hand:
                    self._idle.set()

        return counted

    async def finish(self, patience_s: float) -> None:
        """Refuse further requests, and wait for those in hand."""
        self.draining = True
        began = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._idle.wait()
        log.info("drained", seconds=round(time.monotonic() - began, 1), requests_left=self.in_hand)

    def hurry(self) -> None:
        """Wait no longer."""
        self.draining = True
        self._idle.set()
