"""A bridge of the kind of Twilio's: streams a telephone's sound to Morgan, and plays what comes back in real time."""

import asyncio
import base64
import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import soundfile
import soxr

from media import g711
from media.values import Pcm
from tests.media.calls import until

Json = dict[str, Any]

FRAME = 160
SILENCE = b"\xff" * FRAME
LOUD = 500
"""Of a sample: a voice, and no noise of the law's own."""


def mu_law(path: Path) -> bytes:
    """A recording as a telephone carries it."""
    sound, rate = soundfile.read(path, dtype="float32")
    return g711.encode_mu_law((soxr.resample(sound, rate, g711.RATE) * 32_767).astype(np.int16))


class Bridge:
    """One call.

    Attributes:
        told: messages from Morgan that are no sound.
        played: what the caller has heard, mu-law.
        thrown_away: bytes that a clear kept from being heard.
        closed: code with which the connection ended; None while it stands.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, call_id: str) -> None:
        self.call_id = call_id
        self.told: list[Json] = []
        self.played = bytearray()
        self.thrown_away = 0
        self.closed: int | None = None
        self._socket = socket
        self._says: deque[bytes] = deque()
        self._queue: deque[bytes | str] = deque()

    async def start(self, **parameters: str) -> None:
        """Begin the call."""
        await self.send({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        start = {
            "accountSid": "AC1",
            "streamSid": "MZ1",
            "callSid": self.call_id,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": parameters,
        }
        await self.send({"event": "start", "sequenceNumber": "1", "start": start, "streamSid": "MZ1"})

    async def send(self, message: Json) -> None:
        """Send a message."""
        await self._socket.send_json(message)

    def say(self, sound: bytes) -> None:
        """Let the caller say something, in real time; silence follows."""
        self._says.extend(sound[at : at + FRAME].ljust(FRAME, b"\xff") for at in range(0, len(sound), FRAME))

    async def press(self, keys: str) -> None:
        """Let the caller press keys."""
        for key in keys:
            await self.send({"event": "dtmf", "streamSid": "MZ1", "dtmf": {"track": "inbound_track", "digit": key}})

    async def until(self, condition: Callable[[], Any], timeout: float = 60.0) -> None:
        """Wait for something to be so."""
        await until(condition, timeout)

    def heard(self, since: int = 0) -> Pcm:
        """What the caller has heard from some byte on, silence left out."""
        pcm = g711.decode_mu_law(bytes(self.played[since:]))
        loud = np.flatnonzero(np.abs(pcm) > LOUD)
        return pcm[loud[0] : loud[-1]] if len(loud) else pcm[:0]

    @property
    def sounding(self) -> bool:
        """Whether the caller hears Morgan now."""
        return len(self.heard(max(0, len(self.played) - 2 * FRAME))) > 0

    def of(self, event: str) -> list[Json]:
        """The messages of a name."""
        return [message for message in self.told if message["event"] == event]

    async def read(self) -> None:
        """Take in what Morgan sends, until the end."""
        async for message in self._socket:
            told = json.loads(message.data)
            if told["event"] == "media":
                assert told["streamSid"] == "MZ1"
                self._queue.append(base64.b64decode(told["media"]["payload"]))
                continue
            self.told.append(told)
            if told["event"] == "mark":
                self._queue.append(told["mark"]["name"])
            elif told["event"] == "clear":
                self.thrown_away += sum(len(each) for each in self._queue if isinstance(each, bytes))
                for name in [each for each in self._queue if isinstance(each, str)]:
                    await self._answer(name)
                self._queue.clear()
        self.closed = self._socket.close_code

    async def run(self) -> None:
        """Keep time: 20 ms of the caller's sound to Morgan, 20 ms of Morgan's to the caller."""
        began, ticks = time.monotonic(), 0
        while not self._socket.closed:
            sound = self._says.popleft() if self._says else SILENCE
            media = {"track": "inbound", "chunk": str(ticks + 1), "timestamp": str(ticks * 20)}
            payload = base64.b64encode(sound).decode()
            with contextlib.suppress(ConnectionError):
                await self.send({"event": "media", "streamSid": "MZ1", "media": {**media, "payload": payload}})
                await self._play()
            ticks += 1
            await asyncio.sleep(max(0.0, began + ticks * 0.02 - time.monotonic()))

    async def _play(self) -> None:
        while self._queue and isinstance(self._queue[0], str):
            await self._answer(str(self._queue.popleft()))
        sound = self._queue.popleft() if self._queue else SILENCE
        assert isinstance(sound, bytes)
        self.played += sound

    async def _answer(self, name: str) -> None:
        await self.send({"event": "mark", "streamSid": "MZ1", "mark": {"name": name}})


@contextlib.asynccontextmanager
async def calling(
    http: aiohttp.ClientSession, url: str, call_id: str, headers: dict[str, str] | None = None, **parameters: str
) -> AsyncIterator[Bridge]:
    """A call that stands; the connection is closed in the end."""
    async with http.ws_connect(url, headers=headers or {}) as socket:
        bridge = Bridge(socket, call_id)
        tasks = [asyncio.create_task(bridge.read())]
        await bridge.start(**parameters)
        tasks.append(asyncio.create_task(bridge.run()))
        try:
            yield bridge
        finally:
            await socket.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
