"""The same against servers of a distribution's packages, given by DSN."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest_asyncio
from redis.asyncio import Redis
from redis.exceptions import RedisError

from persistence.config import PersistenceConfig
from persistence.memory import Memory
from persistence.processes import ServerProcess, free_port, identity, let_through, unprivileged_user
from tests.conftest import lacking
from tests.persistence.parts import WordEmbedder, stored


def installed_postgres() -> list[Path]:
    """Folders of the distribution's programs, oldest version first."""
    return sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]))


@pytest_asyncio.fixture
async def debian_postgres(tmp_path: Path) -> AsyncIterator[str]:
    found = installed_postgres()
    if not found:
        lacking("There is no PostgreSQL of the distribution: apt-get install postgresql.")
    user, cluster, port = unprivileged_user(), tmp_path / "cluster", free_port()
    cluster.mkdir(mode=0o700)
    if user is not None:
        os.chown(cluster, user.pw_uid, user.pw_gid)
        let_through(cluster, user)
    made = subprocess.run(  # noqa: ASYNC221
        [found[-1] / "initdb", "-D", cluster, "-U", "morgan", "-A", "trust", "-E", "UTF8", "--locale=C"],
        capture_output=True, text=True, cwd="/", **identity(user),  # type: ignore[call-overload]
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    args = [str(found[-1] / "postgres"), "-D", str(cluster), "-p", str(port), "-h", "127.0.0.1", "-k", ""]
    process = ServerProcess.spawn(args, tmp_path / "postgres.log", user=user)
    dsn = f"postgresql://morgan@127.0.0.1:{port}/postgres"
    for _ in range(400):
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            await (await asyncpg.connect(dsn)).close()
            break
        await asyncio.sleep(0.05)
    yield dsn
    await process.stop(signal.SIGINT, 10)


@pytest_asyncio.fixture
async def debian_redis(tmp_path: Path) -> AsyncIterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        lacking("There is no redis-server of the distribution: apt-get install redis-server.")
    port = free_port()
    config = f'port {port}\nbind 127.0.0.1\nsave ""\ndir {tmp_path}\n'
    process = ServerProcess.spawn([str(program), "-"], tmp_path / "redis.log", stdin=config.encode())
    url = f"redis://127.0.0.1:{port}/0"
    for _ in range(100):
        with contextlib.suppress(OSError, RedisError):
            async with Redis.from_url(url) as client:
                await client.ping()
            break
        await asyncio.sleep(0.05)
    yield url
    await process.stop(signal.SIGTERM, 5)


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
