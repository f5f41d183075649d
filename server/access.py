"""Who may use the API: whoever has one of the keys, where there are any; who tries wrong ones is slowed down."""

import hmac
import time
from collections.abc import Sequence

from aiohttp import web
from aiohttp.typedefs import Middleware
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from server.errors import ApiError, Handler
from server.metrics import Metrics
from server.networks import network
from server.operation import operation_of

STATIC = "/static/"

BUCKETS = 4096
"""Addresses share this many counters, so that an attacker with many of them costs no more memory than one with few."""


class WrongKeys:
    """Counts wrong keys by remote address.

    A right key is always let in: behind one address may be many people, and keys are too long to be guessed, however
    fast. What is limited is the work and the log lines that guessing costs.

    Args:
        per_minute: wrong keys that an address may try.
    """

    def __init__(self, per_minute: int) -> None:
        self._limit = RateLimitItemPerMinute(per_minute)
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    async def tried(self, remote: str | None) -> float | None:
        """Count a wrong key; seconds to wait where there were too many, else None."""
        bucket = str(hash(network(remote)) % BUCKETS)
        if await self._limiter.hit(self._limit, bucket):
            return None
        resets_at, _ = await self._limiter.get_window_stats(self._limit, bucket)
        return max(1.0, resets_at - time.time())


def guard(keys: Sequence[str], wrong_keys: WrongKeys, metrics: Metrics) -> Middleware:
    """A middleware that lets in requests with one of the keys, and everybody to what is open.

    Args:
        keys: the keys; without any, everybody on this machine is let in (the server listens on loopback only).
        wrong_keys: shared by the ports of a server.
        metrics: what is counted.
    """
    known = [key.encode() for key in keys]

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if known and not _is_open(request) and not _has_key(request, known):
            await _refuse(request, wrong_keys, metrics)
        return await handler(request)

    return middleware


async def _refuse(request: web.Request, wrong_keys: WrongKeys, metrics: Metrics) -> None:
    """Raise the fitting error."""
    if "Authorization" in request.headers:
        metrics.wrong_key()
        wait_s = await wrong_keys.tried(request.remote)
        if wait_s is not None:
            headers = {"Retry-After": str(round(wait_s))}
            message = f"Too many wrong keys from this address; try again in {round(wait_s)} s"
            raise ApiError(429, "too_many_wrong_keys", message, headers=headers)
    message = "This server asks for a key: send it as `Authorization: Bearer <key>`"
    raise ApiError(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"})


def _is_open(request: web.Request) -> bool:
    operation = operation_of(request.match_info.handler)
    return request.path.startswith(STATIC) or (operation is not None and operation.open)


def _has_key(request: web.Request, known: Sequence[bytes]) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    # Every key is compared, so that the time taken tells nothing.
    matches = [hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), key) for key in known]
    return scheme.lower() == "bearer" and any(matches)
