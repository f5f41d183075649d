"""Real servers for the tests: one PostgreSQL and one Valkey for all, a database of its own for each test."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from redis import Redis

from persistence.config import PersistenceConfig
from persistence.embedded.postgres import EmbeddedPostgres
from persistence.embedded.valkey import EmbeddedValkey
from persistence.memory import Memory
from persistence.postgres.pool import Postgres
from persistence.postgres.schema import migrate
from tests.persistence.parts import WordEmbedder

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedPostgres, EmbeddedValkey]]:
    """The servers that come with Morgan; nobody restarts them, because the loop that started them is over."""
    config = PersistenceConfig(tmp_path_factory.mktemp("servers"))
    postgres, valkey = EmbeddedPostgres(config), EmbeddedValkey(config)

    async def start() -> None:
        await asyncio.gather(postgres.start(), valkey.start())

    async def stop() -> None:
        await asyncio.gather(postgres.stop(), valkey.stop())

    asyncio.run(start())
    # Their watch ended with that loop.
    postgres._watch = valkey._watch = None
    yield postgres, valkey
    asyncio.run(stop())


@pytest_asyncio.fixture
async def dsn(servers: tuple[EmbeddedPostgres, EmbeddedValkey]) -> str:
    """A new, empty database."""
    name = f"test_{next(_numbers)}"
    connection = await asyncpg.connect(servers[0].dsn)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return servers[0].dsn.rsplit("/", 1)[0] + f"/{name}"


@pytest.fixture
def redis_url(servers: tuple[EmbeddedPostgres, EmbeddedValkey]) -> str:
    """The Valkey, emptied."""
    with Redis.from_url(servers[1].url) as client:
        client.flushall()
        client.config_resetstat()
    return servers[1].url


@pytest_asyncio.fixture
async def connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a migrated database, to look into it."""
    connection = await asyncpg.connect(dsn)
    await migrate(connection)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def postgres(dsn: str) -> AsyncIterator[Postgres]:
    """A small pool on a migrated database."""
    pool = Postgres(dsn, pool_min=1, pool_max=4)
    assert await pool.start(10)
    yield pool
    await pool.close()


@pytest_asyncio.fixture
async def open_memory(dsn: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Memory]]]:
    """Opens memories on the same servers, each with a data directory of its own; closes them all."""
    opened: list[Memory] = []

    async def open_one(name: str = "a", **changes: object) -> Memory:
        values: dict[str, object] = {"postgres_dsn": dsn, "redis_url": redis_url, "pool_min": 1, "pool_max": 4}
        config = PersistenceConfig(tmp_path / name, **{**values, **changes})  # type: ignore[arg-type]
        memory = await Memory.open(config, WordEmbedder())
        opened.append(memory)
        return memory

    yield open_one
    for memory in opened:
        await memory.close()


@pytest_asyncio.fixture
async def memory(open_memory: Callable[..., Awaitable[Memory]]) -> Memory:
    """A memory on real servers."""
    return await open_memory()
