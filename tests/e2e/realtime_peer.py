"""A WebRTC peer of stock aiortc: it sends a recording, hears what comes, and has a data channel for events."""

import asyncio
import fractions
import json
from collections.abc import Callable
from typing import Any

import av
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

Json = dict[str, Any]

RATE, FRAME = 48_000, 960

CHECKED: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)


class Microphone(MediaStreamTrack):
    """Plays what `say` was given, in real time, and silence for the rest."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._samples = np.zeros(0, np.int16)
        self._sent = 0
        self._began = asyncio.get_running_loop().time()

    def say(self, samples: np.ndarray[Any, Any]) -> None:
        """Samples at 48 kHz, from now on."""
        self._samples = np.concatenate((self._samples, samples))

    async def recv(self) -> av.AudioFrame:
        await asyncio.sleep(max(0.0, self._began + self._sent / RATE - asyncio.get_running_loop().time()))
        taken, self._samples = self._samples[:FRAME], self._samples[FRAME:]
        pcm = np.zeros(FRAME, np.int16)
        pcm[: len(taken)] = taken
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._sent, fractions.Fraction(1, RATE)
        self._sent += FRAME
        return frame


class Peer:
    """One caller."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = Microphone()
        self.told: list[Json] = []
        self.loudest = 0.0
        self._changed = asyncio.Event()
        self._channel = self.connection.createDataChannel("oai-events")
        self._channel.on("message", self._take)
        self.connection.addTrack(self.microphone)
        self.connection.on("track", self._listen)
        self._listening: asyncio.Task[None] | None = None

    async def offer(self) -> str:
        """The SDP to send."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def answered(self, sdp: str) -> None:
        """Take the answer, and wait for the first event."""
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        await self.wait("session.created")

    def send(self, kind: str, **fields: Any) -> None:
        """Send an event."""
        self._channel.send(json.dumps({"type": kind, **fields}))

    def _take(self, data: str) -> None:
        CHECKED.validate_json(data, strict=True)
        self.told.append(json.loads(data))
        self._changed.set()

    def _listen(self, track: MediaStreamTrack) -> None:
        async def listen() -> None:
            try:
                while True:
                    frame: Any = await track.recv()
                    self.loudest = max(self.loudest, float(np.abs(frame.to_ndarray()).max()))
            except MediaStreamError:
                pass

        self._listening = asyncio.create_task(listen())

    def all(self, kind: str) -> list[Json]:
        """The events of a type."""
        return [event for event in self.told if event["type"] == kind]

    async def wait(self, kind: str, count: int = 1, timeout_s: float = 90.0) -> Json:
        """The nth event of a type, which may have come already."""
        await self.until(lambda: len(self.all(kind)) >= count, timeout_s)
        return self.all(kind)[count - 1]

    async def until(self, what: Callable[[], Any], timeout_s: float = 90.0) -> Any:
        """Wait until something is so."""
        async with asyncio.timeout(timeout_s):
            while not (found := what()):
                self._changed.clear()
                await self._changed.wait()
        return found

    async def close(self) -> None:
        """Hang up."""
        await self.connection.close()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
