"""Migrations: applied once, by whoever comes first, also as a container's init scripts."""

import asyncio
import shutil
import subprocess

import asyncpg
import pytest

from persistence.errors import MigrationError
from persistence.postgres.schema import FOLDER, Migration, load_migrations, migrate
from tests.conftest import lacking

TABLES = {
    "conversations",
    "messages",
    "streaming_sessions",
    "audio_transcriptions",
    "tts_generations",
    "user_preferences",
    "system_metrics",
}


async def test_processes_that_start_together_apply_each_file_once(dsn: str) -> None:
    connections = [await asyncpg.connect(dsn) for _ in range(4)]
    applied = await asyncio.gather(*(migrate(each) for each in connections))
    assert sum(applied) == len(load_migrations())
    rows = await connections[0].fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert {row["tablename"] for row in rows} == TABLES
    for each in connections:
        await each.close()


async def test_files_that_a_container_ran_are_not_run_again(dsn: str) -> None:
    psql = shutil.which("psql")
    if psql is None:
        lacking("There is no psql.")
    for path in sorted(FOLDER.glob("*.sql")):
        done = subprocess.run(  # noqa: ASYNC221
            [str(psql), "-v", "ON_ERROR_STOP=1", "-q", "-f", str(path), dsn], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    connection = await asyncpg.connect(dsn)
    assert await migrate(connection) == 0
    await connection.close()


async def test_a_database_of_a_newer_morgan_is_left_alone(connection: asyncpg.Connection) -> None:
    await connection.execute("INSERT INTO morgan_meta.migrations (version, name) VALUES (999, 'later')")
    with pytest.raises(MigrationError, match="999"):
        await migrate(connection)


async def test_a_file_that_fails_leaves_nothing_behind(connection: asyncpg.Connection) -> None:
    known = load_migrations()
    broken = Migration(len(known) + 1, "broken", "CREATE TABLE half (x int); SELECT no_such_function();")
    with pytest.raises(MigrationError, match="broken"):
        await migrate(connection, [*known, broken])
    assert await connection.fetchval("SELECT to_regclass('half')") is None
    # The lock is free again.
    assert await migrate(connection) == 0
