"""What users want: voice, language, instructions. Through the same three tiers as conversations."""

import json
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from persistence.cache.keys import INVALIDATE, preferences_key
from persistence.cache.redis_tier import RedisTier
from persistence.config import PersistenceConfig
from persistence.errors import StoreUnavailableError
from persistence.journal.operations import PutPreferences
from persistence.postgres.pool import Postgres
from persistence.text import clean_json

log = structlog.get_logger(__name__)

MAX_BYTES = 16_384
MAX_IN_MEMORY = 10_000


class Preferences:
    """Preferences by user.

    Args:
        redis: the fast tier.
        postgres: the truth.
        config: TTLs.
        origin: of this process, in messages to the others.
    """

    def __init__(self, redis: RedisTier, postgres: Postgres, config: PersistenceConfig, origin: str) -> None:
        self._redis = redis
        self._postgres = postgres
        self._ttl_s = config.preferences_ttl_s
        self._origin = origin
        self._put_at = datetime.min.replace(tzinfo=UTC)
        self._memory: OrderedDict[str, dict[str, Any]] = OrderedDict()

    async def get(self, user_id: str) -> dict[str, Any]:
        """A user's preferences, empty where there are none; a database that does not answer has none."""
        try:
            value = await self._redis.get(preferences_key(user_id))
            if value is not None and (known := _parse(value)) is not None:
                return self._keep(user_id, known)
        except StoreUnavailableError:
            pass
        if user_id in self._memory:
            self._share(user_id, self._memory[user_id])
            return dict(self._memory[user_id])
        try:
            async with self._postgres.connection() as connection:
                stored = await connection.fetchval(
                    "SELECT preferences FROM user_preferences WHERE user_id = $1", user_id
                )
        except StoreUnavailableError:
            return {}
        found = self._keep(user_id, stored or {})
        self._share(user_id, found)
        return found

    def put(self, user_id: str, preferences: Mapping[str, Any]) -> PutPreferences:
        """Replace a user's preferences in the fast tiers; returns the operation for the outbox.

        Raises:
            InvalidTextError: they are no JSON object, or larger than 16 KiB.
        """
        cleaned = clean_json(preferences, "preferences", MAX_BYTES)
        self._keep(user_id, cleaned)
        self._share(user_id, cleaned)
        self._tell(user_id)
        # Never earlier than the one before, whatever the clock says: PostgreSQL keeps the later.
        self._put_at = max(datetime.now(tz=UTC), self._put_at + timedelta(microseconds=1))
        return PutPreferences(user_id, cleaned, self._put_at)

    def restore(self, operation: PutPreferences) -> None:
        """Take in preferences that the journal holds and PostgreSQL does not have yet."""
        self._keep(operation.user_id, operation.preferences)

    def forget(self, user_id: str) -> None:
        """Let go of a deleted user's."""
        self._memory.pop(user_id, None)
        self._redis.delete(preferences_key(user_id))
        self._tell(user_id)

    def held(self, user_id: str) -> int:
        """Whether a user's are in memory."""
        return int(user_id in self._memory)

    def heard(self, message: Mapping[str, Any]) -> None:
        """Take in that another process changed some, or deleted a user."""
        if message.get("origin") == self._origin or message.get("conversation_id") is not None:
            return
        if message.get("kind") in ("preferences", "deleted"):
            self._memory.pop(str(message.get("user_id")), None)

    def missed(self) -> None:
        """Others may have changed some unheard."""
        if self._postgres.up.is_set():
            self._memory.clear()

    def _keep(self, user_id: str, preferences: dict[str, Any]) -> dict[str, Any]:
        self._memory[user_id] = preferences
        self._memory.move_to_end(user_id)
        if len(self._memory) > MAX_IN_MEMORY:
            self._memory.popitem(last=False)
        return dict(preferences)

    def _share(self, user_id: str, preferences: dict[str, Any]) -> None:
        value = json.dumps(preferences, ensure_ascii=False).encode()
        self._redis.put(preferences_key(user_id), value, self._ttl_s)

    def _tell(self, user_id: str) -> None:
        message = {"origin": self._origin, "kind": "preferences", "user_id": user_id, "conversation_id": None}
        self._redis.publish(INVALIDATE, json.dumps(message).encode())


def _parse(value: bytes) -> dict[str, Any] | None:
    try:
        known = json.loads(value)
    except ValueError:
        return None
    return known if isinstance(known, dict) else None
