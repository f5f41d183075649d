"""What realtime client secrets are bound to: too large for the secret itself, so it is kept for as long."""

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from persistence.cache.redis_tier import RedisTier, token_session_key
from persistence.errors import StoreUnavailableError
from server.bounds import MAX_KEPT_SESSIONS, MAX_SESSION_CONFIG
from server.identity.errors import TokenTooLargeError


class KeptSessions:
    """Sessions by the id of their token, in memory and in Redis; without Redis they end with the process.

    Args:
        redis: the fast tier, where there is one now.
        now: monotonic seconds.
    """

    def __init__(
        self, redis: Callable[[], RedisTier | None] = lambda: None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis = redis
        self._now = now
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._bytes = 0

    def keep(self, token_id: str, session: Mapping[str, Any], ttl_s: int) -> None:
        """Keep a session; beyond the bound the oldest ones leave memory.

        Raises:
            TokenTooLargeError: it is larger than `MAX_SESSION_CONFIG`.
        """
        value = json.dumps(session, ensure_ascii=False, separators=(",", ":")).encode()
        if len(value) > MAX_SESSION_CONFIG:
            raise TokenTooLargeError(f"a session may have at most {MAX_SESSION_CONFIG} bytes")
        self._kept[token_id] = (self._now() + ttl_s, value)
        self._bytes += len(value)
        while self._bytes > MAX_KEPT_SESSIONS or self._first_is_over():
            _, (_, gone) = self._kept.popitem(last=False)
            self._bytes -= len(gone)
        redis = self._redis()
        if redis is not None:
            redis.put(token_session_key(token_id), value, ttl_s)

    async def find(self, token_id: str) -> Mapping[str, Any] | None:
        """The session of a token that still holds; None where it is not known any more."""
        value = self._kept.get(token_id, (0.0, None))[1]
        redis = self._redis()
        if value is None and redis is not None:
            try:
                value = await redis.get(token_session_key(token_id))
            except StoreUnavailableError:
                return None
        found = None if value is None else json.loads(value)
        return found if isinstance(found, dict) else None

    def _first_is_over(self) -> bool:
        return bool(self._kept) and next(iter(self._kept.values()))[0] < self._now()
