"""What the tests of the transport share: a listener that notes everything, tones, and calls that connect."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np

from media.endpoint import MediaEndpoint
from media.peer import WebRtcPeer
from media.values import RECEIVE_RATE, SEND_RATE, AudioFrame, AudioTap, MediaConfig, Pcm, PlayoutChange, PlayoutEvent
from server.client.caller import Caller

LOUD = 1500
"""Peak (16 bit) above which a frame of a test tone counts as sound."""


class Notes:
    """A `PeerListener` that keeps what it hears."""

    def __init__(self) -> None:
        self.connected_at: float | None = None
        self.audio: list[tuple[float, float, Pcm]] = []
        """(when it was handed on, when its last sample arrived, pcm)"""
        self.channel_open = False
        self.messages: list[str] = []
        self.playout: list[PlayoutEvent] = []
        self.keys: list[str] = []
        self.lost = 0
        self.found = 0
        self.closed: list[str] = []

    def on_connected(self) -> None:
        self.connected_at = time.monotonic()

    def on_audio(self, frame: AudioFrame) -> None:
        self.audio.append((time.monotonic(), frame.at, frame.pcm))

    def on_channel_open(self) -> None:
        self.channel_open = True

    def on_message(self, text: str) -> None:
        self.messages.append(text)

    def on_playout(self, event: PlayoutEvent) -> None:
        self.playout.append(event)

    def on_key(self, key: str) -> None:
        self.keys.append(key)

    def on_lost(self) -> None:
        self.lost += 1

    def on_found(self) -> None:
        self.found += 1

    def on_closed(self, reason: str) -> None:
        self.closed.append(reason)

    def changes(self) -> list[PlayoutChange]:
        return [event.change for event in self.playout]

    def heard(self) -> Pcm:
        return np.concatenate([pcm for _, _, pcm in self.audio]) if self.audio else np.zeros(0, np.int16)

    def first_sound_after(self, at: float) -> float | None:
        return next((when for when, _, pcm in self.audio if when > at and np.abs(pcm).max() > LOUD), None)


def tone(frequency: float, seconds: float, rate: int = SEND_RATE, amplitude: int = 9000) -> Pcm:
    times = np.arange(int(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * frequency * times)).astype(np.int16)


def pitch(pcm: Pcm, rate: int) -> float:
    """The strongest frequency, Hz."""
    spectrum = np.abs(np.fft.rfft(pcm.astype(np.float64) * np.hanning(len(pcm))))
    return float(np.argmax(spectrum) * rate / len(pcm))


def loud_part(pcm: Pcm, rate: int = RECEIVE_RATE) -> Pcm:
    """The 10 ms pieces that are louder than half of the loudest."""
    pieces = pcm[: len(pcm) // (rate // 100) * (rate // 100)].reshape(-1, rate // 100)
    peaks = np.abs(pieces).max(axis=1)
    return pieces[peaks > peaks.max() / 2].reshape(-1)


async def until(condition: Callable[[], Any], timeout: float = 60.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout} s in vain"
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def endpoint(**settings: Any) -> AsyncIterator[MediaEndpoint]:
    opened = await MediaEndpoint.open(MediaConfig(**settings))
    try:
        yield opened
    finally:
        await opened.close()


@contextlib.asynccontextmanager
async def call(
    server: MediaEndpoint,
    direction: str = "sendrecv",
    label: str | None = "oai-events",
    tap: AudioTap | None = None,
) -> AsyncIterator[tuple[Caller, WebRtcPeer, Notes]]:
    """A connected call."""
    notes = Notes()
    async with Caller(label=label) as caller:
        peer = await server.answer(await caller.offer(direction), notes, tap=tap)
        await caller.accept(peer.answer)
        await until(lambda: notes.connected_at is not None)
        yield caller, peer, notes
