"""How often one client may ask for what costs something: a middleware that says 429 before a body is read."""

import math
import time
from collections.abc import Mapping

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from server.http.errors import ApiError, Handler
from server.http.networks import network
from server.http.operation import Cost, operation_of

log = structlog.get_logger(__name__)

BUCKETS = 4096
"""Clients share this many counters, so that an attacker with many addresses costs no more memory than one with few."""

PRINCIPAL = web.RequestKey("principal", str)
"""Which key opened a request; there is none where no keys are asked for."""


class PerClient:
    """Counts something by client, over a minute that slides.

    Args:
        per_minute: how often each client may.
    """

    def __init__(self, per_minute: int) -> None:
        self._limit = RateLimitItemPerMinute(per_minute)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def hit(self, client: str) -> int | None:
        """Count one more; whole seconds to wait where there were too many (it does not count then), else None."""
        bucket = str(hash(client) % BUCKETS)
        if await self._limiter.hit(self._limit, bucket):
            return None
        resets_at, _ = await self._limiter.get_window_stats(self._limit, bucket)
        return max(1, math.ceil(resets_at - time.time()))


def client_of(request: web.Request) -> str:
    """Who asks, as far as anything is counted: the key, and the address it came from (IPv6: its /64)."""
    return f"{request.get(PRINCIPAL, '')}@{network(request.remote)}"


def limited(per_minute: Mapping[Cost, int]) -> Middleware:
    """A middleware that refuses clients who ask too often; goes behind the keys and before anything reads a body.

    Args:
        per_minute: requests of each client, by what they cost (`Operation.cost`); each kind counts for itself.
    """
    counters = {cost: PerClient(most) for cost, most in per_minute.items()}

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        operation = operation_of(request.match_info.handler)
        counter = counters.get(operation.cost) if operation is not None and operation.cost is not None else None
        if counter is not None and (wait_s := await counter.hit(client_of(request))) is not None:
            log.info("too many requests", path=request.path, network=network(request.remote))
            raise too_many("too_many_requests", "Too many requests of this kind in a minute", wait_s)
        return await handler(request)

    return middleware


def too_many(code: str, problem: str, wait_s: int) -> ApiError:
    """A refusal that says when to come again."""
    headers = {"Retry-After": str(wait_s)}
    return ApiError(429, code, f"{problem}; try again in {wait_s} s", headers=headers)
