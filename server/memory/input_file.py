"""A file that takes down the inputs of one call: lines wait in memory and are written in a thread, several at once."""

import asyncio
import os
import shutil
import threading
import time
from concurrent.futures import Executor
from pathlib import Path

import structlog

from media.sealed_file import SealedWriter, SealingKeys
from server.bounds import MAX_INPUTS_WAITING

BATCH = 64 * 1024
"""Bytes that are written at once;"""

BATCH_S = 2.0
"""fewer of them after so many seconds."""

MIN_FREE_BYTES = 256 * 1024 * 1024
"""A disk with less room than this is left to the journal and the databases."""

log = structlog.get_logger(__name__)


class InputFile:
    """Lines on their way to disk.

    Args:
        path: of the file, which is made, readable by us alone.
        executor: its one thread writes them, in order.
        keys: that seal it; None leaves it plain.

    Attributes:
        path: of the file.
        failed: the disk would not take it; nothing is written any more.
        closed: nothing more is taken.
    """

    def __init__(self, path: Path, executor: Executor, keys: SealingKeys | None = None) -> None:
        self.path = path
        self.failed = False
        self._executor = executor
        self._keys = keys
        self._sealed: SealedWriter | None = None
        self._lock = threading.Lock()
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._written_at = time.monotonic()
        self.closed = False

    def add(self, line: bytes) -> bool:
        """Take a line; False where too much waits, or the disk has failed. Does not block."""
        if self.closed or self.failed or self._bytes + len(line) > MAX_INPUTS_WAITING:
            return False
        with self._lock:
            self._waiting.append(line)
            self._bytes += len(line)
        now = time.monotonic()
        if self._bytes >= BATCH or now - self._written_at >= BATCH_S:
            self._written_at = now
            self._executor.submit(self._write)
        return True

    async def close(self) -> None:
        """Write what waits; returns when it is on disk. Nothing more is taken."""
        self.closed = True
        await asyncio.get_running_loop().run_in_executor(self._executor, self._finish)

    def _finish(self) -> None:
        self._write()
        if self._sealed is None:
            return
        try:
            self._sealed.close()
        except OSError as error:
            log.error("the end of recorded inputs is lost", file=self.path.name, problem=str(error))

    def _write(self) -> None:
        with self._lock:
            lines, self._waiting, self._bytes = self._waiting, [], 0
        if not lines or self.failed:
            return
        try:
            self._append(lines)
        except OSError as error:
            self.failed = True
            log.error("inputs are not recorded any more", file=self.path.name, problem=str(error))

    def _append(self, lines: list[bytes]) -> None:
        folders = (self.path.parent, *self.path.parent.parents)
        for folder in reversed([each for each in folders if not each.exists()]):
            folder.mkdir(mode=0o700, exist_ok=True)
        if shutil.disk_usage(self.path.parent).free < MIN_FREE_BYTES:
            raise OSError("the disk is nearly full")
        if self._keys is not None:
            self._sealed = self._sealed or SealedWriter(self.path, self._keys)
            self._sealed.write(b"".join(lines))
            return
        with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as file:
            file.writelines(lines)
