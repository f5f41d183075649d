"""A folder that one process at a time may have."""

import contextlib
import os
from pathlib import Path

from filelock import FileLock, Timeout


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
        # Not bound to a thread: servers are started in one and ended in another.
        self._lock = FileLock(path, mode=0o600, timeout=0, thread_local=False)
        try:
            self._lock.acquire()
        except Timeout:
            holder = ""
            with contextlib.suppress(OSError):
                holder = path.read_text(errors="replace")[:20].strip()
            raise FolderLockedError(holder or "unknown") from None
        path.write_text(f"{os.getpid()}\n")

    def release(self) -> None:
        """Let others have it."""
        self._lock.release()
