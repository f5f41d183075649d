"""The same against servers of a distribution's packages, given by DSN."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from redis.asyncio import Redis

from persistence.config import PersistenceConfig
from persistence.memory import Memory
from tests.debian import postgres_server, redis_server
from tests.persistence.parts import WordEmbedder, stored


@pytest_asyncio.fixture
async def debian_postgres(tmp_path: Path) -> AsyncIterator[str]:
    async with postgres_server(tmp_path) as dsn:
        yield dsn


@pytest_asyncio.fixture
async def debian_redis(tmp_path: Path) -> AsyncIterator[str]:
    async with redis_server(tmp_path) as url:
        yield url


async def test_a_call_lands_in_servers_of_the_distribution(
    debian_postgres: str, debian_redis: str, tmp_path: Path
) -> None:
    config = PersistenceConfig(tmp_path / "data", debian_postgres, debian_redis)
    memory = await Memory.open(config, WordEmbedder())
    assert memory.embedded_postgres is None
    assert memory.embedded_valkey is None
    log = memory.begin_session("call_1", "test_user")
    log.user_turn(f"item_{uuid.uuid4().hex}", "my dog is called Biscuit")
    log.reply(f"item_{uuid.uuid4().hex}", "A good name")
    assert await memory.outbox.settle(10)
    assert await memory.redis.flush(5)
    assert await memory.worker.idle(10)
    found = await memory.recall("test_user", "what is my dog called", budget_ms=2000)
    async with Redis.from_url(debian_redis, decode_responses=True) as client:
        keys = sorted(await client.keys("*"))
    await memory.close()
    assert [row[2] for row in await stored(debian_postgres)] == ["my dog is called Biscuit", "A good name"]
    assert keys == ["active_users", "conversation:test_user", "stream_session:call_1"]
    assert found[0].content == "my dog is called Biscuit"
