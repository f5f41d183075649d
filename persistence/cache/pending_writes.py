"""What waits to be written to Redis: bounded, the last of several values to one key counts. Sans-I/O."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from redis.asyncio.client import Pipeline

from persistence.cache.keys import ACTIVE_USERS
from persistence.cache.redis_figures import RedisFigures

ACTIVE_S = 300.0
"""A user counts as active for so long after the last sign of life."""

MAX_KEYS_WAITING = 10_000
MAX_MESSAGES_WAITING = 2_000


@dataclass(slots=True)
class WriteBatch:
    """What is written at once.

    Attributes:
        values: by key, each with its seconds to live; None where the key is deleted.
        messages: to publish, each with its channel.
        active: Unix time of the last sign of life, by user.
        gone: users that count as active no more.
    """

    values: OrderedDict[str, tuple[bytes | None, int]] = field(default_factory=OrderedDict)
    messages: deque[tuple[str, bytes]] = field(default_factory=deque)
    active: dict[str, float] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    def into(self, pipe: Pipeline, now: float) -> None:
        """Put all of it into a pipeline; `now` is Unix time."""
        for key, (value, ttl_s) in self.values.items():
            if value is None:
                pipe.delete(key)
            else:
                pipe.set(key, value, ex=ttl_s)
        if self.active:
            pipe.zadd(ACTIVE_USERS, self.active)
            pipe.zremrangebyscore(ACTIVE_USERS, "-inf", now - ACTIVE_S)
        if self.gone:
            pipe.zrem(ACTIVE_USERS, *self.gone)
        for channel, message in self.messages:
            pipe.publish(channel, message)


class PendingWrites:
    """The queue in front of Redis.

    Args:
        figures: `dropped` counts values and messages that found it full, and messages lost with a failure.
    """

    def __init__(self, figures: RedisFigures) -> None:
        self._figures = figures
        self._batch = WriteBatch()

    def __contains__(self, key: str) -> bool:
        return key in self._batch.values

    def value(self, key: str, value: bytes | None, ttl_s: int) -> None:
        """A key is to be set, or deleted (None); where too many wait, the oldest is dropped."""
        values = self._batch.values
        values[key] = (value, ttl_s)
        values.move_to_end(key)
        if len(values) > MAX_KEYS_WAITING:
            values.popitem(last=False)
            self._figures.dropped += 1

    def message(self, channel: str, message: bytes) -> None:
        """A message is to be published; where too many wait, the oldest is dropped."""
        messages = self._batch.messages
        if len(messages) >= MAX_MESSAGES_WAITING:
            messages.popleft()
            self._figures.dropped += 1
        messages.append((channel, message))

    def active(self, user_id: str, at: float) -> None:
        """A user was active at a Unix time."""
        self._batch.gone.discard(user_id)
        self._batch.active[user_id] = at

    def gone(self, user_id: str) -> None:
        """A user counts as active no more."""
        self._batch.active.pop(user_id, None)
        self._batch.gone.add(user_id)

    def take(self) -> WriteBatch:
        """All that waits; nothing does then."""
        batch, self._batch = self._batch, WriteBatch()
        return batch

    def take_back(self, batch: WriteBatch) -> None:
        """What was not written waits again, behind nothing newer; messages are lost."""
        for key, entry in batch.values.items():
            self._batch.values.setdefault(key, entry)
        self._batch.active = {**batch.active, **self._batch.active}
        self._batch.gone |= batch.gone - self._batch.active.keys()
        self._figures.dropped += len(batch.messages)
