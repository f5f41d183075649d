"""How often one client may ask for what costs something: a middleware that says 429 before a body is read."""

import hashlib
import math
import time
from collections.abc import Callable, Mapping

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.exceptions import RedisError

from persistence.cache.redis_tier import RedisTier
from server.http.errors import ApiError, Handler
from server.http.networks import network
from server.http.operation import Cost, operation_of
from server.identity.principal import principal_of

log = structlog.get_logger(__name__)

BUCKETS = 4096
"""Clients share this many counters, so that an attacker with many addresses costs no more memory than one with few."""

PREFIX = "morgan:limits"
"""Of the keys in Redis; they go two minutes after the last request."""

NO_REDIS: Callable[[], RedisTier | None] = lambda: None  # noqa: E731


class PerClient:
    """Counts something by client, over a minute that slides.

    Where there is a Redis, the servers that share it count together; while it does not answer, each for itself.

    Args:
        name: of what is counted.
        per_minute: how often each client may.
        redis: the fast tier, where there is one now.
    """

    def __init__(self, name: str, per_minute: int, redis: Callable[[], RedisTier | None] = NO_REDIS) -> None:
        self._name = name
        self._per_minute = per_minute
        self._redis = redis
        self._memory = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared: tuple[RedisTier, SlidingWindowCounterRateLimiter] | None = None

    async def hit(self, client: str, per_minute: int | None = None) -> int | None:
        """Count one more; whole seconds to wait where there were too many (it does not count then), else None.

        Args:
            client: who.
            per_minute: how often this one may; None for what all may.
        """
        limit = RateLimitItemPerMinute(self._per_minute if per_minute is None else per_minute)
        # The same in each process, and nobody can tell whose counter is shared with whom.
        digest = hashlib.sha256(f"{self._name} {client}".encode()).digest()
        shared = self._limiter()
        if shared is not None:
            try:
                return await _hit(shared, limit, digest.hex()[:32])
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("limits are counted in memory", problem=f"{type(error).__name__}: {error}")
        return await _hit(self._memory, limit, str(int.from_bytes(digest[:4]) % BUCKETS))

    def _limiter(self) -> SlidingWindowCounterRateLimiter | None:
        tier = self._redis()
        if tier is None or not tier.up.is_set():
            return None
        if self._shared is None or self._shared[0] is not tier:
            storage = RedisStorage(
                "async+redis://",
                implementation="redispy",
                key_prefix=PREFIX,
                connection_pool=tier.pool,  # type: ignore[arg-type]
            )
            self._shared = tier, SlidingWindowCounterRateLimiter(storage)
        return self._shared[1]


async def _hit(limiter: SlidingWindowCounterRateLimiter, limit: RateLimitItemPerMinute, key: str) -> int | None:
    if await limiter.hit(limit, key):
        return None
    resets_at, _ = await limiter.get_window_stats(limit, key)
    return max(1, math.ceil(resets_at - time.time()))


def client_of(request: web.Request) -> str:
    """Who asks, as far as anything is counted: the principal, and the address it came from (IPv6: its /64)."""
    return f"{principal_of(request).id}@{network(request.remote)}"


def limited(
    per_minute: Mapping[Cost, int], redis: Callable[[], RedisTier | None] = NO_REDIS, *, spare_cores: bool = False
) -> Middleware:
    """A middleware that refuses clients who ask too often; goes behind the keys and before anything reads a body.

    A key with limits of its own has them from wherever it asks.

    Args:
        per_minute: requests of each client, by what they cost (`Operation.cost`); each kind counts for itself.
        redis: the fast tier, where there is one now.
        spare_cores: whether those with the scope "service" may ask as often as they like: a core asks a service for
            all of its callers.
    """
    counters = {cost: PerClient(cost, most, redis) for cost, most in per_minute.items()}

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        operation = operation_of(request.match_info.handler)
        cost = operation.cost if operation is not None else None
        principal = principal_of(request)
        if cost is not None and cost in counters and not (spare_cores and principal.may("service")):
            own = principal.per_minute.get(cost)
            client = client_of(request) if own is None else principal.id
            wait_s = await counters[cost].hit(client, own)
            if wait_s is not None:
                log.info("too many requests", path=request.path, network=network(request.remote))
                raise too_many("too_many_requests", "Too many requests of this kind in a minute", wait_s)
        return await handler(request)

    return middleware


def too_many(code: str, problem: str, wait_s: int) -> ApiError:
    """A refusal that says when to come again."""
    headers = {"Retry-After": str(wait_s)}
    return ApiError(429, code, f"{problem}; try again in {wait_s} s", headers=headers)
