"""A call over a WebSocket, from outside, on a real server."""

import asyncio
import base64
import json
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pipeline.text.normalise import normalise
from tests.e2e.audio_socket_client import RATE, AudioSocketClient, Json, audio_socket, samples
from tests.e2e.test_call_memory import ended_session, rows
from tests.serving import RunningServer
from tests.spoken import spoken

LANGUAGE = {"language": "en"}


async def transcribed(server: RunningServer, pcm: bytes) -> str:
    """What Whisper makes of audio that was heard."""
    host, port = server.url.rsplit(":", 1)
    headers = {"Content-Type": "audio/pcm;rate=24000"}
    async with (
        aiohttp.ClientSession(f"{host}:{int(port) + 3}", headers=headers) as http,
        http.post("/transcribe", data=pcm, params=LANGUAGE) as response,
    ):
        return str((await response.json())["text"])


def alike(one: str, other: str) -> float:
    """Share of the words of the one that are in the other."""
    words, others = normalise(one).split(), set(normalise(other).split())
    return sum(word in others for word in words) / max(len(words), 1)


@dataclass
class Talk:
    """A question in real speech, and a reply that was cut short."""

    user_id: str
    started: Json
    client: AudioSocketClient
    described: Json
    transcribed: str


@pytest.fixture(scope="module")
def talk(server: RunningServer, shared_audio: Path) -> Talk:
    async def talking() -> Talk:
        user_id = f"ws-{uuid.uuid4().hex[:8]}"
        async with audio_socket(server.url, user_id=user_id, **LANGUAGE) as client:
            started = client.all("started")[0]
            await client.say(samples(shared_audio / "weather.wav"))
            await client.wait("audio_start")
            await client.until(lambda: client.heard_s() > 3.0)
            async with (
                aiohttp.ClientSession(server.url) as http,
                http.get(f"/api/calls/{started['session_id']}") as response,
            ):
                described = await response.json()
            await client.socket.send_json({"type": "interrupt"})
            await client.wait("interrupted")
            await client.socket.send_json({"type": "stop"})
            await client.wait("closed")
        return Talk(user_id, started, client, described, await transcribed(server, client.heard()))

    return asyncio.run(talking())


def test_what_was_said_is_transcribed(talk: Talk) -> None:
    final = [each for each in talk.client.all("transcript") if each["final"]]
    assert final[-1]["text"] == spoken("what is the weather in paris")


def test_the_audio_says_the_words_of_the_reply(talk: Talk) -> None:
    (interrupted,) = talk.client.all("interrupted")
    text = "".join(each["text"] for each in talk.client.all("response_text"))
    assert text.startswith(interrupted["text"][:10])
    assert len(interrupted["text"]) < len(text.strip())
    assert talk.client.loudness() > 100
    assert alike(interrupted["text"], talk.transcribed) > 0.7, (interrupted["text"], talk.transcribed)


def test_audio_comes_as_it_is_to_be_heard_and_stops_with_the_reply(talk: Talk) -> None:
    began = next(at for at, message in talk.client.told if message["type"] == "audio_start")
    ended = next(at for at, message in talk.client.told if message["type"] == "audio_end")
    assert all(at <= ended for at, _ in talk.client.audio)
    # The server is never ahead of real time; the rest is what this process may have been late by.
    assert talk.client.heard_s() <= ended - began + 0.5
    (interrupted,) = talk.client.all("interrupted")
    assert interrupted["audio_ms"] == pytest.approx(talk.client.heard_s() * 1000, abs=250)


def test_a_session_ends_in_order(talk: Talk) -> None:
    assert [message["type"] for _, message in talk.client.told][-2:] == ["ended", "closed"]
    assert talk.client.all("ended")[0]["reason"] == "stop"
    assert talk.client.all("closed")[0]["code"] == 1000


def test_a_session_is_a_call_like_others(talk: Talk) -> None:
    assert (talk.described["kind"], talk.described["state"]) == ("ws", "speaking")
    assert talk.described["turns"][0]["voice_to_voice_ms"] == talk.client.all("latency")[0]["voice_to_voice_ms"]
    assert talk.described["media"]["bytes_received"] > 50_000


async def test_a_session_lands_in_the_database(server: RunningServer, talk: Talk) -> None:
    dsn = server.environment()["MORGAN_POSTGRES_DSN"]
    session = await ended_session(dsn, talk.started["session_id"])
    assert (session["kind"], session["user_id"], session["end_reason"]) == ("ws", talk.user_id, "stop")
    messages = await rows(
        dsn,
        "SELECT * FROM messages WHERE conversation_id = $1 ORDER BY sequence_number",
        uuid.UUID(talk.started["conversation_id"]),
    )
    (interrupted,) = talk.client.all("interrupted")
    assert [(each["role"], each["interrupted"]) for each in messages] == [("user", False), ("assistant", True)]
    assert messages[1]["content"] == interrupted["text"]
    (heard,) = await rows(dsn, "SELECT * FROM audio_transcriptions WHERE session_id = $1", talk.started["session_id"])
    assert heard["message_id"] == messages[0]["id"]


async def test_who_speaks_over_a_reply_interrupts_it(server: RunningServer, repository: Path) -> None:
    clips = repository / "tests" / "clips"
    async with audio_socket(server.url, user_id="interrupter", **LANGUAGE) as client:
        await client.socket.send_json({"type": "text", "text": "Tell me a long story about a brave little dog."})
        await client.wait("audio_start")
        await client.until(lambda: client.heard_s() > 1.5)
        await client.say(samples(clips / "interruption.wav"))
        interrupted = await client.wait("interrupted")
        assert interrupted["reason"] == "turn_detected"
        assert interrupted["text"]

        def whole() -> str:
            """The last final transcript: where the machine is slow, "Wait" alone may be one, and is taken up again."""
            finals = [each["text"] for each in client.all("transcript") if each["final"]]
            return normalise(finals[-1]) if finals else ""

        await client.until(lambda: "rome" in whole() or "stop" in whole())
        assert whole().startswith(("wait", "stop"))


async def test_two_sessions_at_once_are_told_apart(server: RunningServer, repository: Path, shared_audio: Path) -> None:
    async def ask(clip: Path) -> str:
        async with audio_socket(server.url, user_id=f"one-of-two-{clip.stem}", **LANGUAGE) as client:
            await client.say(samples(clip))
            await client.wait("audio_start")
            return str([each for each in client.all("transcript") if each["final"]][-1]["text"])

    weather, question = await asyncio.gather(
        ask(shared_audio / "weather.wav"), ask(repository / "tests" / "clips" / "question.wav")
    )
    assert weather == spoken("what is the weather in paris")
    assert question == spoken("how are you today")


async def test_a_file_sent_at_once_in_odd_pieces_is_understood_and_answered_to_the_end(
    server: RunningServer, repository: Path
) -> None:
    async with audio_socket(server.url, user_id="hasty", **LANGUAGE) as client:
        pcm = samples(repository / "tests" / "clips" / "question.wav")
        for start in range(0, len(pcm), 7_777):
            await client.socket.send_bytes(pcm[start : start + 7_777])
        await client.socket.send_json({"type": "stop"})
        await client.wait("audio_start")
        sent_at = time.monotonic()
        await client.socket.send_json({"type": "audio", "data": base64.b64encode(b"\0" * 320).decode()})
        assert (await client.wait("error"))["error"]["code"] == "stopped"
        # The reply that sounds when stop has come is heard to its end.
        await client.wait("ended", reason="stop", timeout_s=60)
    final = [each["text"] for each in client.all("transcript") if each["final"]]
    assert final[-1] == spoken("how are you today")
    (done,) = client.all("response_done")
    assert done["text"] == "".join(each["text"] for each in client.all("response_text")).strip()
    assert client.audio[-1][0] > sent_at


@pytest.mark.parametrize("length", [0.4, 1.2])
async def test_what_comes_in_a_burst_after_a_stall_is_understood(
    server: RunningServer, repository: Path, length: float
) -> None:
    pcm = bytes(2 * RATE) + samples(repository / "tests" / "clips" / "recall.wav") + bytes(4 * RATE)
    async with audio_socket(server.url, user_id="ws-stall", **LANGUAGE) as client:
        await client.say(pcm, stall=(1.5, 1.5 + length))
        await client.wait("audio_start")
        finals = [each["text"] for each in client.all("transcript") if each["final"]]
        await client.socket.send_json({"type": "stop"})
        await client.wait("closed")
    assert alike("Can you tell me what my dog is called?", finals[-1]) >= 0.85


async def test_messages_that_make_no_sense_are_explained_and_the_session_goes_on(server: RunningServer) -> None:
    bad: list[tuple[Any, str]] = [
        ("{", "invalid_json"),
        ("[]", "unknown_message"),
        ({"type": "dance"}, "unknown_message"),
        ({"type": "audio", "data": "%%%"}, "invalid_base64"),
        ({"type": "audio"}, "invalid_body"),
        ({"type": "text", "text": "  "}, "invalid_body"),
        ({"type": "start", "user_id": "again"}, "already_started"),
    ]
    async with audio_socket(server.url, user_id="clumsy") as client:
        for message, code in bad:
            await client.socket.send_str(message if isinstance(message, str) else json.dumps(message))
            told = await client.until(lambda: client.all("error"))
            assert told[-1]["error"]["code"] == code, message
            client.told.clear()
        await client.socket.send_json({"type": "ping"})
        await client.wait("pong")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "stop"}, "not_started"),
        ({"type": "start"}, "invalid_body"),
        ({"type": "start", "user_id": "me", "sample_rate": 11}, "invalid_body"),
        ({"type": "start", "user_id": "me", "voice": "nobody"}, "unknown_voice"),
        ({"type": "start", "user_id": "me", "language": "klingon"}, "unknown_language"),
    ],
)
async def test_a_bad_beginning_is_explained_and_can_be_mended(server: RunningServer, message: Json, code: str) -> None:
    async with audio_socket(server.url) as client:
        await client.socket.send_json(message)
        assert (await client.wait("error"))["error"]["code"] == code
        await client.socket.send_json({"type": "start", "user_id": "me"})
        await client.wait("started")


async def test_somebody_elses_conversation_is_not_found(server: RunningServer, talk: Talk) -> None:
    async with audio_socket(server.url) as client:
        start = {"type": "start", "user_id": "stranger", "conversation_id": talk.started["conversation_id"]}
        await client.socket.send_json(start)
        assert (await client.wait("error"))["error"]["code"] == "conversation_not_found"


async def test_audio_too_far_ahead_is_refused(server: RunningServer) -> None:
    async with audio_socket(server.url, user_id="flood") as client:
        for _ in range(4):
            await client.socket.send_bytes(b"\0" * 32_000 * 20)
        assert (await client.wait("error"))["error"]["code"] == "too_far_ahead"


async def test_a_message_that_is_too_long_closes_the_connection(server: RunningServer) -> None:
    async with audio_socket(server.url, user_id="giant") as client:
        await client.socket.send_bytes(b"\0" * 1_100_000)
        assert (await client.wait("closed"))["code"] == 1009


async def test_a_session_can_be_hung_up_by_rest_but_not_moved(server: RunningServer) -> None:
    async with audio_socket(server.url, user_id="hung-up") as client, aiohttp.ClientSession(server.url) as http:
        call = f"/api/calls/{client.all('started')[0]['session_id']}"
        async with http.patch(call, json={"candidates": []}) as response:
            assert response.status == 409
        async with http.get("/api/calls") as response:
            assert "ws" in [each["kind"] for each in (await response.json())["calls"]]
        async with http.delete(call) as response:
            assert response.status == 204
        assert (await client.wait("ended"))["reason"] == "hangup"
        assert (await client.wait("closed"))["code"] == 1000


async def test_what_is_no_websocket_is_told_so(server: RunningServer) -> None:
    async with aiohttp.ClientSession(server.url) as http, http.get("/ws/audio") as response:
        assert response.status == 400
        assert (await response.json())["error"]["code"] == "websocket_expected"
