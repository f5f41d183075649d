"""The fast tier: Redis, under the keys of `persistence.cache.keys`.

A Redis that answers and refuses to be written to (full, a replica, one that cannot save) counts as down.
Writes are queued and never waited for; of several to one key the last one counts. Reads fail at once while Redis is
known to be down.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ReadOnlyError, RedisError

from persistence.backoff import Backoff
from persistence.cache.keys import ACTIVE_USERS, INVALIDATE, audio_key, session_key
from persistence.cache.pending_writes import PendingWrites, WriteBatch
from persistence.cache.redis_figures import RedisFigures
from persistence.errors import StoreUnavailableError
from persistence.tasks import ended, keep_running

log = structlog.get_logger(__name__)

FAILURES = (RedisError, OSError, TimeoutError)

LISTEN_S = 1.0
"""How soon a subscription is made anew once Redis has failed."""


def _connections(url: str | None, most: int, timeout_s: float) -> ConnectionPool:
    """Connections that are waited for when all are in use: many requests at once do not make Redis fail."""
    return BlockingConnectionPool.from_url(
        url or "redis://",
        max_connections=most,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        # Once more, for connections that went stale in the pool.
        retry=Retry(NoBackoff(), 1),
    )


class RedisTier:
    """A client of Redis or Valkey that never makes anybody wait for long.

    Args:
        url: redis://, rediss:// or unix://; None for a tier that is always down.
        timeout_s: of one command; a server that takes longer counts as down.
        on_invalidation: called with each message of another process on `morgan:invalidate`.
        on_reconnect: called whenever messages of others may have been missed.
    """

    def __init__(
        self,
        url: str | None,
        *,
        timeout_s: float = 0.5,
        on_invalidation: Callable[[dict[str, Any]], None] = lambda message: None,
        on_reconnect: Callable[[], None] = lambda: None,
    ) -> None:
        self.figures = RedisFigures()
        self.latency_ms: float | None = None
        self.problem = "not connected yet" if url else "there is none"
        self.up = asyncio.Event()
        self._enabled = url is not None
        self._client: Redis = Redis.from_pool(_connections(url, 32, timeout_s))
        self._counting = _connections(url, 8, timeout_s)
        self._on_invalidation = on_invalidation
        self._on_reconnect = on_reconnect
        self._pending = PendingWrites(self.figures)
        self._wake = asyncio.Event()
        self._look = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._refused = Backoff(0.1, 5.0)
        self._logged_down = True
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def enabled(self) -> bool:
        """Whether there is one at all."""
        return self._enabled

    @property
    def pool(self) -> ConnectionPool:
        """Connections for what counts in Redis by itself: strangers' requests take none that memory needs."""
        return self._counting

    async def start(self, patience_s: float) -> bool:
        """Connect; waits for Redis up to `patience_s` seconds and returns whether it is up."""
        if not self._enabled:
            return False
        self._tasks = [
            keep_running(self._watch, "redis watch"),
            keep_running(self._write, "redis writer"),
            keep_running(self._listen, "redis listener"),
        ]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self.up.wait()
        return self.up.is_set()

    async def close(self) -> None:
        """Write what is waiting, if Redis takes it at once, and disconnect."""
        if self.up.is_set():
            await self.flush(0.5)
        await ended(self._tasks)
        with contextlib.suppress(*FAILURES):
            await self._client.aclose()
            await self._counting.disconnect()

    async def get(self, key: str) -> bytes | None:
        """The value of a key, None if there is none.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        if key in self._pending and self.up.is_set():
            # What we are about to write is newer than what is there.
            await self.flush(0.05)
        value: bytes | None = await self._command(lambda: self._client.get(key))
        self._count(value is not None)
        return value

    def put(self, key: str, value: bytes, ttl_s: int) -> None:
        """Have a value written soon."""
        self._pending.value(key, value, ttl_s)
        self._stir()

    def delete(self, key: str) -> None:
        """Have a key deleted soon."""
        self._pending.value(key, None, 0)
        self._stir()

    async def claim(self, key: str, ttl_s: int) -> bool:
        """Whether nobody has claimed a key before, in this process or another; from now on it is claimed.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        return bool(await self._command(lambda: self._client.set(key, b"1", nx=True, ex=ttl_s)))

    def publish(self, channel: str, message: bytes) -> None:
        """Have a message published soon; with Redis down it is lost, as messages are."""
        self._pending.message(channel, message)
        self._stir()

    def seen(self, user_id: str) -> None:
        """A user is active."""
        self._pending.active(user_id, time.time())
        self._stir()

    def forget_user(self, user_id: str) -> None:
        """Take a user out of the active ones."""
        self._pending.gone(user_id)
        self._stir()

    async def held(self, keys: Sequence[str], user_id: str) -> int:
        """How many of these keys there are, and whether the user counts as active (one more).

        Raises:
            StoreUnavailableError: Redis does not answer.
        """

        async def run() -> list[Any]:
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.exists(*keys)
                pipe.zscore(ACTIVE_USERS, user_id)
                return list(await pipe.execute())

        await self.flush(0.5)
        there, score = await self._command(run)
        return int(there) + (score is not None)

    async def beginning(self, prefix: str) -> dict[str, bytes]:
        """Keys that begin so, with their values. It goes through all keys: for what is done seldom.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """

        async def run() -> dict[str, bytes]:
            keys = [key async for key in self._client.scan_iter(match=f"{prefix}*", count=1000)]
            values: list[Any] = await self._client.mget(keys) if keys else []
            return {key.decode(): value for key, value in zip(keys, values, strict=True) if value is not None}

        await self.flush(0.5)
        found: dict[str, bytes] = await self._command(run)
        return found

    async def keep_stream(
        self,
        session_id: str,
        chunks: Sequence[bytes],
        ttl_s: int,
        *,
        state: bytes | None = None,
        forget: int = 0,
        afresh: bool = False,
    ) -> bool:
        """Keep what a stream of audio needs to be taken up again: all of it is written, or nothing.

        Args:
            session_id: of the stream.
            chunks: audio to append (s16le, 16 kHz, mono); whoever appends sees to it that the whole stays bounded.
            ttl_s: seconds after which both keys go unless something more comes.
            state: of the session, where it has changed.
            forget: this many of the oldest chunks are not needed any more.
            afresh: whether what is there is to be replaced.

        Returns:
            whether a state is there; without (Redis was emptied) the audio alone is of no use.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        key = audio_key(session_id)

        async def run() -> bool:
            async with self._client.pipeline(transaction=True) as pipe:
                if afresh:
                    pipe.delete(key)
                if chunks:
                    pipe.rpush(key, *chunks)
                if forget:
                    pipe.ltrim(key, forget, -1)
                pipe.expire(key, ttl_s)
                if state is not None:
                    pipe.set(session_key(session_id), state, ex=ttl_s)
                else:
                    pipe.expire(session_key(session_id), ttl_s)
                return bool((await pipe.execute())[-1])

        return bool(await self._command(run))

    async def stream(self, session_id: str) -> tuple[bytes, list[bytes]] | None:
        """State and audio as `keep_stream` left them, None where there are none.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """

        async def run() -> Any:
            async with self._client.pipeline(transaction=True) as pipe:
                pipe.get(session_key(session_id))
                pipe.lrange(audio_key(session_id), 0, -1)
                return await pipe.execute()

        state, chunks = await self._command(run)
        self._count(state is not None)
        return None if state is None else (state, chunks)

    async def forget_stream(self, session_id: str) -> None:
        """Delete what `keep_stream` kept.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        await self._command(lambda: self._client.delete(session_key(session_id), audio_key(session_id)))

    async def flush(self, timeout_s: float) -> bool:
        """Wait until everything queued is written; returns whether it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        return self._idle.is_set()

    def _count(self, found: bool) -> None:
        if found:
            self.figures.hits += 1
        else:
            self.figures.misses += 1

    def _stir(self) -> None:
        self._idle.clear()
        self._wake.set()

    async def _command(self, call: Callable[[], Any]) -> Any:
        if not self.up.is_set():
            raise StoreUnavailableError(f"Redis does not answer: {self.problem}")
        try:
            return await call()
        except FAILURES as error:
            self._went_down(error)
            self._look.set()
            raise StoreUnavailableError(f"Redis: {type(error).__name__}: {error}") from error

    def _went_down(self, error: BaseException) -> None:
        self.problem = f"{type(error).__name__}: {error}"
        self.figures.failures += 1
        if not self._logged_down:
            self._logged_down = True
            log.error("redis does not serve, memory does", problem=self.problem)
        self.up.clear()
        self.latency_ms = None

    def _is_up(self) -> None:
        """It answers and takes what is written: what was queued too, or this is said again and again."""
        if self._logged_down and not self._refused.failures:
            self._logged_down = False
            log.info("redis is up", latency_ms=round(self.latency_ms or 0.0, 1))

    async def _watch(self) -> None:
        backoff = Backoff(0.1, 2.0)
        while True:
            try:
                started = time.monotonic()
                # Not PING, which a Redis that is full answers, too: this is a write, and leaves nothing behind.
                await self._client.setrange(session_key(""), 0, b"")
                self.latency_ms = (time.monotonic() - started) * 1000
            except FAILURES as error:
                self._went_down(error)
                if isinstance(error, ReadOnlyError):
                    # Whoever is the primary now is found by connecting anew.
                    await self._client.connection_pool.disconnect(inuse_connections=False)
                await asyncio.sleep(backoff.failed())
                continue
            backoff.succeeded()
            if not self.up.is_set():
                # Those that were not asked meanwhile may lead to the server of before.
                with contextlib.suppress(*FAILURES):
                    await self._counting.disconnect(inuse_connections=False)
            self.up.set()
            self._is_up()
            self._look.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2.0):
                    await self._look.wait()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            await self.up.wait()
            self._wake.clear()
            batch = self._pending.take()
            try:
                await self._write_batch(batch)
            except FAILURES as error:
                self._went_down(error)
                self._look.set()
                self._pending.take_back(batch)
                self._wake.set()
                # The watch may find it well again at once, and that must not make a circle.
                await asyncio.sleep(self._refused.failed())
                continue
            self._refused.succeeded()
            self._is_up()
            self.figures.written += len(batch.values)
            self.figures.published += len(batch.messages)
            if not self._wake.is_set():
                self._idle.set()

    async def _write_batch(self, batch: WriteBatch) -> None:
        async with self._client.pipeline(transaction=False) as pipe:
            batch.into(pipe, time.time())
            await pipe.execute()

    async def _listen(self) -> None:
        backoff = Backoff(0.1, 2.0)
        while True:
            await self.up.wait()
            try:
                async with self._client.pubsub(ignore_subscribe_messages=True) as channel:
                    failures = self.figures.failures
                    await channel.subscribe(INVALIDATE)
                    self._on_reconnect()
                    backoff.succeeded()
                    # A subscription says nothing by itself: it may lead to a server that others have left, or to none.
                    while self.figures.failures == failures:
                        message = await channel.get_message(timeout=LISTEN_S)
                        if message is not None:
                            self._received(message["data"])
            except FAILURES as error:
                log.debug("subscription lost", problem=str(error))
                self._look.set()
                await asyncio.sleep(backoff.failed())

    def _received(self, data: bytes) -> None:
        try:
            message = json.loads(data)
        except ValueError:
            log.warning("message on morgan:invalidate is no JSON", bytes=len(data))
            return
        if isinstance(message, dict):
            self._on_invalidation(message)
