"""Stores that answer and refuse to be written to: as good as gone, said so, and back by themselves."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from structlog.testing import capture_logs

from bench.broken_qdrant import BrokenQdrant
from persistence.cache.keys import INVALIDATE
from persistence.cache.redis_tier import RedisTier
from persistence.config import PersistenceConfig
from persistence.embedded.postgres import EmbeddedPostgres
from persistence.embedded.valkey import EmbeddedValkey
from persistence.errors import StoreUnavailableError
from persistence.memory import Memory
from persistence.postgres.pool import Postgres
from tests.persistence.parts import Open, Relay, WordEmbedder, address, item, stored, until

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


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that the kernel takes connections for, and that never says a word."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_redis_that_takes_commands_and_never_answers_is_down_and_comes_back(valkey: Redis) -> None:
    tier = RedisTier(valkey.url, timeout_s=0.2)  # type: ignore[attr-defined]
    pid = (await valkey.info("server"))["process_id"]
    with capture_logs() as logs:
        assert await tier.start(10)
        with stopped(pid):
            # The first who asks waits for as long as it is given, and nobody after it.
            with pytest.raises(StoreUnavailableError):
                await tier.get("before")
            assert not tier.up.is_set()
            tier.put("before", b"1", 60)
            with pytest.raises(StoreUnavailableError, match="does not answer"):
                await tier.get("before")
        await until(tier.up.is_set)
        assert await tier.flush(10)
        assert await tier.get("before") == b"1"
    await tier.close()
    said = [(entry["log_level"], entry["event"]) for entry in logs if "redis" in entry["event"]]
    assert said == [("info", "redis is up"), ("error", "redis does not serve, memory does"), ("info", "redis is up")]


async def test_after_a_failover_everything_goes_to_the_new_primary_though_the_old_one_lives(
    valkey: Redis, redis_url: str
) -> None:
    """An address that leads to another server from now on, while connections to the one before stay."""
    relay = Relay(*address(valkey.url))  # type: ignore[attr-defined]
    await relay.open()
    for url in (valkey.url, redis_url):  # type: ignore[attr-defined]
        async with Redis.from_url(url) as client:
            await client.execute_command("ACL", "SETUSER", "morgan", "on", ">same", "~*", "&*", "+@all")
    heard: list[dict[str, Any]] = []
    missed: list[None] = []
    url = f"redis://morgan:same@127.0.0.1:{relay.port}/0"
    tier = RedisTier(url, on_invalidation=heard.append, on_reconnect=lambda: missed.append(None))
    assert await tier.start(10)
    counting = Redis.from_pool(tier.pool)
    await counting.incr("counted")
    await until(lambda: bool(missed))
    # Cut off from the new one: what is published there does not reach its subscribers.
    await refuse(valkey, "replica")
    await until(lambda: not tier.up.is_set())
    relay.lead_to(*address(redis_url))
    await until(tier.up.is_set)
    await until(lambda: len(missed) == 2)
    tier.put("after", b"1", 60)
    assert await tier.flush(10)
    async with Redis.from_url(redis_url) as primary:
        assert await primary.get("after") == b"1"
        await primary.publish(INVALIDATE, b'{"kind": "preferences"}')
        await until(lambda: bool(heard))
        await counting.incr("counted")
        assert await primary.get("counted") == b"1"
    await tier.close()
    await relay.cut()


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


FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION full_disk();
"""


@pytest.mark.parametrize(
    ("refuses", "takes", "told"),
    [
        (FULL, "DROP TRIGGER full_disk ON messages", "No space left"),
        ("REVOKE INSERT ON messages FROM caller", "GRANT INSERT ON messages TO caller", "permission denied"),
    ],
    ids=["full disk", "right taken away"],
)
async def test_a_postgresql_that_can_be_read_and_takes_nothing_is_degraded_and_what_is_said_waits(
    open_memory: Open, dsn: str, refuses: str, takes: str, told: str
) -> None:
    await (await open_memory("first")).close()  # makes the tables
    owner = await asyncpg.connect(dsn)
    with contextlib.suppress(asyncpg.DuplicateObjectError):
        await owner.execute("CREATE ROLE caller LOGIN PASSWORD 'caller'")
    for schema in ("public", "morgan_meta", "morgan_memory"):
        await owner.execute(f"GRANT ALL ON SCHEMA {schema} TO caller")
        await owner.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO caller")
        await owner.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO caller")
    memory = await open_memory(postgres_dsn=f"postgresql://caller:caller@{dsn.partition('@')[2]}")
    assert (await memory.health())["postgres"].status == "ok"
    with capture_logs() as logs:
        await owner.execute(refuses)
        log = memory.begin_session("call_1", "somebody")
        log.user_turn(item(), "this waits in the journal")
        await until(lambda: memory.outbox.figures.failures >= 4)
        found = (await memory.health())["postgres"]
        assert found.status == "degraded"
        assert told in found.detail
        assert await memory.list_conversations("somebody")
        await owner.execute(takes)
        assert await memory.outbox.settle(20)
    assert (await memory.health())["postgres"].status == "ok"
    assert [row[2] for row in await stored(dsn)] == ["this waits in the journal"]
    await owner.close()
    said = [entry["event"] for entry in logs if "postgresql" in entry["event"]]
    assert said == ["postgresql does not take the journal", "postgresql takes the journal again"]


async def test_a_qdrant_that_can_be_searched_and_takes_nothing_is_degraded_and_gets_it_later(open_memory: Open) -> None:
    async with BrokenQdrant().serving() as qdrant:
        memory = await open_memory(qdrant_url=qdrant.url)
        log = memory.conversation("ada")
        log.user_turn(item(), "my dog is called Biscuit")
        await until(lambda: bool(qdrant.points))
        with capture_logs() as logs:
            qdrant.mode = "refuses"
            log.user_turn(item(), "my cat is called Crumble")
            await until(lambda: bool(memory.vectors.refusal.problem))
            failures, writes = memory.worker.figures.failures, qdrant.writes
            await until(lambda: memory.worker.figures.failures > failures)
            assert qdrant.writes - writes <= 2
            found = (await memory.health())["qdrant"]
            assert found.status == "degraded"
            assert "No space left" in found.detail
            assert [each.content for each in await memory.search("ada", "my dog", 1)] == ["my dog is called Biscuit"]
            qdrant.mode = "well"
            await until(lambda: len(qdrant.points or ()) == 2)
            await until(lambda: not memory.vectors.refusal.problem)
        assert (await memory.health())["qdrant"].status == "ok"
        said = [entry["event"] for entry in logs if "qdrant" in entry["event"] or "embedding" in entry["event"]]
        assert said == ["qdrant takes no writes, what is new is not recalled", "qdrant takes writes again"]


async def test_a_qdrant_that_comes_back_empty_is_filled_again(open_memory: Open) -> None:
    async with BrokenQdrant().serving() as qdrant:
        memory = await open_memory(qdrant_url=qdrant.url)
        memory.conversation("ada").user_turn(item(), "my dog is called Biscuit")
        await until(lambda: bool(qdrant.points))
        qdrant.points = None
        # Whoever looks for something notices, as a call does with every question.
        with contextlib.suppress(StoreUnavailableError):
            await memory.search("ada", "my dog", 1)
        await until(lambda: bool(qdrant.points))
        await until(lambda: memory.vectors.up)
        assert [each.content for each in await memory.search("ada", "my dog", 1)] == ["my dog is called Biscuit"]


def family(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


async def test_a_postgresql_that_takes_statements_and_never_answers_is_down_and_keeps_nobody_waiting(
    servers: tuple[EmbeddedPostgres, EmbeddedValkey], dsn: str
) -> None:
    assert servers[0].process is not None
    postgres = Postgres(dsn, pool_min=2, pool_max=4, connect_timeout_s=0.5)
    assert await postgres.start(10)

    async def asked() -> str:
        try:
            async with postgres.connection() as connection:
                return str(await connection.fetchval("SELECT 'answered'"))
        except StoreUnavailableError:
            return "unavailable"

    assert await asked() == "answered"
    with contextlib.ExitStack() as stack:
        for pid in family(servers[0].process.pid):
            stack.enter_context(stopped(pid))
        waiting = [asyncio.create_task(asked()) for _ in range(3)]
        await until(lambda: not postgres.up.is_set())
        # Nobody waits until the statement's own time is up.
        assert await asyncio.gather(*waiting) == ["unavailable"] * 3
        assert not postgres.up.is_set()
        assert await asked() == "unavailable"
    await until(postgres.up.is_set)
    assert await asked() == "answered"
    await postgres.close()


async def test_whoever_asks_just_as_a_mute_server_is_given_up_is_told_that_it_does_not_answer() -> None:
    postgres = Postgres("postgresql://127.0.0.1:1/none")
    postgres._pool = SimpleNamespace(terminate=lambda: None)
    postgres.up.set()
    # What its timer does; the probe that hangs hears of it some turns of the loop later.
    postgres._give_up_pool()
    with pytest.raises(StoreUnavailableError):
        async with postgres.connection():
            pass
