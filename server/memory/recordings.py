"""Recordings of calls on disk: begun with a call, listed with its conversation, gone with it.

    <data-dir>/recordings/<digest of the user id>/<conversation id>/<time>-<call id>.ogg
    <data-dir>/recordings/<digest of the user id>/<conversation id>/<call id>.inputs.jsonl

Folders and files can be read by Morgan's own user alone. What is there is told by the folders, not by the database: a
recording of a call whose rows still wait in the journal is deleted all the same. Where there are keys, files are sealed
(`media.sealed_file`) as they are written; those of before stay as they were.
"""

import asyncio
import contextlib
import hashlib
import re
import shutil
import time
import weakref
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog

from media.recording import Recorder, Recording
from media.recording_file import duration_s
from media.sealed_file import SealedFileError, SealingKeys, rewrap
from server.memory.input_file import InputFile

FOLDER = "recordings"

NAME = re.compile(r"(\d{8}T\d{6}Z)-(call_[0-9a-f]{1,64})\.ogg")
CALL_ID = re.compile(r"call_[0-9a-f]{1,64}")
INPUTS = ".inputs.jsonl"
EMPTY_S = 3600.0
"""A folder that nothing has changed in for so long is not one that a recording was just made for."""

TIME = "%Y%m%dT%H%M%SZ"

log = structlog.get_logger(__name__)


class Recordings:
    """All recordings of this server.

    Args:
        data_dir: they are in a folder of it, which the first of them makes.
        enabled: whether calls are recorded; those that there are can be heard and deleted in any case.
        keys: that seal and open them.
        keep_s: age at which they go; None: with their conversation only.

    Attributes:
        expired: files that went for their age since the start.
    """

    store, part = "recordings", "files"

    def __init__(
        self, data_dir: Path, *, enabled: bool, keys: SealingKeys | None = None, keep_s: float | None = None
    ) -> None:
        self.enabled = enabled
        self.keys = keys
        self.expired = 0
        self._keep_s = keep_s
        self._root = data_dir / FOLDER
        self._recorder: Recorder | None = None
        self._running: weakref.WeakSet[Recording] = weakref.WeakSet()
        self._inputs: weakref.WeakSet[InputFile] = weakref.WeakSet()
        self._input_writer: ThreadPoolExecutor | None = None

    def begin(self, user_id: str, conversation_id: str, call_id: str) -> Recording | None:
        """Record a call from now on; None where calls are not recorded."""
        if not self.enabled:
            return None
        if self._recorder is None:
            self._recorder = Recorder(self.keys)
        name = f"{datetime.now(tz=UTC).strftime(TIME)}-{call_id}.ogg"
        recording = self._recorder.begin(self._folder(user_id, UUID(conversation_id)) / name)
        self._running.add(recording)
        return recording

    def begin_inputs(self, user_id: str, conversation_id: str, call_id: str) -> InputFile:
        """A file that takes down the inputs of a call, see `pipeline.call.replay`."""
        if self._input_writer is None:
            self._input_writer = ThreadPoolExecutor(1, "morgan-inputs")
        path = self._folder(user_id, UUID(conversation_id)) / f"{call_id}{INPUTS}"
        file = InputFile(path, self._input_writer, self.keys)
        self._inputs.add(file)
        return file

    async def find_inputs(self, user_id: str, conversation_id: UUID, call_id: str) -> Path | None:
        """The file of a call's inputs; None where there is none."""
        path = self._folder(user_id, conversation_id) / f"{call_id}{INPUTS}"
        known = CALL_ID.fullmatch(call_id) is not None and await asyncio.to_thread(path.is_file)
        return path if known else None

    async def list(self, user_id: str, conversation_id: UUID) -> list[dict[str, Any]]:
        """The recordings of a conversation, oldest first: name, call_id, started_at, duration_s, bytes."""
        return await asyncio.to_thread(_listed, self._folder(user_id, conversation_id), self.keys)

    async def find(self, user_id: str, conversation_id: UUID, name: str) -> Path | None:
        """The file of a recording; None where there is none of that name."""
        folder = self._folder(user_id, conversation_id)
        known = NAME.fullmatch(name) is not None and await asyncio.to_thread((folder / name).is_file)
        return folder / name if known else None

    async def count(self, user_id: str) -> int:
        """How many files there are of a user."""
        return await asyncio.to_thread(lambda: sum(1 for _ in _files(self._folder(user_id, None))))

    async def sweep(self) -> None:
        """Delete what is too old, but for what is being written, and put the rest under the current key."""
        running = {each.path for each in self._running if not each.ended.done()}
        running |= {each.path for each in self._inputs if not each.closed}
        self.expired += await asyncio.to_thread(self._sweep, running)

    def _sweep(self, running: set[Path]) -> int:
        gone = 0
        before = float("-inf") if self._keep_s is None else time.time() - self._keep_s
        for path in _files(self._root):
            try:
                if path in running:
                    continue
                if path.stat().st_mtime < before:
                    path.unlink()
                    gone += 1
                elif self.keys is not None:
                    rewrap(path, self.keys)
            except FileNotFoundError:
                continue  # deleted meanwhile
            except (OSError, SealedFileError) as error:
                log.warning("recording not swept", file=path.name, problem=str(error))
        if gone:
            log.info("recordings swept for age", count=gone)
        _remove_empty(self._root)
        return gone

    async def delete(self, user_id: str, conversation_id: UUID | None = None) -> None:
        """Delete the recordings of a conversation, or (without one) all of a user; those that run end."""
        folder = self._folder(user_id, conversation_id)
        for recording in [each for each in self._running if each.path.is_relative_to(folder)]:
            recording.close()
            await asyncio.wrap_future(recording.ended)
        for file in [each for each in self._inputs if each.path.is_relative_to(folder)]:
            await file.close()
        await asyncio.to_thread(_remove, folder)

    def figures(self) -> Mapping[str, float]:
        """`running` recordings, and frames `dropped` from them because the disk was too slow."""
        running = [each for each in self._running if not each.ended.done()]
        return {"running": len(running), "dropped": sum(each.dropped for each in running)}

    async def close(self) -> None:
        """Finish all files."""
        if self._recorder is not None:
            await asyncio.to_thread(self._recorder.close)
            self._recorder = None
        if self._input_writer is not None:
            await asyncio.to_thread(self._input_writer.shutdown)
            self._input_writer = None

    def _folder(self, user_id: str, conversation_id: UUID | None) -> Path:
        # A user id may hold anything, a digest of it is a name for a folder.
        user = self._root / hashlib.sha256(user_id.encode()).hexdigest()[:32]
        return user if conversation_id is None else user / str(conversation_id)


def _files(folder: Path) -> Iterator[Path]:
    """Recordings and inputs in a folder and below."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _remove_empty(root: Path) -> None:
    """Remove folders of conversations and of users in which nothing is left, and nothing just begins."""
    for folder in (*root.glob("*/*/"), *root.glob("*/")):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > EMPTY_S:
                folder.rmdir()


def _length_s(path: Path, keys: SealingKeys | None) -> float:
    """Seconds of a recording; 0 where its key is gone."""
    try:
        return round(duration_s(path, keys), 3)
    except SealedFileError as error:
        log.warning("recording cannot be opened", file=path.name, problem=str(error))
        return 0.0


def _listed(folder: Path, keys: SealingKeys | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.ogg")):
        named = NAME.fullmatch(path.name)
        if named is None:
            continue
        began = datetime.strptime(named[1], TIME).replace(tzinfo=UTC)
        found.append(
            {
                "name": path.name,
                "call_id": named[2],
                "started_at": began.isoformat(),
                "duration_s": _length_s(path, keys),
                "bytes": path.stat().st_size,
            }
        )
    return found


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
        log.info("recordings deleted", folder=folder.name)
