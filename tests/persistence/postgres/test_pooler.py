"""PgBouncer in transaction mode in front of PostgreSQL: each transaction may find another session."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest_asyncio

from persistence.postgres.schema import load_migrations
from tests.debian import pgbouncer
from tests.persistence.parts import Open, item, stored, texts, until

SESSIONS = 2


@pytest_asyncio.fixture
async def pooled(dsn: str, tmp_path: Path) -> AsyncIterator[str]:
    """A pooler with few sessions in front of a new database."""
    async with pgbouncer(tmp_path, dsn, sessions=SESSIONS) as found:
        yield found


async def left_in_sessions(pooled: str) -> list[str]:
    """Names of prepared statements in the sessions of the pooler, asked for in all of them at the same time."""
    clients = [await asyncpg.connect(pooled, statement_cache_size=0) for _ in range(SESSIONS)]
    transactions = [client.transaction() for client in clients]
    for transaction in transactions:
        await transaction.start()
    found: dict[int, list[str]] = {}
    for client in clients:
        pid, names = await client.fetchrow("SELECT pg_backend_pid(), array(SELECT name FROM pg_prepared_statements)")
        found[pid] = names
    for client, transaction in zip(clients, transactions, strict=True):
        await transaction.rollback()
        await client.close()
    assert len(found) == SESSIONS
    return [name for names in found.values() for name in names]


async def test_memory_works_behind_a_pooler_and_leaves_nothing_in_its_sessions(
    open_memory: Open, pooled: str, dsn: str
) -> None:
    # Two servers that start at the same time on an empty database, with more connections than there are sessions.
    first, second = await asyncio.gather(
        open_memory("a", postgres_dsn=pooled, pool_min=4, pool_max=8),
        open_memory("b", postgres_dsn=pooled, pool_min=4, pool_max=8),
    )
    await until(lambda: first.postgres.up.is_set() and second.postgres.up.is_set())
    assert first.postgres.pooled
    logs = [memory.begin_session(f"call_{memory.store.origin}", "ada") for memory in (first, second)]
    said = [f"sentence {number}" for number in range(40)]
    for number, text in enumerate(said):
        logs[number % 2].user_turn(item(), text, latency={"stt": 1.5}, metadata={"nested": {"number": number}})
    assert await first.outbox.settle(30)
    assert await second.outbox.settle(30)
    asked = [memory.list_conversations("ada") for memory in (first, second) for _ in range(20)]
    pages = await asyncio.gather(*asked)
    assert {len(page.items) for page in pages} == {2}
    assert await first.worker.idle(30)
    assert len(texts(await first.context("ada", str(logs[0].conversation_id), 60))) == 20
    assert sorted(row[2] for row in await stored(dsn)) == sorted(said)
    assert first.outbox.figures.failures == second.outbox.figures.failures == 0

    direct = await asyncpg.connect(dsn)
    assert await direct.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
    assert await direct.fetchval("SELECT count(*) FROM morgan_meta.migrations") == len(load_migrations())
    await direct.close()
    assert await left_in_sessions(pooled) == []


async def test_without_a_pooler_statements_are_prepared_once(open_memory: Open) -> None:
    memory = await open_memory()
    assert not memory.postgres.pooled
    async with memory.postgres.connection() as connection:
        await connection.fetch("SELECT id FROM conversations")
        assert not connection.is_in_transaction()
        assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements") > 0
