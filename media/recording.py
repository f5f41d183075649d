"""Recordings of calls: what both sides heard goes into a queue on the loop, and from there, in a thread, onto disk."""

import contextlib
import errno
import os
import queue
import shutil
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
import structlog

from media.recording_file import OggOpusFile
from media.recording_timeline import StereoTimeline
from media.sealed_file import SealingKeys
from media.values import FRAME_S, RECEIVE_RATE, SEND_RATE, Pcm

log = structlog.get_logger(__name__)

MAX_WAITING = 10_000
"""Frames that may wait for the thread: 100 s of one call, 6 s of 16. What comes on top is recorded as silence."""

WRITE_S = 0.25
"""The thread sleeps this long between two rounds: many frames at once cost less than one at a time."""

NICE = 5

MIN_FREE_BYTES = 256 * 1024 * 1024
"""A disk with less room than this is left to the journal and the databases."""


_SILENCE: Pcm = np.zeros(round(SEND_RATE * FRAME_S), np.int16)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Audio of one side of a recording; `pcm` is None at its end."""

    recording: "Recording"
    heard: bool
    pcm: Pcm | None
    at: float


class Recording:
    """One call being recorded; implements `media.values.AudioTap`. Made by `Recorder.begin`.

    Attributes:
        path: of the file.
        ended: set when the file is finished (or given up).
        dropped: frames that found the queue full.
    """

    def __init__(self, recorder: "Recorder", path: Path) -> None:
        self.path = path
        self.ended: Future[None] = Future()
        self.dropped = 0
        self._recorder = recorder
        self._closed = False

    def on_heard(self, pcm: Pcm, at: float) -> None:
        """The far end said this."""
        self._put(True, pcm, at)

    def on_said(self, pcm: Pcm | None, at: float) -> None:
        """This went out to the far end; None is silence."""
        self._put(False, _SILENCE if pcm is None else pcm, at)

    def close(self) -> None:
        """Nothing more comes; the file is finished when `ended` is set."""
        if not self._closed:
            self._closed = True
            self._recorder.put_end(_Piece(self, True, None, 0.0))

    def _put(self, heard: bool, pcm: Pcm, at: float) -> None:
        if self._closed or self._recorder.put(_Piece(self, heard, pcm, at)):
            return
        self.dropped += 1
        if self.dropped == 1:
            log.warning("recording falls behind, frames are left out", file=self.path.name)


class Recorder:
    """The thread that writes all recordings of a process, and the bounded queue in front of it.

    Args:
        keys: that seal the files; None leaves them plain.
    """

    def __init__(self, keys: SealingKeys | None = None) -> None:
        self._keys = keys
        self._queue: queue.SimpleQueue[_Piece | None] = queue.SimpleQueue()
        self._writers: dict[Recording, _Writer | None] = {}
        self._thread = threading.Thread(target=self._run, name="morgan-recorder", daemon=True)
        self._thread.start()

    def begin(self, path: Path) -> Recording:
        """Begin a recording; the file comes with its first audio.

        Args:
            path: of the file; its folder is made, readable by us alone.
        """
        return Recording(self, path)

    def put(self, piece: _Piece) -> bool:
        """Take a piece; False when too much waits."""
        if self._queue.qsize() >= MAX_WAITING:
            return False
        self._queue.put(piece)
        return True

    def put_end(self, piece: _Piece) -> None:
        """Take the end of a recording, however much waits: there is one for each."""
        self._queue.put(piece)

    def close(self) -> None:
        """Write what waits, finish all files and end the thread; blocks for as long as the disk takes."""
        self._queue.put(None)
        self._thread.join()

    # In the thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while self._round():
            time.sleep(WRITE_S)
        for recording in list(self._writers):
            self._finish(recording)

    def _round(self) -> bool:
        """Lay down and write what waits; False at the end."""
        pieces = [self._queue.get()]
        with contextlib.suppress(queue.Empty):
            while len(pieces) < MAX_WAITING:
                pieces.append(self._queue.get_nowait())
        touched: set[Recording] = set()
        for piece in pieces:
            if piece is None:
                return False
            if piece.pcm is None:
                self._finish(piece.recording)
                touched.discard(piece.recording)
            elif not piece.recording.ended.done() and self._lay_down(piece, piece.pcm):
                touched.add(piece.recording)
        for recording in touched:
            self._write(recording)
        return True

    # An error of whatever kind ends the recording that it is about: the thread has those of all calls to write.

    def _lay_down(self, piece: _Piece, pcm: Pcm) -> bool:
        """Put a piece in its place; False where the recording has ended with it."""
        recording = piece.recording
        if recording not in self._writers:
            self._writers[recording] = self._open(recording, piece.at - FRAME_S)
        writer = self._writers[recording]
        try:
            if writer is not None:
                timeline = writer.timeline
                timeline.add(timeline.left if piece.heard else timeline.right, pcm, piece.at)
        except Exception as error:
            self._give_up(recording, error)
            return False
        return True

    def _open(self, recording: Recording, began: float) -> "_Writer | None":
        try:
            _make_private(recording.path.parent)
            return _Writer(OggOpusFile(recording.path, self._keys), began)
        except Exception as error:
            _log("call is not recorded", recording, error)
            return None

    def _write(self, recording: Recording) -> None:
        writer = self._writers.get(recording)
        if writer is None:
            return
        try:
            writer.write()
        except Exception as error:
            self._give_up(recording, error)

    def _give_up(self, recording: Recording, error: Exception) -> None:
        """Keep what is on disk, and write no more."""
        _log("recording ends early", recording, error)
        self._finish(recording)
        recording.close()

    def _finish(self, recording: Recording) -> None:
        writer = self._writers.pop(recording, None)
        try:
            if writer is not None:
                writer.finish()
        except Exception as error:
            _log("recording could not be finished", recording, error)
        finally:
            if not recording.ended.done():
                recording.ended.set_result(None)
        if recording.dropped:
            log.warning("recording has holes", file=recording.path.name, frames=recording.dropped)


class _Writer:
    """A file, what is laid down for it, and the way from the one to the other."""

    def __init__(self, file: OggOpusFile, began: float) -> None:
        self.timeline = StereoTimeline(began, RECEIVE_RATE, SEND_RATE)
        self._file = file
        self._upward = soxr.ResampleStream(RECEIVE_RATE, SEND_RATE, 1, dtype="int16")
        self._right: list[Pcm] = []

    def write(self) -> None:
        """Write what is certain.

        Raises:
            OSError: the disk is full, or nearly.
        """
        if shutil.disk_usage(self._file.path).free < MIN_FREE_BYTES:
            raise OSError(errno.ENOSPC, f"less than {MIN_FREE_BYTES >> 20} MiB are free")
        self._append(last=False)

    def finish(self) -> None:
        """Write the rest."""
        try:
            self._append(last=True)
        finally:
            self._file.close()

    def _append(self, *, last: bool) -> None:
        left, right = self.timeline.take(everything=last)
        # The resampler holds some samples back; the right side waits for them, so that the two stay together.
        raised = self._upward.resample_chunk(left, last=last)
        self._right.append(right)
        both = np.concatenate(self._right)
        if last:
            raised = np.pad(raised, (0, max(len(both) - len(raised), 0)))[: len(both)]
        self._right = [both[len(raised) :]]
        self._file.write(raised, both[: len(raised)])


def _log(what: str, recording: Recording, error: Exception) -> None:
    """Tell of an error; of one that is not the disk's, where it comes from too."""
    trace = None if isinstance(error, OSError) else error
    log.error(what, file=recording.path.name, problem=str(error), exc_info=trace)


def _make_private(folder: Path) -> None:
    """Make a folder and those above it that are missing; `Path.mkdir` gives its mode to the last one alone."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
