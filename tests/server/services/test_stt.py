"""The STT service from outside: recordings, streams, WebSockets, on a real server."""

import asyncio
import base64
import gzip
import io
import json
import struct
import wave
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import numpy as np
import pytest
import soundfile
import soxr

from server.bounds import MAX_HELD
from tests.media.test_audio_file import encoded
from tests.serving import RunningServer, serving
from tests.spoken import spoken

QUESTION = "What is the weather in Paris?"
Json = dict[str, Any]


def stt_url(server: RunningServer) -> str:
    host, port = server.url.rsplit(":", 1)
    return f"{host}:{int(port) + 3}"


@pytest.fixture(scope="module")
def url(server: RunningServer) -> str:
    return stt_url(server)


@pytest.fixture(scope="module")
def pcm(shared_audio: Path) -> bytes:
    """The question, 16 kHz s16le."""
    samples, rate = soundfile.read(shared_audio / "weather.wav", dtype="float32")
    return (soxr.resample(samples, rate, 16_000) * 32_767).astype("<i2").tobytes()


def form(data: bytes, **fields: str) -> aiohttp.FormData:
    made = aiohttp.FormData(fields)
    made.add_field("file", data, filename="speech", content_type="application/octet-stream")
    return made


async def post(url: str, **request: Any) -> tuple[int, Json]:
    async with aiohttp.ClientSession() as client, client.post(url, **request) as response:
        return response.status, await response.json()


async def start(url: str, **wanted: Any) -> str:
    status, told = await post(f"{url}/stream/start", json=wanted)
    assert status == 200, told
    return str(told["session_id"])


async def chunk(url: str, session_id: str, data: bytes) -> tuple[int, Json]:
    return await post(f"{url}/stream/{session_id}/chunk", json={"audio_data": base64.b64encode(data).decode()})


async def stream(url: str, data: bytes, seconds: float = 0.5) -> Json:
    """A whole session: start, chunks, end."""
    session_id = await start(url, language="auto")
    size = int(seconds * 32_000)
    for at in range(0, len(data), size):
        status, told = await chunk(url, session_id, data[at : at + size])
        assert status == 200, told
        assert told.keys() >= {"partial", "segments", "is_speech"}
    status, told = await post(f"{url}/stream/{session_id}/end")
    assert status == 200, told
    return told


# Recordings ----------------------------------------------------------------------------------------------------------


async def test_a_file_is_transcribed_with_segments_and_words(url: str, shared_audio: Path) -> None:
    data = (shared_audio / "weather.wav").read_bytes()
    status, told = await post(f"{url}/transcribe", data=form(data, word_timestamps="true"))
    assert status == 200
    assert (told["text"], told["language"]) == (spoken(QUESTION), "en")
    (segment,) = told["segments"]
    assert 0.2 < segment["start"] < segment["end"] < 1.87
    assert [word["word"] for word in segment["words"]] == spoken(QUESTION)
    assert told["confidence"] > 0.8
    assert told["duration_s"] == pytest.approx(1.868, abs=0.01)


async def test_a_body_of_plain_samples_is_transcribed(url: str, pcm: bytes) -> None:
    headers = {"Content-Type": "audio/pcm;rate=16000"}
    status, told = await post(f"{url}/transcribe?language=en", data=pcm, headers=headers)
    assert (status, told["text"]) == (200, spoken(QUESTION))


async def test_base64_in_json_is_transcribed_at_its_rate(url: str, pcm: bytes) -> None:
    eight = soxr.resample(np.frombuffer(pcm, "<i2"), 16_000, 8_000).astype("<i2").tobytes()
    body = {"audio_data": base64.encodebytes(eight).decode(), "sample_rate": 8_000, "language": "auto"}
    status, told = await post(f"{url}/transcribe/realtime", json=body)
    assert (status, told["text"], told["is_speech"]) == (200, spoken(QUESTION), True)


async def test_silence_has_no_words(url: str) -> None:
    body = {"audio_data": base64.b64encode(b"\0" * 64_001).decode()}
    status, told = await post(f"{url}/transcribe/realtime", json=body)
    assert (status, told["text"], told["segments"], told["is_speech"]) == (200, "", [], False)
    status, told = await post(f"{url}/transcribe/realtime", json={"audio_data": ""})
    assert (status, told["text"], told["duration_s"]) == (200, "", 0.0)


async def test_a_wav_file_without_samples_has_no_words(url: str) -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as output:
        output.setnchannels(1)
        output.setsampwidth(2)
        output.setframerate(16_000)
    status, told = await post(f"{url}/transcribe", data=form(file.getvalue()))
    assert (status, told["text"], told["duration_s"]) == (200, "", 0.0)


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"data": form(b"")}, 422, "no_audio"),
        ({"data": form(b"this is no sound" * 100)}, 415, "unsupported_audio"),
        ({"data": form(b"fLaC" + b"\0" * 100)}, 422, "invalid_audio"),
        ({"data": aiohttp.FormData({"language": "en"}, default_to_multipart=True)}, 422, "invalid_body"),
        ({"json": {"file": "no"}}, 415, "unsupported_media_type"),
        ({"data": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "invalid_form"),
        ({"data": b"--x", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 400, "invalid_form"),
        ({"data": b"\0\0", "headers": {"Content-Type": "audio/pcm;rate=1"}}, 400, "unsupported_pcm"),
        ({"data": b"\0\0", "headers": {"Content-Type": "audio/pcm;channels=2"}}, 400, "unsupported_pcm"),
        ({"data": form(b"\0", language="klingon")}, 422, "unknown_language"),
        ({"data": form(b"\0", word_timestamps="perhaps")}, 422, "invalid_body"),
    ],
)
async def test_what_cannot_be_transcribed_is_refused(url: str, request_: Json, status: int, code: str) -> None:
    # A form can be sent once only, and parametrize makes it once.
    answered, told = await post(f"{url}/transcribe", **request_)
    assert (answered, told["error"]["code"]) == (status, code), told
    assert told["error"]["message"]


async def test_too_much_audio_is_refused(url: str, pcm: bytes) -> None:
    headers = {"Content-Type": "audio/pcm;rate=8000"}
    status, told = await post(f"{url}/transcribe", data=b"\0" * (27 * 1024 * 1024), headers=headers)
    assert status == 413
    # Half an hour is the limit, and a WAV header may claim anything.
    status, told = await post(f"{url}/transcribe", data=_wav_of(8_000, 1_900), headers={"Content-Type": "audio/wav"})
    assert (status, told["error"]["code"]) == (413, "audio_too_long")


def _wav_of(rate: int, seconds: int) -> bytes:
    """Silence in 8-bit samples, so that half an hour is small."""
    size = rate * seconds
    fmt = struct.pack("<IHHIIHH", 16, 1, 1, rate, rate, 1, 8)
    return (
        b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + fmt + b"data" + struct.pack("<I", size) + b"\x80" * size
    )


async def test_a_file_that_claims_one_sample_a_second_is_refused(url: str) -> None:
    flac = encoded("flac", "flac", 1, 400)
    status, told = await post(f"{url}/transcribe", data=form(flac))
    assert (status, told["error"]["code"]) == (422, "invalid_audio"), told
    assert "1 samples a second" in told["error"]["message"]


async def test_bodies_count_as_what_they_are_once_unpacked(url: str) -> None:
    """Twelve bodies of 24 KB each that unpack to 24 MB, none of them ever complete."""
    bomb = gzip.compress(bytes(24 * 1024 * 1024))
    host, port = url.removeprefix("http://").split(":")
    head = (
        f"POST /transcribe HTTP/1.1\r\nHost: {host}\r\nContent-Type: audio/pcm\r\nContent-Encoding: gzip\r\n"
        f"Content-Length: {len(bomb)}\r\n\r\n"
    )
    connections = [await asyncio.open_connection(host, int(port)) for _ in range(12)]
    for _, writer in connections:
        writer.write(head.encode() + bomb[:-1])
    answers = [asyncio.create_task(reader.readline()) for reader, _ in connections]
    done, waiting = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
    assert {task.result().split()[1] for task in done} == {b"503"}
    assert len(waiting) >= 8
    async with aiohttp.ClientSession() as client:
        held = (await (await client.get(f"{url}/health")).json())["load"]["upload_bytes"]
        assert 8 * 24 * 1024 * 1024 <= held <= MAX_HELD
        for _, writer in connections:
            writer.close()
        await asyncio.gather(*answers, return_exceptions=True)
        while (await (await client.get(f"{url}/health")).json())["load"]["upload_bytes"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_hanging_up_ends_the_work(url: str, shared_audio: Path) -> None:
    lecture = form((shared_audio / "lecture.wav").read_bytes())
    async with aiohttp.ClientSession() as client:
        async with client.get(f"{url}/health") as response:
            before = (await response.json())["load"]["transcriptions"]
        with pytest.raises(TimeoutError):
            await client.post(f"{url}/transcribe", data=lecture, timeout=aiohttp.ClientTimeout(total=1.5))
        for _ in range(50):
            async with client.get(f"{url}/health") as response:
                load = (await response.json())["load"]
            if not load["upload_bytes"]:
                break
            await asyncio.sleep(0.1)
    assert (load["upload_bytes"], load["transcriptions"]) == (0, before)


async def test_transcriptions_are_written_down(url: str, server: RunningServer, pcm: bytes) -> None:
    headers = {"Content-Type": "audio/pcm"}
    connection = await asyncpg.connect(server.environment()["MORGAN_POSTGRES_DSN"])
    try:
        began = await connection.fetchval("SELECT now()")
        await post(f"{url}/transcribe", data=pcm, headers=headers)
        ended = await stream(url, pcm)
        query = "SELECT * FROM audio_transcriptions WHERE text = $1 AND message_id IS NULL AND created_at > $2"
        for _ in range(100):
            rows = await connection.fetch(query, ended["text"], began)
            if {row["session_id"][:4] for row in rows} == {"uplo", "stt_"}:
                break
            await asyncio.sleep(0.1)
    finally:
        await connection.close()
    assert {row["session_id"][:4] for row in rows} == {"uplo", "stt_"}
    assert all(row["language"] == "en" and row["confidence"] > 0.8 for row in rows)
    assert all(row["model"] == "whisper-base" and row["duration_ms"] in range(1_850, 1_890) for row in rows)


# Streams -------------------------------------------------------------------------------------------------------------


async def test_twenty_streams_at_once_are_all_right(url: str, server: RunningServer, pcm: bytes) -> None:
    before = _memory(server)
    results = await asyncio.gather(*(stream(url, pcm) for _ in range(20)))
    assert [result["text"] for result in results] == [spoken(QUESTION)] * 20
    assert all(result["language"] == "en" for result in results)
    assert _memory(server) - before < 300 * 1024 * 1024


def _memory(server: RunningServer) -> int:
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


async def test_a_stream_tells_what_it_hears_before_it_ends(url: str, pcm: bytes) -> None:
    session_id = await start(url)
    _, told = await chunk(url, session_id, pcm)
    for _ in range(20):
        if told["unstable"] or told["partial"]:
            break
        _, told = await chunk(url, session_id, b"\0" * 3_200)
    assert "weather" in f"{told['partial']} {told['unstable']}"
    _, told = await post(f"{url}/stream/{session_id}/end")
    assert told["text"] == spoken(QUESTION)
    assert (await post(f"{url}/stream/{session_id}/end"))[1] == told
    assert (await chunk(url, session_id, pcm))[0] == 404


async def test_wrong_stream_requests_are_refused(url: str) -> None:
    session_id = await start(url)
    for body, status in [
        ({"audio_data": "%%%"}, 400),
        ({"audio_data": "AAA"}, 400),
        ({}, 422),
        ({"audio_data": 5}, 422),
    ]:
        assert (await post(f"{url}/stream/{session_id}/chunk", json=body))[0] == status
    for path in (f"stt_{'0' * 32}", "nobody", "%00"):
        assert (await post(f"{url}/stream/{path}/end"))[0] == 404
    assert (await post(f"{url}/stream/start", json={"language": "xx"}))[0] == 422
    assert (await post(f"{url}/stream/start", json={"sample_rate": 1}))[0] == 422
    assert (await post(f"{url}/stream/{session_id}/end"))[1]["text"] == ""


async def test_a_websocket_tells_partials_and_the_final_text(url: str, pcm: bytes) -> None:
    session_id = await start(url, language="en", sample_rate=16_000)
    partials: list[Json] = []
    async with aiohttp.ClientSession() as client, client.ws_connect(f"{url}/ws/stream/{session_id}") as socket:
        for at in range(0, len(pcm), 6_401):
            await socket.send_bytes(pcm[at : at + 6_401])
            await asyncio.sleep(0.1)
        await socket.send_json({"type": "end"})
        async for message in socket:
            told = message.json()
            if told["type"] == "final":
                break
            partials.append(told)
        assert told["text"] == spoken(QUESTION)
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
    assert all(partial["type"] == "partial" for partial in partials)
    assert any(partial["unstable"] or partial["partial"] for partial in partials)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("[" * 100_000, "too_many_values"),
        ("[" * 10_000, "invalid_json"),
        ('{"type":"audio","audio_data":' + '{"a":' * 10_000, "invalid_json"),
        ('{"type":"audio","audio_data":"","x":' + "[" * 900 + "]" * 900 + "}", "invalid_json"),
        ("[]", "unknown_message"),
        ('{"type":["end"]}', "unknown_message"),
        ('{"type":"audio","audio_data":5}', "invalid_body"),
        ('"\\ud800"', "invalid_json"),
    ],
)
async def test_a_message_that_makes_no_sense_is_told_over_the_websocket(url: str, message: str, code: str) -> None:
    """Also one that nests: it was answered with an HTTP response, in the middle of the WebSocket."""
    session_id = await start(url)
    async with aiohttp.ClientSession() as client, client.ws_connect(f"{url}/ws/stream/{session_id}") as socket:
        await socket.send_str(message)
        while (told := json.loads(await socket.receive_str()))["type"] == "partial":
            pass
        assert (told["type"], told["error"]["code"]) == ("error", code)
        await socket.send_str('{"type":"end"}')
        while (told := json.loads(await socket.receive_str()))["type"] == "partial":
            pass
        assert (told["type"], told["text"]) == ("final", "")


async def test_a_websocket_that_breaks_can_be_opened_again(url: str, pcm: bytes) -> None:
    session_id = await start(url)
    async with aiohttp.ClientSession() as client:
        async with client.ws_connect(f"{url}/ws/stream/{session_id}") as socket:
            await socket.send_bytes(pcm[:30_000])
            await socket.send_str("no JSON")
            while (told := await socket.receive_json())["type"] != "error":
                pass
            assert told["error"]["code"] == "invalid_json"
        async with client.ws_connect(f"{url}/ws/stream/{session_id}") as socket:
            await socket.send_json({"type": "audio", "audio_data": base64.b64encode(pcm[30_000:]).decode()})
            await socket.send_json({"type": "end"})
            while (told := await socket.receive_json())["type"] != "final":
                pass
        assert told["text"] == spoken(QUESTION)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="404"):
            await client.ws_connect(f"{url}/ws/stream/{session_id}")


async def test_streams_go_on_in_another_process_and_go_away_when_abandoned(
    url: str, server: RunningServer, models_dir: Path, tmp_path: Path, pcm: bytes
) -> None:
    session_id = await start(url, language="en")
    assert (await chunk(url, session_id, pcm[:29_999]))[0] == 200
    # All that the two have in common is the Redis.
    environ = {
        "MORGAN_REDIS_URL": server.environment()["MORGAN_REDIS_URL"],
        "MORGAN_STT_SESSION_TTL_S": "2",
        "MORGAN_STT_MAX_SESSIONS": "2",
    }
    with serving(models_dir, tmp_path, **environ) as other:
        url = stt_url(other)
        assert (await chunk(url, session_id, pcm[29_999:]))[0] == 200
        status, told = await post(f"{url}/stream/{session_id}/end")
        assert (status, told["text"], told["language"]) == (200, spoken(QUESTION), "en")

        abandoned = [await start(url), await start(url)]
        assert (await chunk(url, abandoned[0], pcm))[0] == 200
        assert (await post(f"{url}/stream/start", json={}))[1]["error"]["code"] == "too_many_sessions"
        await asyncio.sleep(4)
        assert [(await post(f"{url}/stream/{each}/end"))[0] for each in abandoned] == [404, 404]
        async with aiohttp.ClientSession() as client, client.get(f"{url}/health") as response:
            load = (await response.json())["load"]
        assert (load["sessions"], load["sessions_expired"], load["sessions_resumed"]) == (0, 2, 1)
