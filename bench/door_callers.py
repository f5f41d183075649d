"""Callers at Morgan's doors: one on each way in, all of which speak and hear alike."""

import asyncio
import base64
import contextlib
import json
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import aiohttp
import numpy as np

from bench.voice_to_voice import Talker
from media import g711
from media.values import Pcm
from server.client.caller import Caller
from server.client.caller_audio import RATE, HeardPacket, Spoken, level_dbfs, resample
from server.client.listener import Listener

FRAME_S = 0.02

Json: TypeAlias = dict[str, Any]

Door: TypeAlias = Callable[[aiohttp.ClientSession, str], AbstractAsyncContextManager[Talker]]
"""Places a call by way of a door of the server at an address, which must have no slash at its end."""


@dataclass(slots=True)
class _Utterance:
    """What is being said: frames at the rate of the wire."""

    frames: deque[Pcm]
    done: asyncio.Future[Spoken] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    first: float = 0.0


class SocketCaller(Listener, ABC):
    """A caller whose sound goes and comes in messages of a WebSocket: 20 ms each, on the monotonic clock.

    Args:
        socket: the connection, on which the call stands.
    """

    rate: ClassVar[int]
    """Of the samples on the wire, Hz, both ways."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._packets: deque[HeardPacket] = deque()
        self._position = 0
        self._utterances: deque[_Utterance] = deque()
        self._sent: set[asyncio.Task[None]] = set()

    @property
    def packets(self) -> list[HeardPacket]:
        """See `Listener`."""
        return list(self._packets)

    def say(self, pcm: Pcm, rate: int = RATE) -> asyncio.Future[Spoken]:
        """See `Talker`."""
        samples, size = resample(pcm, rate, self.rate), round(self.rate * FRAME_S)
        frames = deque(samples[at : at + size] for at in range(0, len(samples), size))
        frames[-1] = np.pad(frames[-1], (0, size - len(frames[-1])))
        utterance = _Utterance(frames)
        self._utterances.append(utterance)
        return utterance.done

    def stop_reply(self) -> None:
        """See `Talker`."""
        task = asyncio.ensure_future(self._socket.send_json(self.silence_message()))
        self._sent.add(task)
        task.add_done_callback(self._sent.discard)

    @abstractmethod
    def sound_message(self, pcm: Pcm) -> Json:
        """What brings a frame to the server."""

    @abstractmethod
    def silence_message(self) -> Json:
        """What silences Morgan."""

    @abstractmethod
    def sound_in(self, message: Json) -> Pcm | None:
        """The samples in a message of the server's, None where it has none."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["SocketCaller"]:
        """Speaks and hears within this context."""
        tasks = [asyncio.create_task(self._speak()), asyncio.create_task(self._hear())]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _speak(self) -> None:
        began, noise = time.monotonic(), np.random.default_rng(7)
        frame = 0
        while not self._socket.closed:
            # As faint as that of a `Microphone`.
            pcm = noise.normal(0, 4.0, round(self.rate * FRAME_S)) + self._frame(time.monotonic())
            message = self.sound_message(np.clip(pcm, -32_768, 32_767).astype(np.int16))
            with contextlib.suppress(ConnectionError):
                await self._socket.send_json(message)
            frame += 1
            await asyncio.sleep(max(0.0, began + frame * FRAME_S - time.monotonic()))

    def _frame(self, now: float) -> Pcm | int:
        if not self._utterances:
            return 0
        utterance = self._utterances[0]
        utterance.first = utterance.first or now
        frame = utterance.frames.popleft()
        if not utterance.frames:
            self._utterances.popleft()
            utterance.done.set_result(Spoken(utterance.first, now))
        return frame

    async def _hear(self) -> None:
        async for message in self._socket:
            pcm = self.sound_in(json.loads(message.data)) if message.type is aiohttp.WSMsgType.TEXT else None
            if pcm is not None and len(pcm):
                self._packets.append(HeardPacket(time.monotonic(), self._position, level_dbfs(pcm), pcm))
                self._position += len(pcm) * RATE // self.rate


class RealtimeCaller(SocketCaller):
    """On `WS /v1/realtime`."""

    rate = 24_000

    def sound_message(self, pcm: Pcm) -> Json:
        """See `SocketCaller`."""
        return {"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm.tobytes()).decode()}

    def silence_message(self) -> Json:
        """See `SocketCaller`."""
        return {"type": "response.cancel"}

    def sound_in(self, message: Json) -> Pcm | None:
        """See `SocketCaller`."""
        if message["type"] != "response.output_audio.delta":
            return None
        return np.frombuffer(base64.b64decode(message["delta"]), np.int16)


class BridgeCaller(SocketCaller):
    """On `WS /ws/media-stream/twilio`, by way of a bridge that plays nothing back."""

    rate = g711.RATE

    def sound_message(self, pcm: Pcm) -> Json:
        """See `SocketCaller`."""
        payload = base64.b64encode(g711.encode_mu_law(pcm)).decode()
        return {"event": "media", "streamSid": "MZ1", "media": {"track": "inbound", "payload": payload}}

    def silence_message(self) -> Json:
        """See `SocketCaller`."""
        return {"event": "clear", "streamSid": "MZ1"}

    def sound_in(self, message: Json) -> Pcm | None:
        """See `SocketCaller`."""
        if message["event"] != "media":
            return None
        return g711.decode_mu_law(base64.b64decode(message["media"]["payload"]))


# Doors ---------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def through_api(http: aiohttp.ClientSession, url: str) -> AsyncIterator[Talker]:
    """`POST /api/calls`."""
    async with Caller() as caller:
        body = {"sdp": await caller.offer(), "type": "offer", "user_id": "bench"}
        opened = await _json(http, f"{url}/api/calls", body)
        await _talk(caller, opened["sdp"])
        yield caller
        await http.delete(f"{url}/api/calls/{opened['call_id']}")


@asynccontextmanager
async def through_rtvi(http: aiohttp.ClientSession, url: str) -> AsyncIterator[Talker]:
    """`POST /api/offer`, as Pipecat's client SDKs do."""
    async with _RtviCaller("chat") as caller:
        opened = await _json(http, f"{url}/api/offer", {"sdp": await caller.offer(), "type": "offer"})
        await _talk(caller, opened["sdp"])
        yield caller
        await http.delete(f"{url}/api/calls/{opened['pc_id'].partition('.')[0]}")


class _RtviCaller(Caller):
    def stop_reply(self) -> None:
        """See `Talker`. RTVI has no word for it: the answer is heard out."""


def _through_sdp(path: str) -> Door:
    @asynccontextmanager
    async def door(http: aiohttp.ClientSession, url: str) -> AsyncIterator[Talker]:
        async with Caller() as caller:
            offer, headers = await caller.offer(), {"Content-Type": "application/sdp"}
            async with http.post(f"{url}{path}", data=offer.encode(), headers=headers) as response:
                response.raise_for_status()
                answer, location = await response.text(), response.headers["Location"]
            await _talk(caller, answer)
            yield caller
            await http.delete(f"{url}{location}")

    return door


@asynccontextmanager
async def through_realtime_socket(http: aiohttp.ClientSession, url: str) -> AsyncIterator[Talker]:
    """`WS /v1/realtime`."""
    async with http.ws_connect(f"{url}/v1/realtime?model=morgan") as socket, RealtimeCaller(socket).running() as caller:
        yield caller


@asynccontextmanager
async def through_bridge(http: aiohttp.ClientSession, url: str) -> AsyncIterator[Talker]:
    """`WS /ws/media-stream/twilio`."""
    async with http.ws_connect(f"{url}/ws/media-stream/twilio") as socket:
        media = {"encoding": "audio/x-mulaw", "sampleRate": g711.RATE, "channels": 1}
        start = {"streamSid": "MZ1", "callSid": "CA1", "accountSid": "AC1", "tracks": ["inbound"], "mediaFormat": media}
        await socket.send_json({"event": "start", "streamSid": "MZ1", "start": start})
        async with BridgeCaller(socket).running() as caller:
            yield caller


REFERENCE = "POST /api/calls"
"""The door that others are held against."""

DOORS: Mapping[str, Door] = {
    REFERENCE: through_api,
    "POST /v1/realtime/calls": _through_sdp("/v1/realtime/calls"),
    "WS /v1/realtime": through_realtime_socket,
    "POST /whip": _through_sdp("/whip"),
    "POST /api/offer": through_rtvi,
    "WS /ws/media-stream/twilio": through_bridge,
}


async def _json(http: aiohttp.ClientSession, url: str, body: Json) -> Any:
    async with http.post(url, json=body) as response:
        response.raise_for_status()
        return await response.json()


async def _talk(caller: Caller, answer: str) -> None:
    await caller.accept(answer)
    await caller.channel_open()
