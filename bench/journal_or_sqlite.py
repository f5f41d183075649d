"""What a record costs on its way to disk: Morgan's journal beside SQLite. `python -m bench.journal_or_sqlite [FOLDER]`

Records of 400 bytes are written one by one, as calls produce them, in rounds that alternate. Both are asked for the
same safety: what was written survives a crash of the process; a power cut costs the last second ("interval": the
journal's fsync once a second; SQLite in WAL mode with synchronous=NORMAL, whose log is synced at its checkpoints), or
nothing ("always": fsync after each; synchronous=FULL).
"""

import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from persistence.config import FsyncPolicy
from persistence.journal.frames import Frame
from persistence.journal.journal import Journal

RECORD = b'{"' + b"x" * 396 + b'"}'
ROUNDS = 5
COUNTS: dict[FsyncPolicy, int] = {"interval": 4000, "always": 60}


def journal(folder: Path, policy: FsyncPolicy, count: int) -> list[float]:
    """Microseconds of each record, written to the journal."""
    log = Journal(folder / "journal", policy)

    def write(number: int) -> None:
        log.append([Frame(number, RECORD)], time.monotonic())

    first = log.last + 1
    taken = [timed(write, number) for number in range(first, first + count)]
    log.close(time.monotonic())
    return taken


def sqlite(folder: Path, policy: FsyncPolicy, count: int) -> list[float]:
    """Microseconds of each record, inserted in a transaction of its own."""
    database = sqlite3.connect(folder / "journal.sqlite", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute(f"PRAGMA synchronous={'FULL' if policy == 'always' else 'NORMAL'}")
    database.execute("CREATE TABLE IF NOT EXISTS journal (number INTEGER PRIMARY KEY, json BLOB)")

    def write(_: int) -> None:
        database.execute("INSERT INTO journal (json) VALUES (?)", (RECORD,))

    taken = [timed(write, number) for number in range(count)]
    database.close()
    return taken


def timed(write: Callable[[int], None], number: int) -> float:
    began = time.perf_counter()
    write(number)
    return (time.perf_counter() - began) * 1e6


def main() -> None:
    """Print the figures."""
    base = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    print("policy     journal p50, p99 us   sqlite p50, p99 us   sqlite / journal (p50)")
    for policy, count in COUNTS.items():
        taken: dict[Callable[[Path, FsyncPolicy, int], list[float]], list[float]] = {journal: [], sqlite: []}
        with tempfile.TemporaryDirectory(dir=base) as name:
            for number in range(ROUNDS):
                for way in (journal, sqlite) if number % 2 == 0 else (sqlite, journal):
                    taken[way] += way(Path(name), policy, count)
        ours, theirs = sorted(taken[journal]), sorted(taken[sqlite])
        shown = (median(ours), ours[len(ours) * 99 // 100], median(theirs), theirs[len(theirs) * 99 // 100])
        print(
            f"{policy:9}  {shown[0]:9.0f} {shown[1]:9.0f}   {shown[2]:9.0f} {shown[3]:9.0f}   {shown[2] / shown[0]:.2f}"
        )


if __name__ == "__main__":
    main()
