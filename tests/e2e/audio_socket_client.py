"""A client of `/ws/audio`."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import soundfile
import soxr

Json = dict[str, Any]

RATE = 16_000


def samples(path: Path) -> bytes:
    """A recording as 16 kHz s16le."""
    sound, rate = soundfile.read(path, dtype="float32")
    return (soxr.resample(sound, rate, RATE) * 32_767).astype("<i2").tobytes()


class AudioSocketClient:
    """Speaks, and keeps what it is told.

    Attributes:
        told: messages with the time at which they came.
        audio: what was to be heard, with the time of each piece.
        socket: the connection.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.told: list[tuple[float, Json]] = []
        self.audio: list[tuple[float, bytes]] = []
        self.socket = socket
        self._changed = asyncio.Event()

    async def read(self) -> None:
        """Take in what comes, until the end."""
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                self.audio.append((time.monotonic(), message.data))
            else:
                self.told.append((time.monotonic(), json.loads(message.data)))
            self._changed.set()
        self.told.append((time.monotonic(), {"type": "closed", "code": self.socket.close_code}))
        self._changed.set()

    async def say(self, pcm: bytes, piece: int = 3_200, stall: tuple[float, float] = (0.0, 0.0)) -> None:
        """Send audio in real time; what a stall (from, to, in seconds) holds back is sent at its end."""
        began = time.monotonic()
        for start in range(0, len(pcm), piece):
            second = start / 2 / RATE
            due = stall[1] if stall[0] < second < stall[1] else second
            await asyncio.sleep(max(0.0, began + due - time.monotonic()))
            await self.socket.send_bytes(pcm[start : start + piece])
        await asyncio.sleep(max(0.0, began + len(pcm) / 2 / RATE - time.monotonic()))

    def all(self, kind: str) -> list[Json]:
        """The messages of a type."""
        return [message for _, message in self.told if message["type"] == kind]

    async def wait(self, kind: str, timeout_s: float = 60.0, **fields: Any) -> Json:
        """The first message of a type with these fields, maybe one that has come already."""
        return await self.until(
            lambda: next((each for each in self.all(kind) if each.items() >= fields.items()), None), timeout_s
        )

    async def until(self, what: Callable[[], Any], timeout_s: float = 60.0) -> Any:
        """Wait until something is so."""
        async with asyncio.timeout(timeout_s):
            while not (found := what()):
                self._changed.clear()
                await self._changed.wait()
        return found

    def heard(self) -> bytes:
        """All audio, 24 kHz s16le."""
        return b"".join(data for _, data in self.audio)

    def heard_s(self) -> float:
        return len(self.heard()) / 48_000

    def loudness(self) -> float:
        return float(np.abs(np.frombuffer(self.heard(), "<i2").astype(float)).mean())


@asynccontextmanager
async def audio_socket(url: str, **start: Any) -> AsyncIterator[AudioSocketClient]:
    """A connection; with a user_id and more, its session has started."""
    async with aiohttp.ClientSession(url) as http, http.ws_connect("/ws/audio") as socket:
        client = AudioSocketClient(socket)
        reading = asyncio.create_task(client.read())
        try:
            if start:
                await socket.send_json({"type": "start", **start})
                await client.wait("started")
            yield client
        finally:
            await socket.close()
            await reading
