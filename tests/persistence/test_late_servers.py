"""Servers that are configured and not there yet: memory opens without them, and finds them when they come."""

import asyncio
import socket
import time
from collections.abc import Iterator

import asyncpg
import pytest
from redis.asyncio import Redis

from persistence.postgres.pool import Postgres
from tests.persistence.parts import Open, Relay, address, item, stored, texts, through, until


@pytest.fixture
def mute() -> Iterator[str]:
    """Host and port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


async def test_servers_that_do_not_answer_do_not_keep_memory_from_opening(open_memory: Open, mute: str) -> None:
    began = time.monotonic()
    memory = await open_memory(
        postgres_dsn=f"postgresql://morgan@{mute}/morgan", redis_url=f"redis://{mute}/0", qdrant_url=f"http://{mute}"
    )
    opened_s = time.monotonic() - began
    log = memory.begin_session("call_1", "ada")
    log.user_turn(item(), "is anybody there")
    context = await memory.context("ada")
    health = await memory.health()
    assert opened_s < 5
    assert texts(context) == ["is anybody there"]
    assert [health[name].status for name in ("postgres", "redis", "qdrant")] == ["down", "degraded", "down"]


async def test_memory_that_is_closed_before_its_index_is_open_leaves_nothing_behind(
    open_memory: Open, mute: str
) -> None:
    memory = await open_memory(qdrant_url=f"http://{mute}")
    await memory.close()
    assert "embedding worker" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_servers_that_come_late_get_everything(open_memory: Open, dsn: str, redis_url: str) -> None:
    late_postgres, late_redis = Relay(*address(dsn)), Relay(*address(redis_url))
    for relay in (late_postgres, late_redis):
        await relay.open()
        await relay.cut()
    memory = await open_memory(
        postgres_dsn=through(dsn, late_postgres.port), redis_url=through(redis_url, late_redis.port)
    )
    log = memory.begin_session("call_1", "ada")
    for number in range(5):
        log.user_turn(item(), f"turn {number}")
    assert not memory.postgres.up.is_set()
    assert not memory.redis.up.is_set()
    await asyncio.gather(late_postgres.open(), late_redis.open())
    await until(lambda: memory.postgres.up.is_set() and memory.redis.up.is_set(), 20)
    assert await memory.outbox.settle(10)
    assert await memory.redis.flush(5)
    assert [row[2] for row in await stored(dsn)] == [f"turn {number}" for number in range(5)]
    async with Redis.from_url(redis_url) as redis:
        assert await redis.exists("conversation:ada") == 1
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT state FROM streaming_sessions WHERE id = 'call_1'") == "active"
    await connection.close()
    await memory.close()
    await asyncio.gather(late_postgres.cut(), late_redis.cut())


async def test_a_pool_that_has_lost_its_connections_is_made_anew(dsn: str) -> None:
    postgres = Postgres(dsn, pool_min=1, pool_max=2, connect_timeout_s=0.5, acquire_timeout_s=0.2)
    assert await postgres.start(5)
    # As asyncpg may leave it when the server is killed while connections are made: held, and nobody gives them back.
    for _ in range(2):
        await postgres._pool.acquire()
    await until(lambda: not postgres.up.is_set(), 10)
    await until(postgres.up.is_set, 10)
    async with postgres.connection() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    await postgres.close()


async def test_an_index_that_fails_in_an_unknown_way_does_not_end_the_embedding(
    open_memory: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: object) -> None:
        raise RuntimeError("nobody expected this")

    monkeypatch.setattr("persistence.vectors.index.VectorIndex.open", broken)
    await open_memory()
    await until(lambda: "embedding worker" in {task.get_name() for task in asyncio.all_tasks()}, 20)
