"""Records that PostgreSQL will never take, kept for people to look at: bounded, gone with their user or their time."""

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from persistence.journal.frames import Frame

REFUSED_BYTES = 8 * 1024 * 1024
"""Of `refused.jsonl`, and one record; then it becomes `refused.jsonl.1`, in place of the one before."""

Record = dict[str, Any]
"""The JSON of a record, see `persistence.journal.operations`."""


class RefusedRecords:
    """The files `refused.jsonl` and `refused.jsonl.1` of a journal. Blocks on the disk.

    Args:
        folder: of the journal.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "refused.jsonl"
        self._older = folder / "refused.jsonl.1"

    def add(self, frame: Frame, reason: str) -> None:
        """Keep a record and why it was refused."""
        now = datetime.now(tz=UTC).isoformat()
        entry = {"number": frame.number, "at": now, "error": reason, "record": json.loads(frame.json)}
        if self._path.exists() and self._path.stat().st_size > REFUSED_BYTES:
            self._path.replace(self._older)
        with os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as file:
            file.write(json.dumps(entry) + "\n")

    def count(self, wanted: Callable[[Record], bool]) -> int:
        """How many records fit."""
        return sum(wanted(record) for path in self._files() for _, _, record in _entries(path))

    def leave_out(self, unwanted: Callable[[Record], bool]) -> int:
        """Write the files anew without the records that fit; returns how many those were."""
        return sum(_rewrite(path, lambda line, at, record: not unwanted(record)) for path in self._files())

    def expire(self, before: datetime) -> int:
        """Write the files anew without what is older; returns how many records those were."""
        return sum(_rewrite(path, lambda line, at, record: at >= before) for path in self._files())

    def _files(self) -> list[Path]:
        return [path for path in (self._older, self._path) if path.exists()]


def _entries(path: Path) -> Iterator[tuple[str, datetime, Record]]:
    """Lines, when they came, and the records in them; what cannot be read is as old as the file."""
    changed = datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            at, record = changed, {}
            try:
                entry = json.loads(line)
                record = dict(entry["record"])
                at = datetime.fromisoformat(entry["at"])
            except (ValueError, TypeError, KeyError):
                pass
            yield line, at, record


def _rewrite(path: Path, keep: Callable[[str, datetime, Record], bool]) -> int:
    entries = list(_entries(path))
    kept = [line for line, at, record in entries if keep(line, at, record)]
    if len(kept) == len(entries):
        return 0
    if not kept:
        path.unlink()
        return len(entries)
    changed = path.stat().st_mtime
    temporary = path.with_suffix(path.suffix + ".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.writelines(kept)
    os.utime(temporary, (changed, changed))
    temporary.replace(path)
    return len(entries) - len(kept)
