"""Recordings as turns of a conversation, on a real server."""

import base64
import io
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import aiohttp
import av
import numpy as np
import pytest
import soundfile
from av.audio.stream import AudioStream
from multidict import CIMultiDictProxy

from media.audio_file import AudioFile
from tests.e2e.test_call_memory import rows
from tests.serving import RunningServer
from tests.spoken import spoken

ENCODINGS = {"mp3": ("mp3", "libmp3lame"), "webm": ("webm", "libopus")}


def encoded(path: Path, kind: str) -> bytes:
    """A recording in another format."""
    if kind == "wav":
        return path.read_bytes()
    container, codec = ENCODINGS[kind]
    sound, out = AudioFile(path.read_bytes(), 48_000).read(60 * 48_000), io.BytesIO()
    with av.open(out, "w", container) as file:
        stream = file.add_stream(codec, rate=48_000)
        assert isinstance(stream, AudioStream)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = 48_000
        fifo = av.AudioFifo()
        fifo.write(frame)
        while (part := fifo.read(960, partial=True)) is not None:
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return out.getvalue()


async def post(
    server: RunningServer, data: bytes, accept: str = "*/*", **fields: str
) -> tuple[int, CIMultiDictProxy[str], Any]:
    form = aiohttp.FormData(fields)
    form.add_field("file", data, filename="speech", content_type="application/octet-stream")
    async with (
        aiohttp.ClientSession(server.url) as http,
        http.post("/api/audio", data=form, headers={"Accept": accept}) as response,
    ):
        body = await (response.json() if response.content_type == "application/json" else response.read())
        return response.status, response.headers, body


def silence(seconds: float) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, np.zeros(round(seconds * 8_000), np.int16), 8_000, format="WAV")
    return out.getvalue()


@pytest.mark.parametrize("kind", ["wav", "mp3", "webm"])
async def test_a_recording_is_understood_and_answered(server: RunningServer, shared_audio: Path, kind: str) -> None:
    user_id = f"audio-{uuid.uuid4().hex[:8]}"
    data = encoded(shared_audio / "weather.wav", kind)
    status, _, told = await post(server, data, user_id=user_id, language="en")
    assert status == 200, told
    assert told["transcript"] == spoken("What is the weather in Paris?")
    assert told["text"]
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(told["audio"])))
    assert rate == told["sample_rate"]
    assert len(sound) / rate == pytest.approx(told["duration_s"], abs=0.01)
    assert np.abs(sound).mean() > 0.003
    assert 0 < told["stages"]["stt"] < told["latency_ms"]


async def test_a_recording_is_kept_as_a_turn(server: RunningServer, repository: Path) -> None:
    user_id = f"audio-{uuid.uuid4().hex[:8]}"
    data = (repository / "tests" / "clips" / "question.wav").read_bytes()
    status, headers, audio = await post(server, data, "audio/ogg", user_id=user_id, language="en")
    assert (status, audio[:4]) == (200, b"OggS")
    conversation_id = uuid.UUID(headers["X-Morgan-Conversation-Id"])
    dsn = server.environment()["MORGAN_POSTGRES_DSN"]
    async with (
        aiohttp.ClientSession(server.url) as http,
        http.get(f"/api/conversations/{conversation_id}/messages") as response,
    ):
        told = (await response.json())["messages"]
    assert [each["role"] for each in told] == ["user", "assistant"]
    assert [each["content"] for each in told] == [
        unquote(headers["X-Morgan-Transcript"]),
        unquote(headers["X-Morgan-Text"]),
    ]
    (conversation,) = await rows(dsn, "SELECT * FROM conversations WHERE id = $1", conversation_id)
    assert (conversation["channel"], conversation["user_id"]) == ("audio", user_id)
    (heard,) = await rows(
        dsn, "SELECT * FROM audio_transcriptions WHERE message_id = $1", uuid.UUID(str(told[0]["id"]))
    )
    assert heard["text"] == told[0]["content"]


async def test_nothing_heard_is_said_so(server: RunningServer) -> None:
    status, _, told = await post(server, silence(2.0), user_id="silent")
    assert (status, told["error"]["code"]) == (422, "nothing_heard")


async def test_too_much_is_said_so(server: RunningServer) -> None:
    status, _, told = await post(server, silence(310.0), user_id="talker")
    assert (status, told["error"]["code"]) == (413, "audio_too_long")


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({}, 422, "invalid_body"),
        ({"user_id": "me", "shoe_size": "44"}, 422, "invalid_body"),
        ({"user_id": "me", "voice": "nobody"}, 400, "unknown_voice"),
        ({"user_id": "me", "language": "klingon"}, 422, "unknown_language"),
        ({"user_id": "me", "conversation_id": "mine"}, 422, "invalid_body"),
    ],
)
async def test_a_form_that_does_not_fit_is_explained(
    server: RunningServer, fields: dict[str, str], status: int, code: str
) -> None:
    got, _, told = await post(server, silence(0.5), **fields)
    assert (got, told["error"]["code"]) == (status, code)


async def test_a_file_that_is_no_sound_is_explained(server: RunningServer) -> None:
    status, _, told = await post(server, b"hello" * 100, user_id="me")
    assert (status, told["error"]["code"]) == (415, "unsupported_audio")
