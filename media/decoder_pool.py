"""Decoding of strangers' files in processes of their own: see `decoder_process` for what those may do.

Runs on the event loop, which only moves samples: at most `decoder_wire.PIECE` at a time.
"""

import asyncio
import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Final

import numpy as np
import structlog

from media.audio_file import AudioFileError
from media.byte_budget import ByteBudget
from media.decoder_process import FAILURES, WALL_S
from media.decoder_wire import HEAD, JOB, PID, PIECE, SECONDS, Job, Kind
from media.values import Pcm

log = structlog.get_logger(__name__)

PLACES = 8
"""Files that are decoded at the same time; further ones wait."""

MAX_WAITING = 64
"""Files that wait for a place; one more is refused."""

WAIT_S = 30.0
"""How long one waits for a place."""

SPARE = 2
"""Processes that stand ready for a file, so that it waits for none to start."""

ANSWER_S = WALL_S + 5.0
"""A process that says nothing for so long, while it is listened to, is ended: it should have ended itself."""

START_S = 60.0
"""The first process loads FFmpeg, on a machine that may be busy with models."""

CPU_S, CPU_SHARE = 10, 60
"""Processor time of a file, seconds: so much, and a second for each so many of the audio that is taken at most."""

CHUNK = 256 * 1024
"""Bytes of a file that are handed over between two turns of the loop."""

KEPT_ENVIRONMENT: Final = ("PATH", "LANG", "LD_LIBRARY_PATH", "PYTHONHOME")
"""Variables that a decoder gets: not those with keys and passwords in them."""

OVER_LIMIT = "The file cannot be decoded in the time and memory that a file may take"


class DecoderBusyError(Exception):
    """Too many files wait, or no decoder can be started."""


class DecodedAudio:
    """A file that is being decoded. Made by `DecoderPool.open`.

    Attributes:
        expected_s: its length as its header says, which need not be true; None where it does not say.
    """

    def __init__(self, pool: "DecoderPool", decoder: "_Decoder", expected_s: float | None) -> None:
        self.expected_s = expected_s
        self._pool = pool
        self._decoder = decoder
        self._ready: deque[Pcm] = deque()
        self._samples = 0
        self._held = 0
        self._failure: AudioFileError | None = None
        self._finished = False
        self._wanting = False
        self._changed = asyncio.Event()
        self._read = asyncio.Event()
        self._taking = asyncio.create_task(self._take(), name="decoded audio")

    async def read(self, count: int) -> Pcm:
        """The next samples, shape (n,), n <= count; empty at the end.

        Raises:
            AudioFileError: the file cannot be decoded any further.
        """
        while self._samples < count and not self._finished:
            self._wanting = True
            self._read.set()
            self._changed.clear()
            await self._changed.wait()
        self._wanting = False
        if not self._samples and self._failure is not None:
            raise self._failure
        parts: list[Pcm] = []
        wanted = min(count, self._samples)
        while wanted:
            part = self._ready.popleft()
            if part.size > wanted:
                self._ready.appendleft(part[wanted:])
                part = part[:wanted]
            parts.append(part)
            wanted -= part.size
            self._samples -= part.size
        self._pool.budget.give(self._held - 2 * self._samples)
        self._held = 2 * self._samples
        self._read.set()
        return np.concatenate(parts) if parts else np.zeros(0, np.int16)

    def close(self) -> None:
        """End the work and give everything back."""
        self._taking.cancel()
        self._finish()
        self._ready.clear()
        self._samples = 0
        self._pool.budget.give(self._held)
        self._held = 0

    async def _take(self) -> None:
        try:
            while (pcm := await self._decoder.pcm()) is not None:
                await self._room(pcm.nbytes)
                self._held += pcm.nbytes
                self._ready.append(pcm)
                self._samples += pcm.size
                self._changed.set()
        except AudioFileError as error:
            self._failure = error
        except Exception:  # it must not seem to end here
            log.exception("a decoder said what cannot be understood")
            self._failure = AudioFileError(OVER_LIMIT)
        finally:
            self._finish()

    def _finish(self) -> None:
        """Nothing more is decoded. (A task that is cancelled before it began has no chance to say so.)"""
        if not self._finished:
            self._finished = True
            self._decoder.kill()
            self._pool.free_place()
            self._changed.set()

    async def _room(self, count: int) -> None:
        """Wait until there is room for so many bytes; a file that is waited for gets them anyhow, so that it ends."""
        while not self._pool.budget.take(count):
            if self._wanting:
                self._pool.budget.force(count)
                return
            self._read.clear()
            await self._read.wait()


class DecoderPool:
    """Processes that decode, one file each.

    Args:
        budget: of bytes, for decoded samples that were not taken yet.
        places: files at the same time.
    """

    def __init__(self, budget: ByteBudget, places: int = PLACES) -> None:
        self.budget = budget
        self._places = asyncio.Semaphore(places)
        self._waiting = 0
        self._spare: deque[_Decoder] = deque()
        self._parent: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._refilling: asyncio.Task[None] | None = None
        self._closed = False

    def start(self) -> None:
        """Begin to get processes ready; done by the first file too."""
        if self._refilling is None or self._refilling.done():
            self._refilling = asyncio.create_task(self._refill(), name="decoders")

    async def open(self, data: bytes, rate: int, *, pcm_rate: int | None = None, longest_s: float) -> DecodedAudio:
        """Begin to decode a file.

        Args:
            data: the whole file.
            rate: wanted, Hz.
            pcm_rate: Hz, where it is plain samples (s16le, mono).
            longest_s: audio that is taken at most, seconds.

        Raises:
            AudioFileError: it cannot be read.
            DecoderBusyError: too many wait.
        """
        await self._place()
        decoder = None
        try:
            decoder = await self._ready_decoder()
            job = Job(len(data), pcm_rate or 0, rate, CPU_S + int(longest_s / CPU_SHARE))
            return DecodedAudio(self, decoder, await decoder.begin(job, data))
        except BaseException:
            if decoder is not None:
                decoder.kill()
            self.free_place()
            raise

    def free_place(self) -> None:
        """A file is done. Only now a process is made ready in place of its own: it was to have the cores to itself."""
        self._places.release()
        if not self._closed:
            self.start()

    async def close(self) -> None:
        """End all processes but those that decode, which end with their files."""
        self._closed = True
        if self._refilling is not None:
            self._refilling.cancel()
            await asyncio.wait({self._refilling})
        while self._spare:
            self._spare.popleft().kill()
        self._end_parent()

    async def _place(self) -> None:
        if self._waiting >= MAX_WAITING:
            raise DecoderBusyError
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_S):
                await self._places.acquire()
        except TimeoutError:
            raise DecoderBusyError from None
        finally:
            self._waiting -= 1

    async def _ready_decoder(self) -> "_Decoder":
        """A process that waits for a file. One that has died meanwhile is passed over."""
        try:
            async with asyncio.timeout(START_S):
                while True:
                    decoder = self._spare.popleft() if self._spare else await self._summon()
                    if await decoder.ready():
                        return decoder
                    log.warning("a decoder died before it had a file")
                    decoder.kill()
                    self._end_parent()
        except (OSError, TimeoutError) as error:
            log.error("no decoder can be started", problem=str(error) or type(error).__name__)
            raise DecoderBusyError from None

    async def _refill(self) -> None:
        with contextlib.suppress(OSError):
            while len(self._spare) < SPARE and not self._closed:
                self._spare.append(await self._summon())

    async def _summon(self) -> "_Decoder":
        """Ask for one more process."""
        ours, theirs = socket.socketpair()
        with theirs:
            if self._parent is None or self._parent.poll() is not None or self._control is None:
                self._end_parent()
                self._start_parent()
            assert self._control is not None
            try:
                socket.send_fds(self._control, [b"\0"], [theirs.fileno()])
            except OSError:
                ours.close()
                self._end_parent()
                raise
        reader, writer = await asyncio.open_connection(sock=ours, limit=2 * PIECE)
        return _Decoder(reader, writer)

    def _start_parent(self) -> None:
        ours, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
        # No threads: it forks.
        environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        ways = [str(Path(__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, ways))
        with theirs:
            self._parent = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-P", "-m", "media.decoder_process", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        self._control = ours

    def _end_parent(self) -> None:
        """It leaves when its socket is closed; its children go on."""
        if self._control is not None:
            self._control.close()
        if self._parent is not None:
            self._parent.kill()
            self._parent.wait()
        self._parent = self._control = None


class _Decoder:
    """One process, seen from here."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._process: int | None = None
        self._killed = False

    async def ready(self) -> bool:
        """Wait until it is there; False when it is not, or not any more."""
        try:
            kind, payload = await self._message()
        except (EOFError, OSError):
            return False
        assert kind is Kind.READY
        (pid,) = PID.unpack(payload)
        # A handle, because its number may be another's by the time that it is to be ended.
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                self._process = os.pidfd_open(pid)
        return not self._reader.at_eof()

    async def begin(self, job: Job, data: bytes) -> float | None:
        """Hand a file over; returns how long it says it is, seconds."""
        view = memoryview(data)
        with contextlib.suppress(ConnectionError):
            self._writer.write(JOB.pack(*job))
            for start in range(0, len(data), CHUNK):
                self._writer.write(view[start : start + CHUNK])
                async with asyncio.timeout(ANSWER_S):
                    await self._writer.drain()
        _, payload = await self._answer()
        (expected,) = SECONDS.unpack(payload)
        return None if np.isnan(expected) else float(expected)

    async def pcm(self) -> Pcm | None:
        """The next samples; None at the end."""
        kind, payload = await self._answer()
        return None if kind is Kind.ENDED else np.frombuffer(payload, "<i2").astype(np.int16, copy=False)

    def kill(self) -> None:
        """End it, whatever it does."""
        if self._killed:
            return
        self._killed = True
        self._writer.close()
        if self._process is not None and sys.platform == "linux":
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
            os.close(self._process)

    async def _answer(self) -> tuple[Kind, bytes]:
        """What it says next.

        Raises:
            AudioFileError: that it cannot, or nothing.
        """
        try:
            async with asyncio.timeout(ANSWER_S):
                kind, payload = await self._message()
        except (EOFError, OSError, TimeoutError):
            log.warning("a decoder was over a limit, or broke")
            raise AudioFileError(OVER_LIMIT) from None
        if kind is Kind.FAILED:
            raise FAILURES[payload[0]](payload[1:].decode("utf-8", "replace"))
        return kind, payload

    async def _message(self) -> tuple[Kind, bytes]:
        try:
            kind, size = HEAD.unpack(await self._reader.readexactly(HEAD.size))
            if size > 2 * PIECE:
                raise EOFError
            return Kind(kind), await self._reader.readexactly(size)
        except (ValueError, struct.error):
            raise EOFError from None
