"""A file system of some megabytes that can be filled to the last byte."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path


class SmallDisk:
    """A folder on a file system of its own.

    Args:
        folder: where it is mounted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    @classmethod
    @contextlib.contextmanager
    def mounted(cls, folder: Path, megabytes: int = 64) -> Iterator["SmallDisk"]:
        """Mount it; needs the right to (root).

        Raises:
            subprocess.CalledProcessError: it cannot be mounted here.
        """
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "morgan-bench", folder], check=True)
        try:
            yield cls(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)

    def fill(self) -> None:
        """Leave no byte free."""
        with contextlib.suppress(OSError), self._filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(65_536))
        with contextlib.suppress(OSError), self._filler.open("ab", buffering=0) as file:
            while True:
                file.write(b"\0")

    def empty(self) -> None:
        """Give the room back."""
        self._filler.unlink(missing_ok=True)
