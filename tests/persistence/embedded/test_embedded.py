"""Our own servers: up by themselves, up again after a kill, found again after ours."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from persistence.config import PersistenceConfig
from persistence.data_dir import DataDir
from persistence.embedded.postgres import EmbeddedPostgres
from persistence.embedded.processes import ServerProcess, command_of, unprivileged_user
from persistence.embedded.server import EmbeddedServer
from persistence.embedded.valkey import EmbeddedValkey
from persistence.errors import DataDirInUseError, EmbeddedServerError
from tests.persistence.parts import until

SERVER = """
import asyncio, os, sys
from pathlib import Path
from persistence.config import PersistenceConfig
from persistence.embedded.postgres import EmbeddedPostgres
from persistence.embedded.valkey import EmbeddedValkey

async def main():
    config = PersistenceConfig(Path(sys.argv[1]))
    servers = EmbeddedPostgres(config), EmbeddedValkey(config)
    for server in servers:
        await server.start()
    print("pids", *(server.process.pid for server in servers), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def killed_server(folder: Path, repository: Path) -> list[int]:
    """Start both servers in another process and kill that; returns their pids."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(SERVER), str(folder),
        cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    while not (line := await asyncio.wait_for(process.stdout.readline(), 60)).startswith(b"pids "):
        assert line, "the server ended early"
    process.kill()
    await process.wait()
    return [int(pid) for pid in line.split()[1:]]


@pytest.mark.parametrize("kind", [EmbeddedPostgres, EmbeddedValkey])
async def test_a_server_that_is_killed_comes_back_on_the_same_address(
    kind: type[EmbeddedServer], tmp_path: Path
) -> None:
    server = kind(PersistenceConfig(tmp_path))  # type: ignore[call-arg,arg-type]
    await server.start()
    assert server.process is not None
    port, pid = server.port, server.process.pid
    os.kill(pid, signal.SIGKILL)
    await until(lambda: server.process is not None and server.process.pid != pid)
    for _ in range(100):
        if await server._answers():
            break
        await asyncio.sleep(0.05)
    assert await server._answers()
    assert (server.port, server.restarts) == (port, 1)
    await server.stop()


@pytest.mark.parametrize("kind", [EmbeddedPostgres, EmbeddedValkey])
async def test_a_port_that_is_taken_between_being_found_and_used_is_done_without(
    kind: type[EmbeddedServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = kind(PersistenceConfig(tmp_path))  # type: ignore[call-arg,arg-type]
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        taken = somebody.getsockname()[1]
        monkeypatch.setattr(f"{kind.__module__}.free_port", lambda preferred: taken)
        await server.start()
        try:
            assert server.port != taken
            assert await server._answers()
            assert server._remembered()["port"] == server.port
        finally:
            await server.stop()


async def test_servers_of_a_killed_process_are_taken_over_with_their_data(tmp_path: Path, repository: Path) -> None:
    pids = await killed_server(tmp_path, repository)
    config = PersistenceConfig(tmp_path)
    postgres, valkey = EmbeddedPostgres(config), EmbeddedValkey(config)
    for server, pid in ((postgres, pids[0]), (valkey, pids[1])):
        await server.start()
        assert server.process is not None
        assert (server.process.pid, server.process.adopted) == (pid, True)
    connection = await asyncpg.connect(postgres.dsn)
    assert await connection.fetchval("SELECT current_database() || current_user") == "morganmorgan"
    await connection.close()
    async with Redis.from_url(valkey.url) as client:
        assert await client.ping()
    for server in (postgres, valkey):
        await server.stop()
    assert [command_of(pid) for pid in pids] == [None, None]


async def test_an_orphan_that_hangs_is_replaced(tmp_path: Path, repository: Path) -> None:
    pids = await killed_server(tmp_path, repository)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    config = PersistenceConfig(tmp_path)
    for server, pid in ((EmbeddedPostgres(config, 6.0), pids[0]), (EmbeddedValkey(config, 3.0), pids[1])):
        await server.start()
        assert server.process is not None
        assert server.process.pid != pid
        assert await server._answers()
        await server.stop()


async def test_a_stale_pid_file_with_the_number_of_another_process_does_not_matter(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(PersistenceConfig(tmp_path))
    await postgres.start()
    assert postgres.process is not None
    content = (tmp_path / "postgres" / "postmaster.pid").read_text()
    await postgres.stop()
    lines = content.splitlines()
    other = ServerProcess.spawn(["sleep", "60"], tmp_path / "sleep.log", user=unprivileged_user())
    lines[0] = str(other.pid)
    (tmp_path / "postgres" / "postmaster.pid").write_text("\n".join(lines) + "\n")
    again = EmbeddedPostgres(PersistenceConfig(tmp_path))
    await again.start()
    assert again.process is not None
    assert not again.process.adopted
    await again.stop()
    await other.stop(signal.SIGKILL, 1.0)


async def test_a_lost_password_is_set_anew(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(PersistenceConfig(tmp_path))
    await postgres.start()
    connection = await asyncpg.connect(postgres.dsn)
    await connection.execute("CREATE TABLE kept (x int)")
    await connection.close()
    await postgres.stop()
    (tmp_path / "run" / "postgres.json").unlink()
    again = EmbeddedPostgres(PersistenceConfig(tmp_path))
    await again.start()
    connection = await asyncpg.connect(again.dsn)
    assert await connection.fetchval("SELECT count(*) FROM kept") == 0
    await connection.close()
    await again.stop()


async def test_a_first_start_that_was_cut_short_is_begun_anew(tmp_path: Path) -> None:
    half = tmp_path / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    postgres = EmbeddedPostgres(PersistenceConfig(tmp_path))
    await postgres.start()
    assert await postgres._answers()
    await postgres.stop()


async def test_servers_listen_on_the_loopback_only_and_want_their_password(
    servers: tuple[EmbeddedPostgres, EmbeddedValkey],
) -> None:
    postgres, valkey = servers
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.dsn.replace(postgres._password, "wrong"))
    async with Redis.from_url(f"redis://127.0.0.1:{valkey.port}") as client:
        with pytest.raises(Exception, match="uthenticat"):
            await client.get("x")
    connection = await asyncpg.connect(postgres.dsn)
    assert await connection.fetchval("SHOW listen_addresses") == "127.0.0.1"
    assert await connection.fetchval("SHOW server_version_num") >= "180000"
    await connection.close()
    assert valkey._password not in (command_of(valkey.process.pid) or "") if valkey.process else False


async def test_files_with_passwords_are_ours_alone(servers: tuple[EmbeddedPostgres, EmbeddedValkey]) -> None:
    for server in servers:
        assert stat.S_IMODE(server._state_file.stat().st_mode) == 0o600
        assert "password" in json.loads(server._state_file.read_text())


async def test_data_of_another_major_version_are_refused_with_the_way_out(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(PersistenceConfig(tmp_path))
    await postgres.start()
    await postgres.stop()
    (tmp_path / "postgres" / "PG_VERSION").write_text("12\n")
    with pytest.raises(EmbeddedServerError, match="pg_dump"):
        await EmbeddedPostgres(PersistenceConfig(tmp_path)).start()


def test_a_data_directory_has_one_user_at_a_time(tmp_path: Path) -> None:
    first = DataDir(tmp_path)
    with pytest.raises(DataDirInUseError, match=str(os.getpid())):
        DataDir(tmp_path)
    first.release()
    second = DataDir(tmp_path)
    assert second.server_id == first.server_id
    second.release()


async def test_first_start_takes_no_minutes(tmp_path: Path) -> None:
    started = time.monotonic()
    postgres = EmbeddedPostgres(PersistenceConfig(tmp_path))
    await postgres.start()
    seconds = time.monotonic() - started
    await postgres.stop()
    assert seconds < 90
