"""Stores that answer and refuse to be written to: as good as gone, said so, and back by themselves."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from structlog.testing import capture_logs

from persistence.cache.redis_tier import RedisTier
from persistence.config import PersistenceConfig
from persistence.embedded.valkey import EmbeddedValkey
from persistence.errors import StoreUnavailableError
from persistence.memory import Memory
from tests.persistence.parts import Open, WordEmbedder, item, stored, until

pytestmark = pytest.mark.timeout(120)


@pytest_asyncio.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[Redis]:
    """A Valkey of the test's own, to be configured."""
    server = EmbeddedValkey(PersistenceConfig(tmp_path / "valkey"))
    await server.start()
    async with Redis.from_url(server.url) as client:
        client.url = server.url  # type: ignore[attr-defined]
        yield client
    await server.stop()


async def refuse(client: Redis, how: str) -> None:
    match how:
        case "maxmemory":
            await client.config_set("maxmemory-policy", "noeviction")
            await client.config_set("maxmemory", "1")
        case "replica":
            await client.execute_command("REPLICAOF", "127.0.0.1", "1")
        case "misconf":
            # A folder where the file should be: it cannot save, and says so to whoever writes.
            await client.config_set("save", "3600 1")
            (Path(str((await client.config_get("dir"))["dir"])) / "dump.rdb").mkdir()
            await saved(client, "err")


async def saved(client: Redis, outcome: str) -> None:
    await client.execute_command("BGSAVE")
    while (await client.info("persistence"))["rdb_last_bgsave_status"] != outcome:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def take(client: Redis, how: str) -> None:
    match how:
        case "maxmemory":
            await client.config_set("maxmemory", "0")
        case "replica":
            await client.execute_command("REPLICAOF", "NO", "ONE")
        case "misconf":
            (Path(str((await client.config_get("dir"))["dir"])) / "dump.rdb").rmdir()
            await saved(client, "ok")


async def calls(client: Redis) -> int:
    return int((await client.info("stats"))["total_commands_processed"])


@pytest.mark.parametrize("how", ["maxmemory", "replica", "misconf"])
async def test_a_redis_that_refuses_writes_is_down_is_left_in_peace_and_comes_back(valkey: Redis, how: str) -> None:
    tier = RedisTier(valkey.url)  # type: ignore[attr-defined]
    with capture_logs() as logs:
        assert await tier.start(10)
        await refuse(valkey, how)
        tier.put("before", b"1", 60)
        await until(lambda: not tier.up.is_set())
        assert tier.problem
        commands, failures = await calls(valkey), tier.figures.failures
        for index in range(200):
            tier.put(f"key_{index}", b"1", 60)
            tier.seen("somebody")
            await asyncio.sleep(0.01)
        # Nobody asks it more than a few times in two seconds; without a pause there were thousands.
        assert await calls(valkey) - commands < 60
        assert tier.figures.failures - failures < 20
        assert not tier.up.is_set()
        with pytest.raises(StoreUnavailableError):
            await tier.get("before")
        await take(valkey, how)
        await until(tier.up.is_set)
        assert await tier.flush(10)
        assert await valkey.get("before") == b"1"
        assert await valkey.get("key_199") == b"1"
    await tier.close()
    said = [(entry["log_level"], entry["event"]) for entry in logs if "redis" in entry["event"]]
    assert said == [("info", "redis is up"), ("error", "redis does not serve, memory does"), ("info", "redis is up")]


async def test_health_tells_of_a_redis_that_refuses_writes(valkey: Redis, dsn: str, tmp_path: Path) -> None:
    config = PersistenceConfig(tmp_path / "data", dsn, valkey.url, pool_min=1, pool_max=4)  # type: ignore[attr-defined]
    memory = await Memory.open(config, WordEmbedder())
    try:
        assert (await memory.health())["redis"].status == "ok"
        await refuse(valkey, "replica")
        await until(lambda: not memory.redis.up.is_set())
        found = (await memory.health())["redis"]
        assert (found.status, found.kind) == ("degraded", "memory")
        assert "replica" in found.detail
        await take(valkey, "replica")
        await until(memory.redis.up.is_set)
        assert (await memory.health())["redis"].status == "ok"
    finally:
        await memory.close()


async def read_only(dsn: str, value: str) -> None:
    """Have the whole server refuse writes, or take them again, as a demotion does to sessions that stand."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("SET default_transaction_read_only = off")
    await connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


@pytest_asyncio.fixture
async def writable_again(dsn: str) -> AsyncIterator[None]:
    yield
    await read_only(dsn, "off")


@pytest.mark.usefixtures("writable_again")
async def test_a_postgresql_that_turns_read_only_is_down_until_it_takes_writes_and_nothing_is_lost(
    open_memory: Open, dsn: str
) -> None:
    memory = await open_memory()
    assert (await memory.health())["postgres"].status == "ok"
    await read_only(dsn, "on")
    await until(lambda: not memory.postgres.up.is_set())
    found = (await memory.health())["postgres"]
    assert found.status == "down"
    assert "read-only" in found.detail
    log = memory.begin_session("call_1", "somebody")
    log.user_turn(item(), "this waits in the journal")
    # No connection to the demoted server is kept: the next one may lead elsewhere.
    await until(lambda: memory.postgres.pool_size == 0)
    assert not await memory.outbox.settle(0.5)
    await read_only(dsn, "off")
    await until(memory.postgres.up.is_set)
    assert (await memory.health())["postgres"].status == "ok"
    assert await memory.outbox.settle(20)
    assert [row[2] for row in await stored(dsn)] == ["this waits in the journal"]
