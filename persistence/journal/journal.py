"""The journal on disk: records wait here, in order, until PostgreSQL has them.

An append-only log in segments, each named after the first number in it. What was delivered is remembered in a file of
its own, and segments that hold nothing else go. Not thread-safe, and it blocks on the disk:
`persistence.journal.outbox` keeps it in a thread.
"""

import io
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from persistence.config import FsyncPolicy
from persistence.journal.frames import Frame, frame_size, pack, unpack

log = structlog.get_logger(__name__)

SEGMENT_BYTES = 4 * 1024 * 1024
SEGMENT_S = 3600.0
"""A segment that is older is followed by a new one once `expire` was called: what is too old goes by the segment."""

FSYNC_INTERVAL_S = 1.0


@dataclass(slots=True)
class _Segment:
    """A file of the journal; `last` is the number of its last record, `first - 1` while it is empty.

    `began` is Unix seconds, of the file's last change where an earlier run began it.
    """

    path: Path
    first: int
    last: int
    size: int
    began: float


class Journal:
    """Opens, and where need be repairs, the journal in a folder.

    A torn tail, left by a crash within a write, is cut off. Damage elsewhere (the disk's doing) costs the rest of that
    segment; the file is kept beside the others with the ending `.damaged`.

    Args:
        folder: where the segments are; made if missing.
        fsync: see `PersistenceConfig.journal_fsync`.
        segment_bytes: a segment that reaches this is followed by a new one.
    """

    def __init__(self, folder: Path, fsync: FsyncPolicy = "interval", segment_bytes: int = SEGMENT_BYTES) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._fsync = fsync
        self._segment_bytes = segment_bytes
        self._synced_at = 0.0
        self._dirty = False
        self._folder_dirty = False
        self._ages = False
        self._file: io.FileIO | None = None
        self._read_at: tuple[int, Path, int] | None = None
        self.id, self.delivered = self._read_position()
        self._segments = self._recover()
        self.last = max([self.delivered, *(segment.last for segment in self._segments)])
        self.last_at_open = self.last
        self._remember()
        self._drop_delivered()

    @property
    def unsynced(self) -> bool:
        """Whether `tick` has something to bring to disk, now or later."""
        return self._dirty and self._fsync == "interval"

    @property
    def pending_bytes(self) -> int:
        """Bytes on disk in segments that hold undelivered records."""
        return sum(segment.size for segment in self._segments)

    def append(self, frames: Iterable[Frame], now: float) -> None:
        """Write frames, numbered upwards, at the end.

        On an error whole frames up to `last` are written and count; what got to the file behind them is cut off again.

        Args:
            frames: numbers must go on from `last`.
            now: monotonic seconds, for the fsync interval.

        Raises:
            OSError: the disk is full or gone.
        """
        frames = list(frames)
        while frames:
            segment = self._tail(frames[0].number)
            room = max(self._segment_bytes - segment.size, 1)
            batch, taken = bytearray(), 0
            while taken < len(frames) and (taken == 0 or len(batch) < room):
                batch += pack(frames[taken])
                taken += 1
            self._write(segment, bytes(batch))
            segment.last = self.last = frames[taken - 1].number
            frames = frames[taken:]
        if self._fsync == "always":
            self._sync(now)
        else:
            self.tick(now)

    def tick(self, now: float) -> None:
        """Bring to disk what waits for it, when the interval is over."""
        if self._dirty and self._fsync == "interval" and now - self._synced_at >= FSYNC_INTERVAL_S:
            self._sync(now)

    def read(self, after: int, max_records: int, max_bytes: int) -> list[Frame]:
        """The records that follow number `after`, in order: at least one if there is any."""
        found: list[Frame] = []
        size = 0
        for segment in list(self._segments):
            if segment.last <= after:
                continue
            start = self._known_offset(segment, after)
            with segment.path.open("rb") as file:
                file.seek(start)
                data = file.read(segment.size - start)
            offset = 0
            while (got := unpack(data, offset)) is not None:
                frame, offset = got
                if frame.number <= after:
                    continue
                found.append(frame)
                size += frame_size(frame.json, frame.blob)
                if len(found) >= max_records or size >= max_bytes:
                    self._read_at = (frame.number, segment.path, start + offset)
                    return found
        return found

    def acknowledge(self, number: int) -> None:
        """Records up to `number` are delivered: remember that, and drop segments that hold nothing else."""
        if number <= self.delivered:
            return
        self.delivered = number
        self._remember()
        self._drop_delivered()

    def count(self, wanted: Callable[[Frame], bool]) -> int:
        """How many records on disk, delivered or not, fit."""
        return sum(wanted(frame) for segment in self._segments for frame in self._frames(segment))

    def leave_out(self, unwanted: Callable[[Frame], bool] | None = None) -> int:
        """Write segments anew without the records that are delivered, and without those that fit.

        Returns:
            how many that were not delivered were left out.
        """
        gone = 0
        for segment in list(self._segments):
            if unwanted is None and segment.first > self.delivered:
                continue
            frames = list(self._frames(segment))
            pending = [frame for frame in frames if frame.number > self.delivered]
            kept = [frame for frame in pending if unwanted is None or not unwanted(frame)]
            gone += len(pending) - len(kept)
            if len(kept) < len(frames):
                self._rewrite(segment, kept)
        return gone

    def expire(self, before: float) -> int:
        """Drop segments in which nothing is newer than a time, delivered or not, and damaged ones of that age.

        Args:
            before: Unix seconds.

        Returns:
            how many records were dropped that were not delivered.
        """
        self._ages = True
        gone = 0
        for segment in list(self._segments):
            if segment.path.stat().st_mtime < before:
                gone += sum(frame.number > self.delivered for frame in self._frames(segment))
                self._rewrite(segment, [])
        for path in self._folder.glob("*.damaged"):
            if path.stat().st_mtime < before:
                path.unlink()
        return gone

    def damaged(self) -> list[Path]:
        """Copies of segments that could not be read to their ends."""
        return sorted(self._folder.glob("*.damaged"))

    def close(self, now: float) -> None:
        """Bring everything to disk and let go of it."""
        self._synced_at = now
        self._leave()

    def renumber(self) -> None:
        """Take a new identity: PostgreSQL knows the old one with numbers that this journal has yet to give."""
        self.id = uuid.uuid4()
        self._remember()

    def _remember(self) -> None:
        temporary = self._folder / "position.new"
        with temporary.open("w") as file:
            file.write(f"{self.id} {self.delivered}\n")
            if self._fsync != "never":
                # Or a power cut may leave the new name on an empty file.
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(self._folder / "position")
        self._folder_dirty = True
        self._sync_folder()

    def _read_position(self) -> tuple[uuid.UUID, int]:
        path = self._folder / "position"
        try:
            identity, number = path.read_text().split()
            return uuid.UUID(identity), int(number)
        except FileNotFoundError:
            pass
        except ValueError:
            # What was delivered is delivered again under a new identity; the records' own ids keep it single.
            log.warning("journal position unreadable, starting at the first segment", folder=str(self._folder))
        return uuid.uuid4(), 0

    def _recover(self) -> list[_Segment]:
        paths = sorted(self._folder.glob("*.log"))
        segments: list[_Segment] = []
        reached = 0
        for path in paths:
            data = path.read_bytes()
            segment = _Segment(path, int(path.stem), reached, 0, path.stat().st_mtime)
            while (got := unpack(data, segment.size)) is not None and got[0].number > reached:
                frame, segment.size = got
                reached = segment.last = frame.number
            if segment.size < len(data):
                self._repair(segment, data, torn=path == paths[-1])
            if segment.size:
                segments.append(segment)
            else:
                path.unlink()
        return segments

    def _repair(self, segment: _Segment, data: bytes, *, torn: bool) -> None:
        cut = len(data) - segment.size
        if torn:
            log.warning("journal had a torn tail, cut off", segment=segment.path.name, bytes=cut)
        else:
            segment.path.with_suffix(".damaged").write_bytes(data)
            log.error("journal segment is damaged, kept as .damaged", segment=segment.path.name, bytes=cut)
        with segment.path.open("r+b") as file:
            file.truncate(segment.size)

    def _tail(self, number: int) -> _Segment:
        """The segment to write to, with `_file` open on it."""
        if self._segments and self._segments[-1].size < self._segment_bytes and not self._aged(self._segments[-1]):
            segment = self._segments[-1]
        else:
            segment = _Segment(self._folder / f"{number:020d}.log", number, number - 1, 0, time.time())
            self._leave()
        if self._file is None:
            self._folder_dirty = self._folder_dirty or not segment.path.exists()
            self._file = io.FileIO(segment.path, "ab")
        if not self._segments or self._segments[-1] is not segment:
            self._segments.append(segment)
        return segment

    def _aged(self, segment: _Segment) -> bool:
        return self._ages and time.time() - segment.began > SEGMENT_S

    def _frames(self, segment: _Segment) -> Iterator[Frame]:
        data, offset = segment.path.read_bytes()[: segment.size], 0
        while (got := unpack(data, offset)) is not None:
            frame, offset = got
            yield frame

    def _rewrite(self, segment: _Segment, frames: list[Frame]) -> None:
        """Put a segment with some of its records in its place; without any it goes."""
        if segment is self._segments[-1]:
            self._leave()
        self._read_at = None
        self._folder_dirty = True
        if not frames:
            self._segments.remove(segment)
            segment.path.unlink(missing_ok=True)
        else:
            data = b"".join(pack(frame) for frame in frames)
            temporary = segment.path.with_suffix(".new")
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # Its age is that of what is in it.
            os.utime(temporary, (segment.began, segment.path.stat().st_mtime))
            temporary.replace(segment.path)
            segment.size = len(data)
        self._sync_folder()

    def _write(self, segment: _Segment, data: bytes) -> None:
        assert self._file is not None
        try:
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        except OSError:
            os.ftruncate(self._file.fileno(), segment.size)
            raise
        segment.size += len(data)
        self._dirty = True

    def _leave(self) -> None:
        if self._file is not None:
            if self._fsync != "never" and self._dirty:
                self._sync(self._synced_at)
            self._file.close()
            self._file = None

    def _sync(self, now: float) -> None:
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._sync_folder()
        self._dirty = False
        self._synced_at = now

    def _sync_folder(self) -> None:
        """Bring names to disk: a file without its name is lost, however often its contents were synced."""
        if not self._folder_dirty or self._fsync == "never":
            return
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._folder_dirty = False

    def _known_offset(self, segment: _Segment, after: int) -> int:
        if self._read_at is not None and self._read_at[:2] == (after, segment.path):
            return self._read_at[2]
        return 0

    def _drop_delivered(self) -> None:
        while self._segments and self._segments[0].last <= self.delivered:
            # The last segment is written to: it goes once it is full, or when everything in it is delivered and big.
            if len(self._segments) == 1 and self._segments[0].size < self._segment_bytes // 4:
                return
            gone = self._segments.pop(0)
            if not self._segments:
                self._leave()
            gone.path.unlink(missing_ok=True)
