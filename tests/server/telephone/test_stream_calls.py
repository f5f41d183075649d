"""Calls that a bridge of the kind of Twilio's brings to `/ws/media-stream`, with real speech, engines and databases."""

import asyncio
import base64
import struct
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import numpy as np
import pytest
import pytest_asyncio

from pipeline.call.state import State
from server.app import Server
from server.calls.call import Call
from server.identity.twilio_signature import HEADER, signature
from tests.media.calls import until
from tests.server.telephone.bridge import calling, mu_law
from tests.server.telephone.running import AUTH_TOKEN, GREETING, KEY, LONG, Mind, serving_lines
from tests.serving import free_port
from tests.upstream import Server as Upstream

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

CLIPS = Path(__file__).parents[2] / "clips"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream() -> AsyncIterator[Upstream]:
    endpoint = Upstream()
    await endpoint.start()
    yield endpoint
    await endpoint.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    upstream: Upstream, models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    folder = tmp_path_factory.mktemp("telephone")
    async with serving_lines(upstream.url, models_dir, folder, audio_socket_port=free_port()) as server:
        yield server


@pytest.fixture
def mind(upstream: Upstream) -> Mind:
    """The one that answers in this test."""
    mind = Mind()
    upstream.chat = mind
    return mind


@pytest_asyncio.fixture(loop_scope="module")
async def http(running: Server) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(running.url, headers={"Authorization": f"Bearer {KEY}"}) as session:
        yield session
    await until(lambda: not running.registry.active)


def call_of(server: Server) -> Call:
    """The one call that there is."""
    (call,) = server.registry.active
    return call


async def asked_of(http: aiohttp.ClientSession, path: str, **form: str) -> str:
    async with http.post(path, data=form) as response:
        assert response.status == 200, await response.text()
        return await response.text()


async def test_a_caller_is_greeted_asks_and_is_answered_interrupts_and_hangs_up(
    running: Server, http: aiohttp.ClientSession, mind: Mind
) -> None:
    user_id = f"caller-{uuid.uuid4().hex[:8]}"
    async with calling(http, "/ws/media-stream", "CA1", user_id=user_id) as bridge:
        await bridge.until(lambda: len(bridge.heard()) > 8_000)
        await bridge.until(lambda: call_of(running).state is State.LISTENING)
        # The mark behind the greeting has come back, and tells how long what is sent takes.
        await bridge.until(lambda: len(bridge.of("mark")) == 2)
        call = call_of(running)
        before = len(bridge.played)
        bridge.say(mu_law(CLIPS / "question.wav"))
        await bridge.until(lambda: len(bridge.heard(before)) > 8_000)
        assert not bridge.of("clear")
        bridge.say(mu_law(CLIPS / "interruption.wav"))
        await bridge.until(lambda: bridge.of("clear"))
        await bridge.until(lambda: not bridge.sounding)
        await bridge.send({"event": "stop", "streamSid": "MZ1", "stop": {"accountSid": "AC1", "callSid": "CA1"}})
        await bridge.until(lambda: bridge.closed is not None)
    assert bridge.closed == 1000
    assert call.ended_reason == "hangup"
    rows = await rows_of(
        running,
        "SELECT role, content, interrupted FROM messages m JOIN conversations c ON "
        "c.id = m.conversation_id WHERE c.user_id = $1 ORDER BY sequence_number",
        user_id,
    )
    told = [(row["role"], row["interrupted"]) for row in rows]
    assert told[:3] == [("assistant", False), ("user", False), ("assistant", True)], rows
    assert rows[0]["content"] == GREETING
    # What stands there of the answer that was cut is what was heard of it.
    heard = rows[2]["content"].rstrip(".")
    assert heard
    assert LONG.startswith(heard)
    assert len(heard) < len(LONG) - 1
    (session,) = await rows_of(running, "SELECT kind, end_reason FROM streaming_sessions WHERE id = $1", call.id)
    assert (session["kind"], session["end_reason"]) == ("telephone", "hangup")


async def test_keys_reach_the_tool_that_waits_for_them_and_the_call_is_left_when_goodbye_was_heard(
    running: Server, http: aiohttp.ClientSession, mind: Mind
) -> None:
    mind.asks = [("read_keys", '{"most": 4}'), ("hang_up", "{}")]
    async with calling(http, "/ws/media-stream/twilio", "CA2") as bridge:
        await bridge.until(lambda: len(bridge.of("mark")) == 2)
        call = call_of(running)
        bridge.say(mu_law(CLIPS / "question.wav"))
        await bridge.until(lambda: call.actor.machine.counts["turns"] == 1)
        await bridge.until(lambda: call.line.keys._waiter is not None)  # type: ignore[union-attr]
        await bridge.press("4711")
        await bridge.until(lambda: "I have 4711." in [turn.text for turn in call.record.turns.values()])
        assert call.ended_reason is None
        await bridge.until(lambda: call.state is State.LISTENING)
        # What nobody waits for is a turn of the caller.
        await bridge.press("9#")
        await bridge.until(lambda: bridge.closed is not None)
    assert call.ended_reason == "hung_up"
    texts = [turn.text for turn in call.record.turns.values()]
    assert "(pressed on the keypad: 9#)" in texts
    assert texts[-1].startswith("I have The call ends")
    assert "<Hangup/>" in await asked_of(http, "/api/telephone/twilio/next", CallSid="CA2")


async def test_a_caller_who_is_passed_on_is_connected_to_whom_the_model_chose(
    running: Server, http: aiohttp.ClientSession, mind: Mind
) -> None:
    mind.asks = [("transfer_call", '{"to": "sales"}')]
    answer = await asked_of(http, "/api/telephone/twilio/answer", CallSid="CA3", From="+15550123", To="+15550199")
    assert "<Connect><Stream url=" in answer
    assert "+15550123" in answer
    url = answer.split('<Stream url="')[1].split('"')[0]
    following = answer.split("<Redirect>")[1].split("</Redirect>")[0]
    async with aiohttp.ClientSession() as stranger:
        async with calling(stranger, url.replace("ws://", "http://"), "CA3") as bridge:
            await bridge.until(lambda: len(bridge.of("mark")) == 2)
            await bridge.press("1#")
            await bridge.until(lambda: bridge.closed is not None)
        # The address lets in once.
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await stranger.ws_connect(url.replace("ws://", "http://"))
        async with stranger.post(following, data={"CallSid": "CA3"}) as response:
            assert "<Dial>+15550100</Dial>" in await response.text()
    assert "<Hangup/>" in await asked_of(http, "/api/telephone/twilio/next", CallSid="CA3")


async def test_twilio_comes_in_by_its_signature_and_nobody_by_a_wrong_one(running: Server) -> None:
    path = f"{running.url}/ws/media-stream"
    spelled = path.replace("http://", "wss://")
    async with aiohttp.ClientSession() as stranger:
        for headers in ({}, {HEADER: signature("another token", spelled)}):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await stranger.ws_connect(path, headers=headers)
            assert refused.value.status == 401
        async with calling(stranger, path, "CA4", {HEADER: signature(AUTH_TOKEN, spelled)}) as bridge:
            await bridge.until(lambda: running.registry.active)
        asked = f"{running.url}/api/telephone/twilio/answer"
        form = {"CallSid": "CA4", "From": "+15550123"}
        signed = {HEADER: signature(AUTH_TOKEN, asked, list(form.items()))}
        async with stranger.post(asked, data=form, headers=signed) as response:
            assert response.status == 200
            assert "+15550123" in await response.text()
        async with stranger.post(asked, data={**form, "From": "+15550666"}, headers=signed) as response:
            assert response.status == 401
        basic = {"Authorization": f"Basic {base64.b64encode(f'twilio:{KEY}'.encode()).decode()}"}
        async with stranger.post(asked, data=form, headers=basic) as response:
            assert response.status == 200


async def test_a_mark_that_is_no_answer_comes_back_when_all_before_it_was_heard_and_a_clear_silences(
    running: Server, http: aiohttp.ClientSession, mind: Mind
) -> None:
    async with calling(http, "/ws/media-stream", "CA5") as bridge:
        await bridge.until(lambda: bridge.sounding)
        speaker = call_of(running).line.speaker  # type: ignore[union-attr]
        await bridge.send({"event": "mark", "streamSid": "MZ1", "mark": {"name": "mine"}})
        await bridge.until(lambda: {"name": "mine"} in [told["mark"] for told in bridge.of("mark")])
        assert speaker.position > 0
        await bridge.until(lambda: call_of(running).state is State.LISTENING)
        await bridge.press("5#")
        before = len(bridge.played)
        await bridge.until(lambda: len(bridge.heard(before)) > 4_000)
        await bridge.send({"event": "clear", "streamSid": "MZ1"})
        await bridge.until(lambda: bridge.of("clear"))
        await bridge.until(lambda: not bridge.sounding)
        # The bridge answers the mark that came back with the same name: that is the end of it.
        assert [told["mark"]["name"] for told in bridge.of("mark")].count("mine") == 1


def frame(kind: int, payload: bytes = b"") -> bytes:
    return struct.pack("!BH", kind, len(payload)) + payload


async def test_a_pbx_announces_a_call_and_brings_it_over_audio_socket(
    running: Server, http: aiohttp.ClientSession, mind: Mind
) -> None:
    mind.asks = [("transfer_call", '{"to": "sales"}')]
    identity = await asked_of(http, "/api/telephone/asterisk/answer", From="5550123", To="100")
    reader, writer = await asyncio.open_connection("127.0.0.1", running.settings.audio_socket_port)
    writer.write(frame(0x01, uuid.UUID(identity).bytes) + frame(0x10, bytes(320)))
    heard = bytearray()

    async def listen() -> None:
        while True:
            kind, length = struct.unpack("!BH", await reader.readexactly(3))
            heard.extend((await reader.readexactly(length)) if kind == 0x10 else b"")
            if kind == 0x00:
                return

    async def speak() -> None:
        while True:
            writer.write(frame(0x10, bytes(320)))
            await asyncio.sleep(0.02)

    speaking, listening = asyncio.create_task(speak()), asyncio.create_task(listen())
    await until(lambda: running.registry.active)
    call = call_of(running)
    await until(lambda: len(heard) > 16_000 and call.state is State.LISTENING)
    assert np.abs(np.frombuffer(bytes(heard), "<i2")).max() > 1_000
    writer.write(frame(0x03, b"1") + frame(0x03, b"#"))
    async with asyncio.timeout(60):
        await listening
    speaking.cancel()
    writer.close()
    await until(lambda: call.ended_reason is not None)
    assert (call.kind, call.ended_reason) == ("telephone", "transferred")
    assert await asked_of(http, "/api/telephone/asterisk/next", uuid=identity) == "+15550100"
    assert await asked_of(http, "/api/telephone/asterisk/next", uuid=identity) == ""


@pytest.mark.parametrize(
    "wrong",
    [frame(0x01, bytes(range(16))), frame(0x10, bytes(320)), frame(0x01, b"x"), b"GET / HTTP/1.1\r\n"],
    ids=["not-announced", "sound-first", "short-id", "http"],
)
async def test_what_was_not_announced_or_is_no_call_is_hung_up(running: Server, wrong: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.settings.audio_socket_port)
    writer.write(wrong + frame(0x10, bytes(320)))
    async with asyncio.timeout(30):
        assert await reader.read() == frame(0x00)
    writer.close()
    assert not running.registry.active


async def rows_of(server: Server, query: str, *values: object) -> list[Any]:
    """What stands in the database once all that was said has got there."""
    memory = server.memory.memory
    assert memory is not None
    await memory.settle()
    connection = await asyncpg.connect(memory.postgres.dsn)
    try:
        rows: list[Any] = await connection.fetch(query, *values)
        return rows
    finally:
        await connection.close()
