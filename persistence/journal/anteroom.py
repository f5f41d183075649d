"""What was recorded a moment ago and is not in the journal's file yet, kept where a kill of the process cannot take it.

A piece of memory that the kernel holds for us (a file in /dev/shm): to copy a record into it takes microseconds and
never waits for a disk, so it is done on the event loop, before the journal's thread has had its turn. The next start
takes out what the journal lacks. Where there is no such memory, a kill costs what the thread had not come to: some
milliseconds, more on a machine that is overloaded. A power cut, or the end of a container, empties it.
"""

import contextlib
import hashlib
import mmap
import os
from pathlib import Path
from uuid import UUID

import structlog

from persistence.journal.frames import Frame, pack, unpack

log = structlog.get_logger(__name__)

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - others may make files there, so ours is checked for being ours
ROOM_BYTES = 1024 * 1024
"""Some 2,000 turns; what comes while it is full is as safe as without it."""

ID_BYTES = 16


class Anteroom:
    """Holds frames from when they are recorded until the journal's file has them.

    Args:
        folder: of the journal; each has a room of its own.
        memory: where rooms are.
    """

    def __init__(self, folder: Path, memory: Path = SHARED_MEMORY) -> None:
        digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]
        self._path = memory / f"morgan-{os.geteuid()}-{digest}"
        self._room: mmap.mmap | None = None
        self._end = 0
        try:
            self._room = _map(self._path)
        except OSError as error:
            log.info("no shared memory, a kill may cost the last milliseconds", problem=str(error))

    def left(self, journal: UUID, last: int) -> list[Frame]:
        """What an earlier run left and the journal lacks, in order.

        Args:
            journal: its id; what was left for another is not taken in.
            last: number of the journal's last record.
        """
        if self._room is None or self._room[:ID_BYTES] != journal.bytes:
            return []
        data, offset, found = self._room[:], ID_BYTES, []
        before: int | None = None
        while (got := unpack(data, offset)) is not None and (before is None or got[0].number == before + 1):
            frame, offset = got
            before = frame.number
            if frame.number > last:
                found.append(frame)
        return found if found and found[0].number == last + 1 else []

    def put(self, journal: UUID, frame: Frame) -> None:
        """Keep a frame, which follows on the one before it."""
        if self._room is None:
            return
        if self._end == 0:
            self._room[:ID_BYTES] = journal.bytes
            self._end = ID_BYTES
        packed = pack(frame)
        if self._end + len(packed) > ROOM_BYTES:
            # A gap would end what can be taken out: nothing more until the room is empty.
            self._end = ROOM_BYTES
            return
        self._room[self._end : self._end + len(packed)] = packed
        self._end += len(packed)

    def clear(self) -> None:
        """The journal's file has everything; nothing of it stays here."""
        if self._room is not None and self._end:
            self._room[: self._end] = bytes(self._end)
        self._end = 0

    def close(self) -> None:
        """Give the memory back; everything is in the journal's file."""
        if self._room is not None:
            self._room.close()
            self._room = None
            with contextlib.suppress(OSError):
                self._path.unlink()


def _map(path: Path) -> mmap.mmap:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        found = os.fstat(file)
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise PermissionError(f"{path} is not ours alone")
        # Really there, not promised: memory that is missing when it is written to would end the process.
        os.posix_fallocate(file, 0, ROOM_BYTES)
        return mmap.mmap(file, ROOM_BYTES)
    except AttributeError as error:
        raise OSError(f"this system cannot reserve it: {error}") from None
    finally:
        os.close(file)
