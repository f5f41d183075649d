"""The process that decodes strangers' files: `python -m media.decoder_process <socket>`, started by `decoder_pool`.

One process loads FFmpeg and then only forks: for each file a child that has everything ready, sees that file and no
other, and can neither open files, write them, start anything nor take more memory or time than it was given. What makes
it crash or loop costs that one file.
"""

import contextlib
import gc
import os
import resource
import signal
import socket
import sys
import wave
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Final

import av

from media.audio_file import AudioFile, AudioFileError, AudioSource, NoAudioError, RawAudio, UnknownFormatError
from media.decoder_wire import HEAD, JOB, PID, PIECE, SECONDS, Job, Kind
from media.values import RECEIVE_RATE

MEMORY: Final = 256 * 1024 * 1024
"""Bytes that a child may take beyond what it begins with, the file among them."""

WALL_S: Final = 10.0
"""Seconds in which a file must be opened, and each piece of it decoded."""

NICE: Final = 5
"""Steps that decoding stands back behind the calls of the server."""

NOBODY: Final = 65_534
"""User and group of a child whose server runs as root."""

FAILURES: Final[tuple[type[AudioFileError], ...]] = (AudioFileError, UnknownFormatError, NoAudioError)
"""What can be wrong with a file; on the wire by their number."""


def main() -> None:
    """Fork a child for each socket that comes, until no process is left that could send one."""
    control = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    os.nice(NICE)
    av.logging.set_level(av.logging.PANIC)
    _warm_up()
    gc.freeze()
    while True:
        message, sockets, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        with socket.socket(fileno=sockets[0]) as connection:
            if os.fork() == 0:
                control.close()
                _child(connection)


def _child(connection: socket.socket) -> None:
    """Decode one file; does not return."""
    # The buffers' memory is given back by the end of the process, errors have no reader.
    with contextlib.suppress(BaseException):
        _confine()
        connection.sendall(HEAD.pack(Kind.READY, PID.size) + PID.pack(os.getpid()))
        job = Job(*JOB.unpack(_received(connection, JOB.size)))
        resource.setrlimit(resource.RLIMIT_CPU, (job.cpu_s, job.cpu_s))
        _serve(connection, job, bytes(_received(connection, job.size)))
    os._exit(0)


def _confine() -> None:
    """Take from this process what decoding does not need."""
    if sys.platform == "linux":
        # Address space: what is mapped already (libraries, mostly) comes on top.
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if os.getuid() == 0:
        # Root could lift its limits. (Where a container took the right to become another, it took those of root too.)
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
    for name in ("RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_NPROC", "RLIMIT_CORE"):
        resource.setrlimit(getattr(resource, name), (0, 0))


def _serve(connection: socket.socket, job: Job, data: bytes) -> None:
    try:
        with _wall():
            source: AudioSource = RawAudio(data, job.pcm_rate, job.rate) if job.pcm_rate else AudioFile(data, job.rate)
        expected = source.expected_s
        _send(connection, Kind.OPENED, SECONDS.pack(float("nan") if expected is None else expected))
        while True:
            with _wall():
                pcm = source.read(PIECE)
            if not pcm.size:
                break
            _send(connection, Kind.PCM, pcm.astype("<i2", copy=False).tobytes())
        _send(connection, Kind.ENDED)
    except AudioFileError as error:
        _send(connection, Kind.FAILED, bytes([FAILURES.index(type(error))]) + str(error).encode()[:500])
    except MemoryError:
        _send(connection, Kind.FAILED, b"\0The file needs too much memory to be decoded")


@contextlib.contextmanager
def _wall() -> Iterator[None]:
    """Ends the process where something takes too long, also within FFmpeg: the signal's default is to end it."""
    signal.setitimer(signal.ITIMER_REAL, WALL_S)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)


def _send(connection: socket.socket, kind: Kind, payload: bytes = b"") -> None:
    connection.sendall(HEAD.pack(kind, len(payload)) + payload)


def _received(connection: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view, got = memoryview(data), 0
    while got < size:
        count = connection.recv_into(view[got:])
        if not count:
            raise EOFError
        got += count
    return data


def _warm_up() -> None:
    """Decode something, right and wrong, so that no child has to load a module: it could not open its file."""
    file = BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8_000)
        writer.writeframes(b"\0" * 1_600)
    for data in (file.getvalue(), b"fLaC" + b"\0" * 64, b""):
        with contextlib.suppress(AudioFileError):
            AudioFile(data, RECEIVE_RATE).read(PIECE)
    RawAudio(b"\0" * 1_600, 8_000, RECEIVE_RATE).read(PIECE)


if __name__ == "__main__":
    main()
