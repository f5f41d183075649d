"""A primary that dies or is demoted, and a standby that takes its place: what was said goes to the new one."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from tests.debian import CLUSTER, postgres_server
from tests.persistence.parts import Open, address, item, stored, until

pytestmark = pytest.mark.timeout(180)


@pytest_asyncio.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[str, str]]:
    """A primary and its standby."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir(mode=0o755)
    async with (
        postgres_server(tmp_path / "first") as first,
        postgres_server(tmp_path / "second", standby_of=first) as second,
    ):
        yield first, second


async def replicated(first: str, second: str) -> None:
    """Wait until the standby has all that the primary has."""
    primary, standby = await asyncpg.connect(first), await asyncpg.connect(second)
    written = await primary.fetchval("SELECT pg_current_wal_lsn()::text")
    while not await standby.fetchval("SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", written):  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    await primary.close()
    await standby.close()


async def end(first: str, folder: Path, how: str) -> None:
    if how == "killed":
        os.kill(int((folder / CLUSTER / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        return
    connection = await asyncpg.connect(first)
    await connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


@pytest.mark.parametrize("how", ["killed", "demoted"])
async def test_of_two_hosts_the_one_that_takes_writes_gets_every_word_once(
    open_memory: Open, pair: tuple[str, str], tmp_path: Path, how: str
) -> None:
    first, second = pair
    both = f"postgresql://morgan@{','.join(f'127.0.0.1:{address(dsn)[1]}' for dsn in pair)}/postgres"
    memory = await open_memory(postgres_dsn=both)
    log = memory.begin_session("call_1", "ada")
    log.user_turn(item(), "before")
    assert await memory.outbox.settle(20)
    await replicated(first, second)
    await end(first, tmp_path / "first", how)
    await until(lambda: not memory.postgres.up.is_set())
    log.user_turn(item(), "meanwhile")
    assert not await memory.outbox.settle(0.5)
    assert (await memory.health())["postgres"].status == "down"
    standby = await asyncpg.connect(second)
    assert await standby.fetchval("SELECT pg_promote()")
    await standby.close()
    await until(memory.postgres.up.is_set)
    log.user_turn(item(), "afterwards")
    assert await memory.outbox.settle(20)
    assert [row[2] for row in await stored(second)] == ["before", "meanwhile", "afterwards"]
    assert (await memory.health())["postgres"].status == "ok"
    await memory.close()
