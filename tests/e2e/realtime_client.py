"""A client of the Realtime API, made of the stock packages: openai-python, and aiortc where there is media."""

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
import soundfile
import soxr
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter
from websockets.exceptions import ConnectionClosed

Json = dict[str, Any]

CHECKED: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)

PIECE_S = 0.1


def sound(path: Path, rate: int = 24_000) -> np.ndarray[Any, Any]:
    """A recording as samples, shape (n,)."""
    samples, own = soundfile.read(path, dtype="float32")
    return (soxr.resample(samples, own, rate) * 32_767).astype("<i2")


def client(url: str, key: str = "none") -> openai.AsyncOpenAI:
    """openai-python, with only its address changed."""
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)


async def gone(http: httpx2.AsyncClient, call_id: str) -> None:
    """Wait until a call is over."""
    for _ in range(600):
        if (await http.get(f"/api/calls/{call_id}")).status_code == 404:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"the call {call_id} is still there")


class Heard:
    """What a connection is told; every event passes openai-python's types, strictly."""

    def __init__(self, connection: Any) -> None:
        # Without its types: they want of plain dictionaries more than they are.
        self.connection = connection
        self.told: list[Json] = []
        self.audio = bytearray()
        self.closed = False
        self._changed = asyncio.Event()

    async def read(self) -> None:
        """Take in what comes, until the end."""
        try:
            while True:
                self._take(await self.connection.recv_bytes())
        except ConnectionClosed:
            self.closed = True
            self._changed.set()

    def _take(self, data: bytes) -> None:
        event: Json = CHECKED.validate_json(data, strict=True).to_dict(use_api_names=True)
        if event["type"] == "response.output_audio.delta":
            self.audio += base64.b64decode(event["delta"])
        self.told.append(event)
        self._changed.set()

    def all(self, kind: str) -> list[Json]:
        """The events of a type."""
        return [event for event in self.told if event["type"] == kind]

    async def wait(self, kind: str, count: int = 1, timeout_s: float = 90.0) -> Json:
        """The nth event of a type, which may have come already."""
        found: list[Json] = await self.until(lambda: self.all(kind) if len(self.all(kind)) >= count else [], timeout_s)
        return found[count - 1]

    async def until(self, what: Callable[[], Any], timeout_s: float = 90.0) -> Any:
        """Wait until something is so."""
        async with asyncio.timeout(timeout_s):
            while not (found := what()):
                self._changed.clear()
                await self._changed.wait()
        return found

    async def say(self, samples: np.ndarray[Any, Any], silence_s: float = 0.0, rate: int = 24_000) -> None:
        """Send audio in real time, and silence behind it."""
        data = samples.tobytes() + bytes(int(silence_s * rate) * samples.itemsize)
        size, began = int(PIECE_S * rate) * samples.itemsize, time.monotonic()
        for index, start in enumerate(range(0, len(data), size)):
            await asyncio.sleep(max(0.0, began + index * PIECE_S - time.monotonic()))
            piece = base64.b64encode(data[start : start + size]).decode()
            await self.connection.input_audio_buffer.append(audio=piece)


@asynccontextmanager
async def connected(made: openai.AsyncOpenAI, **how: Any) -> AsyncIterator[Heard]:
    """A connection whose events are read."""
    async with made.realtime.connect(**({"model": "morgan"} | how)) as connection:
        heard = Heard(connection)
        reading = asyncio.create_task(heard.read())
        try:
            await heard.wait("session.created")
            yield heard
        finally:
            await connection.close()
            await reading


@asynccontextmanager
async def silence_going_on(heard: Heard) -> AsyncIterator[None]:
    """A microphone that is on, and before which nobody speaks."""

    async def hum() -> None:
        while True:
            await heard.say(np.zeros(2400, "<i2"))
            await asyncio.sleep(PIECE_S)

    task = asyncio.create_task(hum())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
