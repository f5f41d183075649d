"""Brings a database to the schema that this version needs: numbered SQL files, each applied once.

The files record themselves in `morgan_meta.migrations`, because a container applies them without us. Processes that
start at the same time wait for each other on an advisory lock, which ends with its transaction: one that belonged to a
session would stay with the client that a pooler lends that session to next.
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
    applied = 0
    while await _apply_next(connection, migrations):
        applied += 1
    return applied


async def _apply_next(connection: Any, migrations: list[Migration]) -> bool:
    """Apply the first that is missing; whether there was one."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", ADVISORY_LOCK)
        there = await _versions(connection)
        if unknown := there - {migration.version for migration in migrations}:
            raise MigrationError(
                f"the database has schema version {max(unknown)}, this Morgan knows {len(migrations)}: upgrade Morgan"
            )
        migration = next((each for each in migrations if each.version not in there), None)
        if migration is None:
            return False
        try:
            await connection.execute(migration.sql)
        except OUTAGES:
            raise
        except asyncpg.PostgresError as error:
            raise MigrationError(f"migration {migration.version} ({migration.name}): {error}") from error
        if migration.version not in await _versions(connection):
            raise MigrationError(f"migration {migration.version} does not record itself")
    log.info("migration applied", version=migration.version, name=migration.name)
    return True


async def _versions(connection: Any) -> set[int]:
    if await connection.fetchval("SELECT to_regclass('morgan_meta.migrations')") is None:
        return set()
    return {row["version"] for row in await connection.fetch("SELECT version FROM morgan_meta.migrations")}
