"""PostgreSQL, PgBouncer and Redis from the distribution's packages, for tests of servers that are not our own."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from persistence.embedded.processes import ServerProcess, free_port, identity, unprivileged_user
from persistence.passage import let_through
from tests.conftest import lacking

CLUSTER = "cluster"
"""Folder of the data, and of `postmaster.pid`."""


def installed_postgres() -> list[Path]:
    """Folders of the distribution's programs, oldest version first."""
    return sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]))


@contextlib.asynccontextmanager
async def postgres_server(folder: Path, *, standby_of: str | None = None) -> AsyncIterator[str]:
    """A PostgreSQL; its DSN.

    Args:
        folder: for its data.
        standby_of: the server that it follows, until it is promoted.
    """
    found = installed_postgres()
    if not found:
        lacking("There is no PostgreSQL of the distribution: apt-get install postgresql.")
    user, cluster, port = unprivileged_user(), folder / CLUSTER, free_port()
    cluster.mkdir(mode=0o700)
    if user is not None:
        os.chown(cluster, user.pw_uid, user.pw_gid)
        let_through(cluster, user)
    made = subprocess.run(  # noqa: ASYNC221
        [found[-1] / "initdb", "-D", cluster, "-U", "morgan", "-A", "trust", "-E", "UTF8", "--locale=C"]
        if standby_of is None
        else [found[-1] / "pg_basebackup", "-D", cluster, "-d", standby_of, "-R", "-X", "stream", "-c", "fast"],
        capture_output=True, text=True, cwd="/", **identity(user),  # type: ignore[call-overload]
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    args = [str(found[-1] / "postgres"), "-D", str(cluster), "-p", str(port), "-h", "127.0.0.1", "-k", ""]
    process = ServerProcess.spawn(args, folder / "postgres.log", user=user)
    dsn = f"postgresql://morgan@127.0.0.1:{port}/postgres"
    for _ in range(400):
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            await (await asyncpg.connect(dsn)).close()
            break
        await asyncio.sleep(0.05)
    try:
        yield dsn
    finally:
        await process.stop(signal.SIGINT, 10)


@contextlib.asynccontextmanager
async def pgbouncer(folder: Path, dsn: str, *, sessions: int) -> AsyncIterator[str]:
    """A PgBouncer in transaction mode in front of a server; its DSN.

    Args:
        folder: for its log.
        dsn: of the server.
        sessions: that it keeps on the server.
    """
    program = shutil.which("pgbouncer", path=os.pathsep.join((os.environ["PATH"], "/usr/sbin")))
    if program is None:
        lacking("There is no pgbouncer of the distribution: apt-get install pgbouncer.")
    server, user, port = urlsplit(dsn), unprivileged_user(), free_port()
    config = folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n"
        f"morgan = host={server.hostname} port={server.port} dbname={server.path[1:]} user={server.username} "
        f"password={server.password or 'none'}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = transaction\ndefault_pool_size = {sessions}\nmax_client_conn = 200\n"
    )
    if user is not None:
        os.chown(config, user.pw_uid, user.pw_gid)
        let_through(config, user)
    process = ServerProcess.spawn([str(program), str(config)], folder / "pgbouncer.log", user=user)
    pooled = f"postgresql://morgan@127.0.0.1:{port}/morgan"
    for _ in range(400):
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            await (await asyncpg.connect(pooled, statement_cache_size=0)).close()
            break
        await asyncio.sleep(0.05)
    try:
        yield pooled
    finally:
        await process.stop(signal.SIGINT, 10)


def redis_program() -> str:
    """The distribution's redis-server."""
    program = shutil.which("redis-server")
    if program is None:
        lacking("There is no redis-server of the distribution: apt-get install redis-server.")
    return str(program)


@contextlib.asynccontextmanager
async def redis_server(folder: Path) -> AsyncIterator[str]:
    """A Redis that keeps nothing on disk; its URL."""
    program = redis_program()
    port = free_port()
    config = f'port {port}\nbind 127.0.0.1\nsave ""\ndir {folder}\n'
    process = ServerProcess.spawn([program, "-"], folder / "redis.log", stdin=config.encode())
    url = f"redis://127.0.0.1:{port}/0"
    for _ in range(100):
        with contextlib.suppress(OSError, RedisError):
            async with Redis.from_url(url) as client:
                await client.ping()
            break
        await asyncio.sleep(0.05)
    try:
        yield url
    finally:
        await process.stop(signal.SIGTERM, 5)
