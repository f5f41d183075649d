"""Stereo Opus in an Ogg file that can be played however its writer ended; sealed, where there are keys."""

import contextlib
import fractions
import os
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from media.sealed_file import SealedReader, SealedWriter, SealingKeys
from media.values import SEND_RATE, Pcm

BITRATE = 48_000
"""Of both sides together, bit/s: 22 MB an hour."""

COMPLEXITY = 0
"""Of the encoder: 0.3 % of a core for a call; at 3 it is 1.1 % for a difference that speech does not show."""

PAGE_US = 500_000
"""Audio in a page of the file, microseconds: what a killed server may owe."""

CLOCK_RATE = 48_000
"""Granule positions count these (RFC 7845 section 4)."""

TAIL_BYTES = 128 * 1024
"""More than the longest page, 65,307 bytes (RFC 3533 section 6)."""


class OggOpusFile:
    """Writes a recording; every page that is full is on disk. Blocks: for a thread of its own.

    Args:
        path: of the new file, which only we can read.
        keys: that seal it; None leaves it plain.

    Raises:
        OSError: it cannot be made, or there is one already.
    """

    def __init__(self, path: Path, keys: SealingKeys | None = None) -> None:
        self.path = path
        self._sealed = None if keys is None else SealedWriter(path, keys)
        if self._sealed is None:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        # A page is written when the next one begins; flush_packets then brings it out of the process.
        options = {"page_duration": str(PAGE_US), "flush_packets": "1"}
        self._container = av.open(self._sealed or str(path), "w", format="ogg", options=options)
        stream = self._container.add_stream("libopus", rate=SEND_RATE, layout="stereo")
        assert isinstance(stream, av.AudioStream)
        stream.bit_rate = BITRATE
        stream.codec_context.options = {
            "application": "audio",
            "frame_duration": "20",
            "compression_level": str(COMPLEXITY),
        }
        self._stream = stream
        self._samples = 0

    def write(self, left: Pcm, right: Pcm) -> None:
        """Append both sides.

        Args:
            left: at `SEND_RATE`, shape (n,).
            right: the same length.

        Raises:
            OSError: the disk is full or gone.
        """
        if not len(left):
            return
        frame = av.AudioFrame.from_ndarray(np.column_stack((left, right)).reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate, frame.time_base = SEND_RATE, fractions.Fraction(1, SEND_RATE)
        frame.pts = self._samples
        self._samples += len(left)
        with _disk_errors():
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finish the file.

        Raises:
            OSError: the disk is full or gone.
        """
        with _disk_errors():
            try:
                self._container.mux(self._stream.encode(None))
            finally:
                self._container.close()
                if self._sealed is not None:
                    self._sealed.close()


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    """What FFmpeg could not do, as what it is: most of its errors are no `OSError`."""
    try:
        yield
    except av.FFmpegError as error:
        raise OSError(error.errno, error.strerror) from error


def duration_s(path: Path, keys: SealingKeys | None = None) -> float:
    """Seconds in an Ogg Opus file, by the position in its last whole page; 0 where there is none.

    Raises:
        OSError: it cannot be read.
        SealedFileError: nor with these keys.
    """
    with SealedReader(path, keys) as file:
        tail = file.read(max(file.size - TAIL_BYTES, 0), TAIL_BYTES)
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + 14:
        return 0.0
    granule = int.from_bytes(tail[page + 6 : page + 14], "little", signed=True)
    return max(granule, 0) / CLOCK_RATE
