"""The microphone and the ear of the client in `caller`: PyAV's Opus, not ours, so that the two check each other."""

import asyncio
import fractions
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import soxr
from aiortc import MediaStreamTrack

from media.values import Pcm

RATE = 48_000
FRAME = 960
AUDIBLE_DBFS = -45.0
"""Level above which a packet counts as sound."""

MAX_RECORDING_S = 3600
"""Older sound than this is forgotten."""

MAX_GAP_S = 10
"""A longer jump of the RTP timestamps is a new beginning, not silence."""

MAX_LEAK_DRIFT = RATE // 10
"""By so many samples (0.1 s) the delay of an echo may be off, while packets come in bursts, before it jumps."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """When something was said.

    Attributes:
        first: `time.monotonic()` at which the packet with its first sample was sent.
        last: the same of its last sample.
    """

    first: float
    last: float


@dataclass(slots=True)
class _Utterance:
    pcm: Pcm
    done: asyncio.Future[Spoken]
    position: int = 0
    first: float = 0.0


def resample(pcm: Pcm, rate: int, to: int) -> Pcm:
    """Change the sample rate of mono 16-bit audio, shape (n,)."""
    if rate == to or not len(pcm):
        return pcm.astype(np.int16)
    resampled: Pcm = soxr.resample(pcm.astype(np.int16), rate, to)
    return resampled


def level_dbfs(pcm: Pcm) -> float:
    """RMS level of 16-bit audio in dB below full scale; -180 for digital silence."""
    samples = pcm.astype(np.float32) / 32768
    return float(20 * np.log10(np.sqrt(np.mean(samples**2)) + 1e-9))


class Microphone(MediaStreamTrack):
    """An endless track of 20 ms Opus frames on the monotonic clock: faint noise, and what `say` puts on top.

    Frames are encoded here and handed to aiortc as packets: encoding there would take the default thread pool, where
    a busy neighbour can stop the sound for a second.

    Args:
        noise: standard deviation of the noise in 16-bit steps; 0 is digital silence.
        bitrate: of the Opus, bit/s.
        leak: what it picks up of the loudspeaker beside it, called once a frame; None for nothing.
    """

    kind = "audio"

    def __init__(self, noise: float = 4.0, bitrate: int = 32_000, leak: Callable[[], Pcm] | None = None) -> None:
        super().__init__()
        self._rng = np.random.default_rng(7)
        self._noise = noise
        self._leak = leak
        self._queue: deque[_Utterance] = deque()
        self._start: float | None = None
        self._frames = 0
        self._encoder = av.CodecContext.create("libopus", "w")
        assert isinstance(self._encoder, av.AudioCodecContext)
        self._encoder.sample_rate = RATE
        self._encoder.layout = "mono"
        self._encoder.format = "s16"
        self._encoder.bit_rate = bitrate
        self._encoder.options = {"application": "voip", "frame_duration": "20", "fec": "1", "packet_loss": "5"}

    def say(self, pcm: Pcm) -> asyncio.Future[Spoken]:
        """Queue speech at 48 kHz behind what is being said; the result is set when its last sample has been sent."""
        done: asyncio.Future[Spoken] = asyncio.get_running_loop().create_future()
        if len(pcm):
            self._queue.append(_Utterance(pcm, done))
        else:
            now = time.monotonic()
            done.set_result(Spoken(now, now))
        return done

    def hush(self) -> None:
        """Stop talking at once; what was not said is cancelled."""
        while self._queue:
            self._queue.popleft().done.cancel()

    async def recv(self) -> "av.Packet[Any]":
        """The next frame, when it is time for it (called by aiortc)."""
        if self._start is None:
            self._start = time.monotonic()
        wait = self._start + self._frames * FRAME / RATE - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        frame = av.AudioFrame.from_ndarray(self._next_frame(time.monotonic())[None, :], layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._frames * FRAME, fractions.Fraction(1, RATE)
        payload = b"".join(bytes(packet) for packet in self._encoder.encode(frame))
        packet = av.Packet(payload)
        packet.pts, packet.time_base = self._frames * FRAME, fractions.Fraction(1, RATE)
        self._frames += 1
        return packet

    def _next_frame(self, now: float) -> Pcm:
        mixed = self._rng.normal(0, self._noise, FRAME) if self._noise else np.zeros(FRAME)
        if self._leak is not None:
            mixed += self._leak()
        filled = 0
        while self._queue and filled < FRAME:
            utterance = self._queue[0]
            if utterance.position == 0:
                utterance.first = now
            piece = utterance.pcm[utterance.position : utterance.position + FRAME - filled]
            mixed[filled : filled + len(piece)] += piece
            filled += len(piece)
            utterance.position += len(piece)
            if utterance.position >= len(utterance.pcm):
                self._queue.popleft()
                if not utterance.done.done():
                    utterance.done.set_result(Spoken(utterance.first, now))
        return np.clip(mixed, -32768, 32767).astype(np.int16)


@dataclass(frozen=True, slots=True)
class HeardPacket:
    """One RTP packet that came.

    Attributes:
        at: `time.monotonic()` of its arrival, before any jitter buffer.
        position: of its first sample since the first packet, at 48 kHz, by its RTP timestamp.
        dbfs: level of its sound.
        pcm: 48 kHz mono, shape (n,).
    """

    at: float
    position: int
    dbfs: float
    pcm: Pcm


class Ear:
    """Decodes packets as they arrive and keeps what was heard, on the time line of their RTP timestamps.

    A packet older than one that was decoded already is counted in `late` and left out.
    """

    def __init__(self) -> None:
        self.packets: deque[HeardPacket] = deque()
        self.late = 0
        self.undecodable = 0
        self._decoder = av.CodecContext.create("libopus", "r")
        self._last: int | None = None
        self._position = 0
        self._heard_s = 0.0

    def hear(self, timestamp: int, payload: bytes, at: float) -> None:
        """Take the RTP timestamp and payload of a packet that arrived at a monotonic time."""
        if not payload:
            return
        if self._last is not None:
            delta = (timestamp - self._last + 0x80000000 & 0xFFFFFFFF) - 0x80000000
            if -MAX_GAP_S * RATE < delta <= 0:
                self.late += 1
                return
            self._position += delta if 0 < delta < MAX_GAP_S * RATE else FRAME
        self._last = timestamp
        pcm = self._decode(payload)
        self.packets.append(HeardPacket(at, self._position, level_dbfs(pcm), pcm))
        self._heard_s += len(pcm) / RATE
        while self._heard_s > MAX_RECORDING_S:
            self._heard_s -= len(self.packets.popleft().pcm) / RATE

    def since(self, position: int) -> Pcm:
        """What was heard from a position on, shape (n,), with silence where nothing came."""
        later: list[HeardPacket] = []
        for packet in reversed(self.packets):
            if packet.position + len(packet.pcm) <= position:
                break
            later.append(packet)
        if not later:
            return np.zeros(0, np.int16)
        line = np.zeros(later[0].position + len(later[0].pcm) - position, np.int16)
        for packet in later:
            sound = packet.pcm[max(0, position - packet.position) :]
            start = max(0, packet.position - position)
            line[start : start + len(sound)] = sound[: len(line) - start]
        return line

    def pcm(self, rate: int = RATE) -> Pcm:
        """Everything that was heard, shape (n,), with silence where nothing came."""
        if not self.packets:
            return np.zeros(0, np.int16)
        first, last = self.packets[0], self.packets[-1]
        line = np.zeros(last.position + len(last.pcm) - first.position, np.int16)
        for packet in self.packets:
            start = packet.position - first.position
            line[start : start + len(packet.pcm)] = packet.pcm[: len(line) - start]
        return resample(line, RATE, rate)

    def _decode(self, payload: bytes) -> Pcm:
        try:
            frames = self._decoder.decode(av.Packet(payload))
        except av.FFmpegError:
            self.undecodable += 1
            return np.zeros(FRAME, np.int16)
        parts = [_mono(frame) for frame in frames]
        return np.concatenate(parts) if parts else np.zeros(FRAME, np.int16)


class Leak:
    """An echo: what the ear hears comes back into the microphone, later and quieter, as from a loudspeaker beside it.

    Args:
        ear: whose sound leaks.
        gain_db: of the echo against the sound itself.
        delay_s: from the arrival of a packet to its echo, at least a frame; the network's own delay comes on top.
    """

    def __init__(self, ear: Ear, gain_db: float = -25.0, delay_s: float = 0.06) -> None:
        self._ear = ear
        self._gain = 10 ** (gain_db / 20)
        self._delay = max(FRAME, round(delay_s * RATE))
        self._next: int | None = None

    def __call__(self) -> Pcm:
        """The echo in the next 20 ms, shape (960,). A stall that tears the delay is mended by a jump."""
        frame: Pcm = np.zeros(FRAME, np.int16)
        if not self._ear.packets:
            return frame
        newest = self._ear.packets[-1]
        due = newest.position + len(newest.pcm) - self._delay
        if self._next is None or abs(due - self._next) > MAX_LEAK_DRIFT:
            self._next = due
        heard = self._ear.since(self._next)[:FRAME]
        frame[: len(heard)] = heard * self._gain
        self._next += FRAME
        return frame


def _mono(frame: av.AudioFrame) -> Pcm:
    """Mix a decoded frame (packed or planar, 16-bit or float) down to shape (n,)."""
    samples = frame.to_ndarray()
    channels = len(frame.layout.channels)
    if not frame.format.is_planar:
        samples = samples.reshape(-1, channels).T
    scale = 32767 if samples.dtype.kind == "f" else 1
    mono: Pcm = np.clip(samples.astype(np.float32).mean(axis=0) * scale, -32768, 32767).astype(np.int16)
    return mono
