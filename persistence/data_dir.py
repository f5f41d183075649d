"""The data directory: one process at a time keeps its journal in it."""

import contextlib
import fcntl
import os
import uuid
from pathlib import Path

from persistence.errors import DataDirInUseError
from persistence.processes import write_private


class DataDir:
    """Holds the lock on a data directory; the kernel gives it back when the process ends, however it ends.

    Args:
        folder: made if missing.

    Raises:
        DataDirInUseError: another process holds it.
    """

    def __init__(self, folder: Path) -> None:
        run = folder / "run"
        run.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(run / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._lock, 20).decode(errors="replace").strip()
            os.close(self._lock)
            raise DataDirInUseError(
                f"{folder} is in use by process {holder or 'unknown'}; give each server a data directory of its own"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        self.environment_file = run / "environment.json"
        self.server_id = self._server_id(run / "server-id")

    def release(self) -> None:
        """Let others have it."""
        self.environment_file.unlink(missing_ok=True)
        os.close(self._lock)

    def _server_id(self, path: Path) -> str:
        with contextlib.suppress(OSError):
            if known := path.read_text().strip():
                return known
        made = uuid.uuid4().hex
        write_private(path, made + "\n")
        return made
