"""Stamps of checked files, by which one is known to be right without reading it again.

Beside the files of a model lies `.verified.json` with the size and modification time that each had when its sha256
was last computed. A start then costs a `stat` per file in place of hashing hundreds of megabytes.
"""

import contextlib
import hashlib
import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.models.manifest import Model, ModelFile

STAMP_NAME = ".verified.json"
_BLOCK = 1 << 20

FileState = Literal["ok", "missing", "corrupt"]


@dataclass(frozen=True, slots=True)
class FileReport:
    """What is on disk in place of one file of a model.

    Attributes:
        model: id of the model.
        file: the manifest's entry.
        state: "ok", "missing", or "corrupt" (another size or sha256).
        detail: for people; empty when ok.
    """

    model: str
    file: ModelFile
    state: FileState
    detail: str = ""


def sha256_of(path: Path) -> str:
    """The sha256 of a file as hexadecimal digits. Reads it in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


class StampBook:
    """The verified files of one model folder.

    Args:
        folder: the model's folder; need not exist, and may be read-only (stamps then live as long as the object).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamps: dict[str, list[int | str]] | None = None

    def check(self, model: Model, *, read_again: bool = False) -> list[FileReport]:
        """The state of every file of the model.

        Args:
            model: what should be there.
            read_again: hash every file, whatever the stamps say.
        """
        stamps = self._load()
        before = dict(stamps)
        reports = [self._check_file(model.id, file, stamps, read_again=read_again) for file in model.files]
        if stamps != before:
            self._save(stamps)
        return reports

    def record(self, file: ModelFile) -> None:
        """Note that a file which was just put there has the right sha256.

        Raises:
            OSError: it is not there.
        """
        status = (self._folder / file.path).stat()
        stamps = self._load()
        stamps[file.path] = [status.st_size, status.st_mtime_ns, file.sha256]
        self._save(stamps)

    def _check_file(
        self, model_id: str, file: ModelFile, stamps: dict[str, list[int | str]], *, read_again: bool
    ) -> FileReport:
        path = self._folder / file.path
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            stamps.pop(file.path, None)
            return FileReport(model_id, file, "missing", "is not there")
        if status.st_size != file.size:
            stamps.pop(file.path, None)
            return FileReport(model_id, file, "corrupt", f"has {status.st_size:,} bytes in place of {file.size:,}")
        stamp: list[int | str] = [status.st_size, status.st_mtime_ns, file.sha256]
        if not read_again and stamps.get(file.path) == stamp:
            return FileReport(model_id, file, "ok")
        found = sha256_of(path)
        if found != file.sha256:
            stamps.pop(file.path, None)
            detail = f"has sha256 {found[:12]}... in place of {file.sha256[:12]}..."
            return FileReport(model_id, file, "corrupt", detail)
        stamps[file.path] = stamp
        return FileReport(model_id, file, "ok")

    def _load(self) -> dict[str, list[int | str]]:
        if self._stamps is None:
            self._stamps = {}
            # A stamp file that is gone, cut off or foreign only means that the files are hashed once more.
            with contextlib.suppress(OSError, ValueError):
                data = json.loads((self._folder / STAMP_NAME).read_text("utf-8"))
                if isinstance(data, dict):
                    self._stamps = data
        return self._stamps

    def _save(self, stamps: dict[str, list[int | str]]) -> None:
        if not self._folder.is_dir():
            return
        temporary = self._folder / f"{STAMP_NAME}.{os.getpid()}.{threading.get_ident()}"
        # The folder of weights may be mounted read-only; the stamps are then kept in memory alone.
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(stamps, indent=1, sort_keys=True), "utf-8")
            temporary.replace(self._folder / STAMP_NAME)
