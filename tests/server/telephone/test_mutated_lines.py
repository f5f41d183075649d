"""10,000 messages of telephone bridges with something wrong in them, by every door, beside a call that must not notice.

`MORGAN_TEST_LINE_MESSAGES` says how many they are.
"""

import asyncio
import base64
import contextlib
import gc
import json
import os
import random
import struct
import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from server.app import Server
from server.calls.call import Call
from server.telephone.audio_socket import AudioSocketReader, HungUp, Sound
from server.telephone.dialects import DIALECTS, DialectName
from server.telephone.line import TelephoneLine
from tests.fuzz.mutation import mutated as mutated_bytes
from tests.leaks import leaked_tasks
from tests.media.calls import until
from tests.server.attentive import attentive_server
from tests.server.telephone.bridge import Bridge, calling
from tests.server.telephone.messages import MESSAGES, mutated
from tests.serving import free_port

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

EACH = int(os.environ.get("MORGAN_TEST_LINE_MESSAGES", "10000")) // 5
"""Messages of each door, of which there are five."""

ERRORS = {
    *("invalid_json", "unknown_message", "invalid_body", "binary_message", "already_started", "not_started"),
    *("too_far_ahead", "unknown_voice", "unknown_language", "conversation_not_found", "forbidden", "bad_user_id"),
}

CLOSED = {1000, 1008, 1009}
"""An ordinary end, a hundred errors, a message that is too long."""

VOICE = random.Random(1).randbytes(160)

PCM = struct.pack("!BH", 0x10, 320) + VOICE * 2
AUDIO_SOCKET = [
    *(PCM, PCM, PCM, struct.pack("!BH", 0x03, 1) + b"5", struct.pack("!BH", 0x00, 0)),
    *(struct.pack("!BH", 0xFF, 1) + b"\x02", struct.pack("!BH", 0x01, 16) + bytes(16)),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    folder = tmp_path_factory.mktemp("lines")
    async with attentive_server(folder, audio_socket_port=free_port(), calls_per_minute=1_000_000) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url) as session:
        yield session


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other(server: Server, http: aiohttp.ClientSession) -> AsyncIterator[Bridge]:
    """Another call, which stands all the while."""
    async with calling(http, "/ws/media-stream", "CA-other") as bridge:
        await until(lambda: server.registry.active)
        await is_answered(bridge)
        yield bridge


async def is_answered(bridge: Bridge) -> None:
    """Speak, and be spoken to."""
    before = len(bridge.played)
    bridge.say(VOICE * 50)
    await bridge.until(lambda: bridge.closed is not None or len(bridge.heard(before)) > 4_000)
    assert bridge.closed is None


async def stood_by(server: Server, call: Call, bridge: Bridge, before: set[asyncio.Task[Any]]) -> None:
    """Of all that was said nothing is left, and the other call is what it was."""
    await until(lambda: server.registry.active == [call])
    assert await leaked_tasks(before) == []
    assert not bridge.of("error")
    await is_answered(bridge)
    gc.collect()
    assert [line for line in gc.get_objects() if isinstance(line, TelephoneLine)] == [call.line]


def said(dialect: DialectName, dice: random.Random) -> dict[str, Any]:
    """A message, of which some say what is loud, and few that the call is over."""
    message: dict[str, Any] = dice.choice(MESSAGES[dialect])
    if message.get("event") == "stop" and dice.random() < 0.95:
        return said(dialect, dice)
    if "media" in message and dice.random() < 0.7:
        loud = base64.b64encode(VOICE).decode()
        message = {**message, "media": {**message["media"], "payload": loud}}
    changed: dict[str, Any] = mutated(message, dice)
    return changed


@pytest.mark.parametrize("dialect", list(DIALECTS))
async def test_whatever_a_bridge_says_is_done_or_answered_with_what_is_wrong(
    server: Server, http: aiohttp.ClientSession, other: Bridge, dialect: DialectName
) -> None:
    dice = random.Random(f"lines {dialect}")
    (call,) = server.registry.active
    row, before, sent, connections = DIALECTS[dialect], set(asyncio.all_tasks()), 0, 0
    templates = [template for template in (row.to_media, row.to_mark, row.to_clear, row.to_hang_up) if template]
    known = {"error", *(template[row.kind] for template in templates)}
    while sent < EACH:
        connections += 1
        async with http.ws_connect(f"/ws/media-stream/{dialect}") as socket:
            told: list[Any] = []
            reading = asyncio.create_task(read(socket, told))
            if dice.random() < 0.9:
                start = next(message for message in MESSAGES[dialect] if "callSid" in message or "start" in message)
                await socket.send_json(start)
            while sent < EACH and not socket.closed:
                text = json.dumps(said(dialect, dice))
                if dice.random() < 0.03:
                    text = text[: dice.randint(0, len(text))]
                sent += 1
                try:
                    binary = dice.random() < (0.3 if row.to_media is None else 0.01)
                    await (socket.send_bytes(VOICE) if binary else socket.send_str(text))
                except ConnectionError:
                    break
                await asyncio.sleep(0.02 if dice.random() < 0.02 else 0)
            await socket.close()
            await reading
        assert socket.close_code in CLOSED
        for message in told:
            if isinstance(message, bytes):
                assert row.to_media is None
                continue
            assert message[row.kind] in known, message
            if message[row.kind] == "error":
                assert message["error"]["code"] in ERRORS, message
                assert len(message["error"]["message"]) > 10
    assert connections < EACH / 10
    await stood_by(server, call, other, before)


async def read(socket: aiohttp.ClientWebSocketResponse, told: list[Any]) -> None:
    binary = aiohttp.WSMsgType.BINARY
    told.extend([each.data if each.type is binary else json.loads(each.data) async for each in socket])


async def test_whatever_a_pbx_says_is_done_or_hung_up(server: Server, other: Bridge) -> None:
    dice = random.Random("lines of a PBX")
    (call,) = server.registry.active
    before, sent = set(asyncio.all_tasks()), 0
    while sent < EACH:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.settings.audio_socket_port)
        reading = asyncio.create_task(heard(reader))
        writer.write(struct.pack("!BH", 0x01, 16) + uuid.UUID(int=dice.getrandbits(128)).bytes)
        while sent < EACH and not reading.done():
            sent += 1
            message = PCM if dice.random() < 0.8 else dice.choice(AUDIO_SOCKET)
            writer.write(mutated_bytes(message, dice) if dice.random() < 0.2 else message)
            await asyncio.sleep(0.02 if dice.random() < 0.02 else 0)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        # What comes back is sound, up to an end.
        answered = AudioSocketReader().feed(await reading)
        assert all(isinstance(message, Sound) for message in answered if message != HungUp())
    await stood_by(server, call, other, before)


async def heard(reader: asyncio.StreamReader) -> bytes:
    """All that comes back; who is hung up on in the middle of a message may find the connection reset behind it."""
    found = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            found += data
    return bytes(found)
