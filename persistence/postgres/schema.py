"""Brings a database to the schema that this version needs: numbered SQL files, each applied once.

The files record themselves in `morgan_meta.migrations`, because a container applies them without us. Processes that
start at the same time wait for each other on an advisory lock.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import structlog

from persistence.errors import MigrationError
from persistence.postgres.outages import OUTAGES

log = structlog.get_logger(__name__)

FOLDER = Path(__file__).parent / "migrations"

ADVISORY_LOCK = 0x4D6F_7267_616E
"""Key of the lock: "Morgan"."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    version: int
    name: str
    sql: str


def load_migrations(folder: Path = FOLDER) -> list[Migration]:
    """The files of a folder in order.

    Raises:
        MigrationError: the numbers are not 1, 2, 3...
    """
    found: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        number, _, name = path.stem.partition("_")
        if not number.isdigit() or int(number) != len(found) + 1:
            raise MigrationError(f"{path.name} does not follow number {len(found)}")
        found.append(Migration(int(number), name, path.read_text(encoding="utf-8")))
    return found


async def migrate(connection: Any, migrations: list[Migration] | None = None) -> int:
    """Apply what is missing, each file in a transaction of its own.

    Returns:
        how many were applied.

    Raises:
        MigrationError: the database is of a newer Morgan, or a file failed (its transaction is rolled back).
    """
    migrations = load_migrations() if migrations is None else migrations
    await connection.execute("SELECT pg_advisory_lock($1)", ADVISORY_LOCK)
    try:
        there = await _versions(connection)
        if unknown := there - {migration.version for migration in migrations}:
            raise MigrationError(
                f"the database has schema version {max(unknown)}, this Morgan knows {len(migrations)}: upgrade Morgan"
            )
        missing = [migration for migration in migrations if migration.version not in there]
        for migration in missing:
            await _apply(connection, migration)
        return len(missing)
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", ADVISORY_LOCK)


async def _apply(connection: Any, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            if migration.version not in await _versions(connection):
                raise MigrationError(f"migration {migration.version} does not record itself")
    except OUTAGES:
        raise
    except asyncpg.PostgresError as error:
        raise MigrationError(f"migration {migration.version} ({migration.name}): {error}") from error
    log.info("migration applied", version=migration.version, name=migration.name)


async def _versions(connection: Any) -> set[int]:
    if await connection.fetchval("SELECT to_regclass('morgan_meta.migrations')") is None:
        return set()
    return {row["version"] for row in await connection.fetch("SELECT version FROM morgan_meta.migrations")}
