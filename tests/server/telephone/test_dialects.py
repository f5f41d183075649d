"""A call by each dialect of a bridge: greeted in its words, marks understood, silenced by a key, heard, and hung up."""

import asyncio
import base64
import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np
import pytest
import pytest_asyncio

from media.telephone_band import WireFormat, to_linear
from server.app import Server
from server.telephone.dialects import DialectName
from server.telephone.line import FAR_END_S, TelephoneLine
from tests.media.calls import until
from tests.server.attentive import HEARD, attentive_server
from tests.server.telephone.bridge import LOUD
from tests.server.telephone.messages import MESSAGES

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

Json = dict[str, Any]

GREETING = "Hello, you have reached the office, and this goes on for a good while, as long as nobody presses a key."

VOICE = random.Random(1).randbytes(320)
"""20 ms of plain samples, or of a law in its first half: loud by whichever it is read."""

SILENT = {"mulaw": b"\xff" * 320, "alaw": b"\xd5" * 320, "linear": bytes(320)}


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a bridge of one dialect is told, and says.

    Attributes:
        wire: its sound.
        media: a message of sound to it without the sound itself; None where that is binary.
        mark: a mark to it, by its name.
        clear: that it is to throw sound away.
        played: its answer to a mark.
        key: that the caller pressed 5.
    """

    wire: WireFormat
    media: Json | None
    mark: Callable[[str], Json]
    clear: Json
    played: Callable[[str], Json]
    key: Json


SPOKEN: dict[DialectName, Spoken] = {
    "twilio": Spoken(
        WireFormat("mulaw"),
        {"event": "media", "streamSid": "MZ1", "media": {}},
        lambda name: {"event": "mark", "streamSid": "MZ1", "mark": {"name": name}},
        {"event": "clear", "streamSid": "MZ1"},
        lambda name: {"event": "mark", "streamSid": "MZ1", "sequenceNumber": "9", "mark": {"name": name}},
        {"event": "dtmf", "streamSid": "MZ1", "dtmf": {"track": "inbound_track", "digit": "5"}},
    ),
    "plivo": Spoken(
        WireFormat("mulaw"),
        {"event": "playAudio", "media": {"contentType": "audio/x-mulaw", "sampleRate": 8000}},
        lambda name: {"event": "checkpoint", "streamId": "MZ1", "name": name},
        {"event": "clearAudio", "streamId": "MZ1"},
        lambda name: {"event": "playedStream", "streamId": "MZ1", "name": name},
        {"event": "dtmf", "streamId": "MZ1", "dtmf": {"track": "inbound", "digit": "5", "timestamp": "1"}},
    ),
    "telnyx": Spoken(
        WireFormat("alaw"),
        {"event": "media", "media": {}},
        lambda name: {"event": "mark", "mark": {"name": name}},
        {"event": "clear"},
        lambda name: {"event": "mark", "stream_id": "MZ1", "mark": {"name": name}},
        {"event": "dtmf", "stream_id": "MZ1", "dtmf": {"digit": "5"}},
    ),
    "jambonz": Spoken(
        WireFormat("linear"),
        None,
        lambda name: {"type": "mark", "data": {"name": name}},
        {"type": "killAudio"},
        lambda name: {"type": "mark", "data": {"name": name, "event": "playout"}},
        {"event": "dtmf", "dtmf": "5", "duration": "1600"},
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    async with attentive_server(tmp_path_factory.mktemp("dialects"), telephone_greeting=GREETING) as running:
        yield running


class Bridge:
    """A bridge that plays nothing and notes what it is told."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, spoken: Spoken) -> None:
        self._socket = socket
        self._spoken = spoken
        self.told: list[Json] = []
        self.sound = bytearray()
        self.says = SILENT[spoken.wire.encoding]

    async def listen(self) -> None:
        """Take in what comes."""
        async for message in self._socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                assert self._spoken.media is None
                self.sound += message.data
                continue
            told = json.loads(message.data)
            payload = told.get("media", {}).pop("payload", None)
            if payload is None:
                self.told.append(told)
                continue
            assert told == self._spoken.media
            self.sound += base64.b64decode(payload)

    async def speak(self) -> None:
        """Bring the caller's sound, 20 ms at a time."""
        while True:
            if self._spoken.media is None:
                await self._socket.send_bytes(self.says)
            else:
                media = {"track": "inbound", "payload": base64.b64encode(self.says[:160]).decode()}
                await self._socket.send_json({"event": "media", "media": media})
            await asyncio.sleep(0.02)

    def heard(self, since: int = 0) -> int:
        """Samples of Morgan's that are a voice, from some byte on."""
        linear = np.frombuffer(to_linear(bytes(self.sound[since:]), self._spoken.wire.encoding), "<i2")
        return int((np.abs(linear.astype(np.int32)) > LOUD).sum())


@pytest.mark.parametrize("dialect", list(SPOKEN))
async def test_a_call_is_spoken_in_the_words_of_its_bridge(server: Server, dialect: DialectName) -> None:
    spoken = SPOKEN[dialect]
    start = next(each for each in MESSAGES[dialect] if "callSid" in each or "start" in each)
    async with aiohttp.ClientSession(server.url) as http, http.ws_connect(f"/ws/media-stream/{dialect}") as socket:
        bridge = Bridge(socket, spoken)
        await socket.send_json(start)
        tasks = [asyncio.create_task(bridge.listen()), asyncio.create_task(bridge.speak())]
        await until(lambda: bridge.heard() > 4_000)
        (call,) = server.registry.active
        assert call.options.user_id == "somebody"
        line = call.line
        assert isinstance(line, TelephoneLine)
        # A mark stands at the beginning of what is said, and its answer tells how long sound takes to the ear.
        await until(lambda: bridge.told)
        told = bridge.told[0]
        name = next(name for name in _names(told) if told == spoken.mark(name))
        await socket.send_json(spoken.played(name))
        await until(lambda: line.stats()["far_end_s"] != FAR_END_S)
        await socket.send_json(spoken.key)
        await until(lambda: spoken.clear in bridge.told)
        # Heard, and answered.
        before = len(bridge.sound)
        bridge.says = VOICE
        await asyncio.sleep(1.0)
        bridge.says = SILENT[spoken.wire.encoding]
        await until(lambda: any(HEARD in turn.text for turn in call.record.turns.values()))
        await until(lambda: bridge.heard(before) > 4_000)
        assert not any(each.get("event", each.get("type")) == "error" for each in bridge.told)
        if dialect == "jambonz":
            await socket.close()
        else:
            await socket.send_json(MESSAGES[dialect][-1])
        await until(lambda: call.ended_reason is not None)
        assert call.ended_reason == "hangup"
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionError):
            await asyncio.gather(*tasks)


def _names(message: Any) -> list[str]:
    """All texts in a message."""
    if isinstance(message, dict):
        return [name for part in message.values() for name in _names(part)]
    return [message] if isinstance(message, str) else []
