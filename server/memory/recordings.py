"""Recordings of calls on disk: begun with a call, listed with its conversation, gone with it.

    <data-dir>/recordings/<digest of the user id>/<conversation id>/<time>-<call id>.ogg

Folders and files can be read by Morgan's own user alone. What is there is told by the folders, not by the database: a
recording of a call whose rows still wait in the journal is deleted all the same.
"""

import asyncio
import hashlib
import re
import shutil
import weakref
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog

from media.recording import Recorder, Recording
from media.recording_file import duration_s

FOLDER = "recordings"

NAME = re.compile(r"(\d{8}T\d{6}Z)-(call_[0-9a-f]{1,64})\.ogg")
TIME = "%Y%m%dT%H%M%SZ"

log = structlog.get_logger(__name__)


class Recordings:
    """All recordings of this server.

    Args:
        data_dir: they are in a folder of it, which the first of them makes.
        enabled: whether calls are recorded; those that there are can be heard and deleted in any case.
    """

    def __init__(self, data_dir: Path, *, enabled: bool) -> None:
        self.enabled = enabled
        self._root = data_dir / FOLDER
        self._recorder: Recorder | None = None
        self._running: weakref.WeakSet[Recording] = weakref.WeakSet()

    def begin(self, user_id: str, conversation_id: str, call_id: str) -> Recording | None:
        """Record a call from now on; None where calls are not recorded."""
        if not self.enabled:
            return None
        if self._recorder is None:
            self._recorder = Recorder()
        name = f"{datetime.now(tz=UTC).strftime(TIME)}-{call_id}.ogg"
        recording = self._recorder.begin(self._folder(user_id, UUID(conversation_id)) / name)
        self._running.add(recording)
        return recording

    async def list(self, user_id: str, conversation_id: UUID) -> list[dict[str, Any]]:
        """The recordings of a conversation, oldest first: name, call_id, started_at, duration_s, bytes."""
        return await asyncio.to_thread(_listed, self._folder(user_id, conversation_id))

    async def find(self, user_id: str, conversation_id: UUID, name: str) -> Path | None:
        """The file of a recording; None where there is none of that name."""
        folder = self._folder(user_id, conversation_id)
        known = {each["name"] for each in await asyncio.to_thread(_listed, folder)}
        return folder / name if name in known else None

    async def delete(self, user_id: str, conversation_id: UUID | None = None) -> None:
        """Delete the recordings of a conversation, or (without one) all of a user; those that run end."""
        folder = self._folder(user_id, conversation_id)
        for recording in [each for each in self._running if each.path.is_relative_to(folder)]:
            recording.close()
            await asyncio.wrap_future(recording.ended)
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

    def _folder(self, user_id: str, conversation_id: UUID | None) -> Path:
        # A user id may hold anything, a digest of it is a name for a folder.
        user = self._root / hashlib.sha256(user_id.encode()).hexdigest()[:32]
        return user if conversation_id is None else user / str(conversation_id)


def _listed(folder: Path) -> list[dict[str, Any]]:
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
                "duration_s": round(duration_s(path), 3),
                "bytes": path.stat().st_size,
            }
        )
    return found


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
        log.info("recordings deleted", folder=folder.name)
