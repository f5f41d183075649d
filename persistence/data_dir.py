"""The data directory: one process at a time keeps its journal in it."""

import contextlib
import uuid
from pathlib import Path

from persistence.embedded.processes import write_private
from persistence.errors import DataDirInUseError
from persistence.folder_lock import FolderLock, FolderLockedError


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
        try:
            self._lock = FolderLock(run / "lock")
        except FolderLockedError as error:
            raise DataDirInUseError(
                f"{folder} is in use by process {error}; give each server a data directory of its own"
            ) from None
        self.environment_file = run / "environment.json"
        self.server_id = self._server_id(run / "server-id")

    def release(self) -> None:
        """Let others have it."""
        self.environment_file.unlink(missing_ok=True)
        self._lock.release()

    def _server_id(self, path: Path) -> str:
        with contextlib.suppress(OSError):
            if known := path.read_text().strip():
                return known
        made = uuid.uuid4().hex
        write_private(path, made + "\n")
        return made
