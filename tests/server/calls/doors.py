"""Clients of every door by which a call comes in: each begins a call, says something, hangs up or is gone."""

import asyncio
import contextlib
import json
import struct
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from server.app import Server
from server.calls.call import Call
from server.calls.webrtc_line import WebRtcLine
from server.calls.websocket.session import AudioSession
from server.client.caller import Caller
from server.realtime.session import RealtimeSession
from server.rtvi.talk import RtviTalk
from server.telephone.line import TelephoneLine

SILENCE = bytes(320)


@dataclass
class Client:
    """The far end of a call.

    Attributes:
        speak: says something that Morgan has to act on.
        hang_up: ends the call in the way of its protocol.
        vanish: is gone without a word.
    """

    speak: Callable[[], Awaitable[object]]
    hang_up: Callable[[], Awaitable[object]]
    vanish: Callable[[], Awaitable[object]]


Opening = Callable[[Server, aiohttp.ClientSession], AbstractAsyncContextManager[Client]]


class RefusedError(Exception):
    """No call was begun."""


def over_webrtc(path: str, message: dict[str, Any]) -> Opening:
    """A door whose clients send an offer, and speak on a data channel."""

    @asynccontextmanager
    async def opening(server: Server, http: aiohttp.ClientSession) -> AsyncIterator[Client]:
        async with Caller() as caller:
            offer = await caller.offer()
            given: dict[str, Any] = {"data": offer, "headers": {"Content-Type": "application/sdp"}}
            if path.startswith("/api"):
                given = {"json": {"sdp": offer, "type": "offer"}}
            async with http.post(path, **given) as answer:
                if answer.status >= 400:
                    raise RefusedError(await answer.text())
                sdp = (await answer.json())["sdp"] if path.startswith("/api") else await answer.text()
            await caller.accept(sdp, timeout=60)
            await caller.channel_open(60)

            async def speak() -> None:
                caller.send(json.dumps(message))

            async def vanish() -> None:
                caller.stall()
                (call,) = (each for each in server.registry.active if caller_of(each, sdp))
                assert isinstance(call.line, WebRtcLine)
                for peer in call.peers:
                    # What no packet for three seconds comes to.
                    peer._listener.on_lost()

            yield Client(speak, caller.close, vanish)

    return opening


def caller_of(call: Call, answer: str) -> bool:
    return any(peer.local_ice[0] in answer for peer in call.peers)


def over_websocket(path: str, start: dict[str, Any] | None, message: dict[str, Any], heard: str) -> Opening:
    """A door whose clients speak on a WebSocket, which is closed by who hangs up."""

    @asynccontextmanager
    async def opening(server: Server, http: aiohttp.ClientSession) -> AsyncIterator[Client]:
        async with http.ws_connect(path) as socket:
            if start is not None:
                await socket.send_json(start)
            if heard:
                first = await socket.receive()
                if first.type is not aiohttp.WSMsgType.TEXT or json.loads(first.data).get("type") != heard:
                    raise RefusedError(first)
            reading = asyncio.create_task(read(socket))

            async def vanish() -> None:
                connection = socket._response.connection
                assert connection is not None
                assert connection.transport is not None
                connection.transport.abort()

            yield Client(lambda: socket.send_json(message), socket.close, vanish)
            await socket.close()
            await reading

    return opening


async def read(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass


@asynccontextmanager
async def over_tcp(server: Server, http: aiohttp.ClientSession) -> AsyncIterator[Client]:
    """A PBX that speaks AudioSocket."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.settings.audio_socket_port)
    writer.write(struct.pack("!BH", 0x01, 16) + uuid.uuid4().bytes)
    writer.write(struct.pack("!BH", 0x10, len(SILENCE)) + SILENCE)
    reading = asyncio.create_task(reader.read())

    async def speak() -> None:
        writer.write(struct.pack("!BH", 0x03, 1) + b"5")

    async def hang_up() -> None:
        writer.write(struct.pack("!BH", 0x00, 0))

    async def vanish() -> None:
        writer.transport.abort()

    yield Client(speak, hang_up, vanish)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await reading
        await writer.wait_closed()


CLEAR = {"type": "input_audio_buffer.clear"}
TWILIO = {
    "event": "start",
    "streamSid": "MZ1",
    "start": {"callSid": "CA1", "streamSid": "MZ1", "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000}},
}
KEY = {"event": "dtmf", "streamSid": "MZ1", "dtmf": {"track": "inbound_track", "digit": "5"}}
READY = {"label": "rtvi-ai", "type": "client-ready", "id": "c1", "data": {"version": "2.1.0"}}

DOORS: dict[str, tuple[Opening, Any, str]] = {
    "api": (over_webrtc("/api/calls", CLEAR), RealtimeSession, "_apply"),
    "whip": (over_webrtc("/whip", CLEAR), RealtimeSession, "_apply"),
    "rtvi": (over_webrtc("/api/offer", READY), RtviTalk, "_apply"),
    "realtime calls": (over_webrtc("/v1/realtime/calls", CLEAR), RealtimeSession, "_apply"),
    "realtime socket": (
        over_websocket("/v1/realtime", None, CLEAR, "session.created"),
        RealtimeSession,
        "_apply",
    ),
    "audio socket": (
        over_websocket("/ws/audio", {"type": "start", "user_id": "doors"}, {"type": "ping"}, "started"),
        AudioSession,
        "_carry_out",
    ),
    "media stream": (over_websocket("/ws/media-stream", TWILIO, KEY, ""), TelephoneLine, "press"),
    "pbx": (over_tcp, TelephoneLine, "press"),
}
"""Each door, and what acts on what its clients say."""
