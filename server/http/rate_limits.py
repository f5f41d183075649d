"""How often one client may ask for what costs something: a middleware that says 429 before a body is read."""

import hashlib
import math
import time
from collections.abc import Callable, Mapping

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware
from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.exceptions import RedisError

from persistence.cache.redis_tier import RedisTier
from server.http.errors import ApiError, Handler
from server.http.operation import Cost, operation_of
from server.http.proxies import network_of
from server.identity.principal import principal_of

log = structlog.get_logger(__name__)

BUCKETS = 4096
"""Clients share this many counters, so that an attacker with many addresses costs no more memory than one with few."""

BUCKETS_OF_DAYS = 65_536
"""The same of quotas: two who share a counter would share it for a day."""

PREFIX = "morgan:limits"
"""Of the keys in Redis; they go two minutes, or two days, after the last request."""

NO_REDIS: Callable[[], RedisTier | None] = lambda: None  # noqa: E731


class PerClient:
    """Counts something by client, over a minute or a day that slides.

    Where there is a Redis, the servers that share it count together; while it does not answer, each for itself.

    Args:
        name: of what is counted.
        most: how often each client may.
        redis: the fast tier, where there is one now.
        window: how often within what.
    """

    def __init__(
        self,
        name: str,
        most: int,
        redis: Callable[[], RedisTier | None] = NO_REDIS,
        window: type[RateLimitItem] = RateLimitItemPerMinute,
    ) -> None:
        self._name = name
        self._most = most
        self._window = window
        self._buckets = BUCKETS if window is RateLimitItemPerMinute else BUCKETS_OF_DAYS
        self._redis = redis
        self._memory = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._alone = False
        self._shared: tuple[RedisTier, SlidingWindowCounterRateLimiter] | None = None

    async def hit(self, client: str, most: int | None = None) -> int | None:
        """Count one more; whole seconds to wait where there were too many (it does not count then), else None.

        Args:
            client: who.
            most: how often this one may; None for what all may.
        """
        limit = self._window(self._most if most is None else most)
        # The same in each process, and nobody can tell whose counter is shared with whom.
        digest = hashlib.sha256(f"{self._name} {client}".encode()).digest()
        shared = self._limiter()
        if shared is not None:
            try:
                wait_s = await _hit(shared, limit, digest.hex()[:32])
            except (RedisError, OSError, TimeoutError) as error:
                if not self._alone:
                    log.warning("limits are counted in memory", problem=f"{type(error).__name__}: {error}")
                self._alone = True
            else:
                self._alone = False
                return wait_s
        return await _hit(self._memory, limit, str(int.from_bytes(digest[:4]) % self._buckets))

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


async def _hit(limiter: SlidingWindowCounterRateLimiter, limit: RateLimitItem, key: str) -> int | None:
    if await limiter.hit(limit, key):
        return None
    resets_at, _ = await limiter.get_window_stats(limit, key)
    return max(1, math.ceil(resets_at - time.time()))


def client_of(request: web.Request) -> str:
    """Who asks, as far as anything is counted: the principal, and the address it came from (IPv6: its /64)."""
    return f"{principal_of(request).id}@{network_of(request)}"


def quota_of(request: web.Request) -> str:
    """Whose quota a request is counted on: the principal's from wherever it asks, else that of the address (or /64)."""
    return principal_of(request).id or f"@{network_of(request)}"


def limited(
    per_minute: Mapping[Cost, int],
    redis: Callable[[], RedisTier | None] = NO_REDIS,
    *,
    per_day: Mapping[Cost, int | None] | None = None,
    spare_cores: bool = False,
) -> Middleware:
    """A middleware that refuses clients who ask too often; goes behind the keys and before anything reads a body.

    A key with limits of its own has them from wherever it asks.

    Args:
        per_minute: requests of each client, by what they cost (`Operation.cost`); each kind counts for itself.
        redis: the fast tier, where there is one now.
        per_day: the same of each principal and 24 hours; None for any number.
        spare_cores: whether those with the scope "service" may ask as often as they like: a core asks a service for
            all of its callers.
    """
    counters = {cost: PerClient(cost, most, redis) for cost, most in per_minute.items()}
    quotas = {cost: (per_day or {}).get(cost) for cost in per_minute}
    days = {cost: PerClient(f"{cost} a day", 1, redis, RateLimitItemPerDay) for cost in per_minute}

    async def check(request: web.Request, cost: Cost) -> None:
        principal = principal_of(request)
        own = principal.per_minute.get(cost)
        wait_s = await counters[cost].hit(client_of(request) if own is None else principal.id, own)
        if wait_s is not None:
            log.info("too many requests", path=request.path, network=network_of(request))
            raise too_many("too_many_requests", "Too many requests of this kind in a minute", wait_s)
        quota = principal.per_day.get(cost, quotas[cost])
        wait_s = None if quota is None else await days[cost].hit(quota_of(request), quota)
        if wait_s is not None:
            log.info("a quota is used up", path=request.path, principal=principal.id, network=network_of(request))
            raise too_many("quota_exceeded", f"The quota of {quota} in 24 hours is used up", wait_s)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        operation = operation_of(request.match_info.handler)
        cost = operation.cost if operation is not None else None
        if cost is not None and cost in counters and not (spare_cores and principal_of(request).may("service")):
            await check(request, cost)
        return await handler(request)

    return middleware


def too_many(code: str, problem: str, wait_s: int) -> ApiError:
    """A refusal that says when to come again."""
    headers = {"Retry-After": str(wait_s)}
    return ApiError(429, code, f"{problem}; try again in {wait_s} s", headers=headers)
