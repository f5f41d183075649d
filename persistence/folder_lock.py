"""A folder that one process at a time may have."""

import fcntl
import os
from pathlib import Path


class FolderLockedError(Exception):
    """Another process has the folder; the message is its id, or "unknown"."""


class FolderLock:
    """Holds a lock file; the kernel gives it back when the process ends, however it ends.

    Args:
        path: of the lock file, whose folder must be there.

    Raises:
        FolderLockedError: another process holds it.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._file, 20).decode(errors="replace").strip()
            os.close(self._file)
            raise FolderLockedError(holder or "unknown") from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others have it."""
        os.close(self._file)
