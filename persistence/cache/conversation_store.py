"""The last words of every conversation: in Redis, in this process, and in PostgreSQL, asked in that order.

A write goes into process memory and is copied to Redis; the journal brings it to
PostgreSQL. Copies carry a version, so that an older one never wins, and the version that they were built on, so that
two processes that write to one conversation notice each other: both then let go of their copies and read PostgreSQL.
"""

import json
import time
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from persistence.cache.conversation_copy import ConversationCopy, parse
from persistence.cache.keys import INVALIDATE, conversation_key
from persistence.cache.redis_tier import RedisTier
from persistence.config import PersistenceConfig
from persistence.errors import StoreUnavailableError
from persistence.values import ContextMessage, ConversationContext

log = structlog.get_logger(__name__)

Loader = Callable[[str, str | None, int], Awaitable[ConversationContext | None]]
"""(user_id, conversation_id or None for the last one, messages) from PostgreSQL."""


@dataclass(slots=True)
class CacheFigures:
    """Lookups since the start. Redis' own are in `RedisTier.figures`; these say where answers came from.

    Attributes:
        from_redis: answered by Redis.
        from_memory: answered by process memory.
        from_postgres: answered by PostgreSQL.
        absent: there was no such conversation.
        memory_hits: answered by memory while Redis was down.
        memory_misses: not answered by memory while Redis was down.
        conflicts: two processes wrote to one conversation.
        evicted: entries that left memory for age or room.
    """

    from_redis: int = 0
    from_memory: int = 0
    from_postgres: int = 0
    absent: int = 0
    memory_hits: int = 0
    memory_misses: int = 0
    conflicts: int = 0
    evicted: int = 0


class ConversationStore:
    """Three tiers behind one question: what was said last?

    Args:
        redis: the fast tier.
        load: asks PostgreSQL.
        config: TTLs and bounds.
        delivered: number of the last record that PostgreSQL has; what is newer must not leave memory.
        now: monotonic seconds.
    """

    def __init__(
        self,
        redis: RedisTier,
        load: Loader,
        config: PersistenceConfig,
        delivered: Callable[[], int],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.figures = CacheFigures()
        self.origin = uuid.uuid4().hex
        self._redis = redis
        self._load = load
        self._config = config
        self._delivered = delivered
        self._now = now
        self._entries: OrderedDict[str, ConversationCopy] = OrderedDict()
        self._current: dict[str, str] = {}
        self._generation = 0

    def __len__(self) -> int:
        return len(self._entries)

    def begin(self, user_id: str, conversation_id: str, language: str | None, number: int, *, new: bool) -> None:
        """A conversation begins (`new`), or goes on."""
        entry = self._entry(user_id, conversation_id)
        entry.language = language or entry.language
        entry.complete = entry.complete or new
        self._changed(entry, number)

    def put(
        self, user_id: str, conversation_id: str, message: ContextMessage, number: int, language: str | None = None
    ) -> None:
        """A message was said, or replaced under its id; the conversation is in a language (None: the one before)."""
        entry = self._entry(user_id, conversation_id)
        entry.language = language or entry.language
        entry.put(message, self._config.context_messages)
        self._changed(entry, number)

    def remove(self, user_id: str, conversation_id: str, message_id: str, number: int) -> None:
        """A message was taken back."""
        entry = self._entry(user_id, conversation_id)
        entry.messages = [message for message in entry.messages if message.id != message_id]
        self._changed(entry, number)

    def restore(self, user_id: str, conversation_id: str, message: ContextMessage, number: int) -> None:
        """Take in a message that the journal holds and PostgreSQL does not have yet, after a restart."""
        entry = self._entry(user_id, conversation_id)
        entry.put(message, self._config.context_messages)
        entry.number = number
        self._use(entry)

    def take_back(self, conversation_id: str, message_id: str) -> None:
        """Take a restored message out again: the journal also holds its removal."""
        entry = self._entries.get(conversation_id)
        if entry is not None:
            entry.messages = [message for message in entry.messages if message.id != message_id]

    async def context(
        self, user_id: str, conversation_id: str | None = None, count: int = 20
    ) -> ConversationContext | None:
        """The last messages of a conversation, or of the user's last one; None if there is none.

        Raises:
            StoreUnavailableError: neither Redis nor memory has it, and PostgreSQL does not answer.
        """
        cached, redis_up = await self._from_redis(user_id, conversation_id)
        entry = self._in_memory(user_id, conversation_id)
        if cached is not None and (entry is None or not entry.complete or cached.version > entry.version):
            return self._answer(self._take(cached, entry), count, "from_redis")
        if not redis_up:
            self._count_memory(entry is not None and entry.complete)
        elif entry is not None and entry.complete and cached is None and conversation_id is None:
            self._push(entry)
        trusted = entry is not None and entry.complete and (cached is not None or self._is_newest(entry))
        if entry is not None and trusted:
            return self._answer(entry, count, "from_redis" if cached is not None else "from_memory")
        try:
            return await self._from_postgres(user_id, conversation_id, entry, count)
        except StoreUnavailableError:
            if entry is None or not entry.messages:
                raise
            return self._answer(entry, count, "from_memory")

    def forget(self, user_id: str, conversation_id: str | None = None) -> None:
        """Let go of a conversation that was deleted, or of all of a user's, here and everywhere."""
        self._drop(user_id, conversation_id)
        self._redis.delete(conversation_key(user_id))
        self._tell("deleted", user_id, conversation_id, 0, 0)

    def held(self, user_id: str) -> int:
        """How many of a user's conversations are in memory."""
        return sum(entry.user_id == user_id for entry in self._entries.values())

    def expire(self, user_id: str, conversation_id: str, before: datetime) -> None:
        """Let go of what was said before a time, here and everywhere."""
        now = time.time_ns() // 1000
        entry = self._entries.get(conversation_id)
        if entry is not None:
            entry.title = None
            entry.messages = [each for each in entry.messages if datetime.fromisoformat(each.created_at) >= before]
            entry.version = max(entry.version, now)
        if entry is not None and entry.complete and self._current.get(user_id) == conversation_id:
            self._push(entry)
        else:
            self._redis.delete(conversation_key(user_id))
        # Every process that has a copy drops it: it is older than this, and this builds on all that there was.
        self._tell("conversation", user_id, conversation_id, now, now)

    def heard(self, message: dict[str, Any]) -> None:
        """Take in what another process says about a conversation."""
        user_id, conversation_id = str(message.get("user_id")), message.get("conversation_id")
        if message.get("origin") == self.origin:
            return
        if message.get("kind") == "deleted":
            self._drop(user_id, conversation_id)
            return
        entry = self._entries.get(str(conversation_id))
        if message.get("kind") != "conversation" or entry is None or entry.version >= int(message.get("version", 0)):
            if message.get("kind") == "conversation" and entry is not None and entry.version != message.get("version"):
                self._collide(entry)
            return
        if entry.version > int(message.get("base", 0)):
            self._collide(entry)
        else:
            self._drop(user_id, entry.conversation_id)

    def missed(self) -> None:
        """What others said may have been missed: memory alone is not to be trusted until PostgreSQL confirms it."""
        self._generation += 1

    async def complete(self) -> int:
        """Fetch what is missing of conversations that are in memory in part; returns how many became whole."""
        parts = [entry for entry in self._entries.values() if not entry.complete]
        for done, entry in enumerate(parts):
            try:
                cached, _ = await self._from_redis(entry.user_id, entry.conversation_id)
                if cached is not None:
                    self._take(cached, self._in_memory(entry.user_id, entry.conversation_id))
                else:
                    await self._from_postgres(entry.user_id, entry.conversation_id, entry, 1)
            except StoreUnavailableError:
                return done
        return len(parts)

    def clean(self) -> int:
        """Let go of what nobody used for the TTL, and of the oldest beyond the bound; returns how many went.

        What PostgreSQL does not have yet stays.
        """
        oldest = self._now() - self._config.conversation_ttl_s
        surplus = len(self._entries) - self._config.memory_conversations
        gone: list[ConversationCopy] = []
        for entry in self._entries.values():
            if entry.used_at >= oldest and len(gone) >= surplus:
                break
            if entry.number <= self._delivered():
                gone.append(entry)
        for entry in gone:
            self._drop(entry.user_id, entry.conversation_id)
        self.figures.evicted += len(gone)
        return len(gone)

    def _entry(self, user_id: str, conversation_id: str) -> ConversationCopy:
        entry = self._entries.get(conversation_id)
        if entry is None or entry.user_id != user_id:
            entry = self._entries[conversation_id] = ConversationCopy(
                conversation_id, user_id, generation=self._generation
            )
        self._current[user_id] = conversation_id
        return entry

    def _changed(self, entry: ConversationCopy, number: int) -> None:
        base = entry.version
        entry.version = max(base + 1, time.time_ns() // 1000)
        entry.number = max(number, entry.number)
        self._use(entry)
        if len(self._entries) > self._config.memory_conversations * 1.1:
            self.clean()
        # What is here in part must not replace a whole copy: `complete` sees to it.
        if entry.complete:
            self._push(entry)
        self._tell("conversation", entry.user_id, entry.conversation_id, entry.version, base)

    def _use(self, entry: ConversationCopy) -> None:
        entry.used_at = self._now()
        self._entries.move_to_end(entry.conversation_id)

    def _push(self, entry: ConversationCopy) -> None:
        if not self._config.store_text:
            return
        value = entry.document()
        self._redis.put(conversation_key(entry.user_id), value, self._config.conversation_ttl_s)

    def _tell(self, kind: str, user_id: str, conversation_id: str | None, version: int, base: int) -> None:
        message = {
            "origin": self.origin,
            "kind": kind,
            "user_id": user_id,
            "conversation_id": conversation_id,
            "version": version,
            "base": base,
        }
        self._redis.publish(INVALIDATE, json.dumps(message).encode())

    async def _from_redis(self, user_id: str, conversation_id: str | None) -> tuple[ConversationCopy | None, bool]:
        """What Redis has of the conversation, and whether it answered."""
        try:
            value = await self._redis.get(conversation_key(user_id))
        except StoreUnavailableError:
            return None, False
        entry = parse(value, user_id)
        if entry is not None and conversation_id is not None and entry.conversation_id != conversation_id:
            return None, True
        return entry, True

    def _in_memory(self, user_id: str, conversation_id: str | None) -> ConversationCopy | None:
        found = self._entries.get(conversation_id or self._current.get(user_id, ""))
        return found if found is not None and found.user_id == user_id else None

    def _is_newest(self, entry: ConversationCopy) -> bool:
        return entry.generation == self._generation or entry.number > self._delivered()

    def _take(self, cached: ConversationCopy, entry: ConversationCopy | None) -> ConversationCopy:
        """Put what Redis had into memory, with what only this process knows of the same conversation."""
        if entry is not None and entry.conversation_id == cached.conversation_id:
            cached.number = entry.number
            if not entry.complete:
                for message in entry.messages:
                    cached.put(message, self._config.context_messages)
                cached.version = max(cached.version, entry.version) + 1
                self._push(cached)
        cached.generation = self._generation
        self._entries[cached.conversation_id] = cached
        self._current[cached.user_id] = cached.conversation_id
        return cached

    async def _from_postgres(
        self, user_id: str, conversation_id: str | None, entry: ConversationCopy | None, count: int
    ) -> ConversationContext | None:
        wanted = conversation_id or (entry.conversation_id if entry is not None else None)
        loaded = await self._load(user_id, wanted, self._config.context_messages)
        # More may have been said meanwhile.
        entry = self._in_memory(user_id, wanted) if wanted else None
        if loaded is None and entry is None:
            self.figures.absent += 1
            return None
        if loaded is not None:
            entry = self._merge(loaded, entry)
        assert entry is not None
        entry.complete = True
        entry.generation = self._generation
        if self._current.setdefault(user_id, entry.conversation_id) == entry.conversation_id:
            self._push(entry)
        return self._answer(entry, count, "from_postgres")

    def _merge(self, loaded: ConversationContext, entry: ConversationCopy | None) -> ConversationCopy:
        merged = ConversationCopy(
            loaded.conversation_id, loaded.user_id, loaded.title, loaded.language, list(loaded.messages)
        )
        if entry is not None:
            merged.version, merged.number = entry.version, entry.number
            if entry.number > self._delivered() or not entry.complete:
                for message in entry.messages:
                    merged.put(message, self._config.context_messages)
        merged.version = merged.version or time.time_ns() // 1000
        self._entries[merged.conversation_id] = merged
        return merged

    def _answer(self, entry: ConversationCopy, count: int, tier: str) -> ConversationContext:
        setattr(self.figures, tier, getattr(self.figures, tier) + 1)
        self._use(entry)
        return entry.context(count)

    def _count_memory(self, found: bool) -> None:
        if found:
            self.figures.memory_hits += 1
        else:
            self.figures.memory_misses += 1

    def _collide(self, entry: ConversationCopy) -> None:
        self.figures.conflicts += 1
        log.info("two processes wrote to one conversation", conversation_id=entry.conversation_id)
        self._redis.delete(conversation_key(entry.user_id))
        if entry.number > self._delivered():
            # PostgreSQL does not have our part yet: keep it, and read the other's part there.
            entry.complete = False
        else:
            self._drop(entry.user_id, entry.conversation_id)

    def _drop(self, user_id: str, conversation_id: str | None) -> None:
        gone = [
            entry.conversation_id
            for entry in self._entries.values()
            if entry.user_id == user_id and conversation_id in (None, entry.conversation_id)
        ]
        for each in gone:
            del self._entries[each]
            if self._current.get(user_id) == each:
                del self._current[user_id]
