"""The speech service on its own port, over HTTP, with a real voice and a real database."""

import asyncio
import base64
import io
import json
import time
import wave
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import av
import numpy as np
import pytest
import pytest_asyncio
from yarl import URL

from pipeline.audio import HEARING_RATE
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.scheduling.lanes import Ticket
from pipeline.text.normalise import word_error_rate
from server.bounds import MAX_TEXT
from server.speech.speech import CHUNK
from tests.pipeline.engines.speech import model
from tests.serving import RunningServer

QUESTION = "What is the weather in Paris?"


@pytest_asyncio.fixture
async def tts(server: RunningServer) -> AsyncIterator[aiohttp.ClientSession]:
    url = URL(server.url)
    async with aiohttp.ClientSession(url.with_port((url.port or 0) + 2)) as session:
        yield session


async def refused(tts: aiohttp.ClientSession, status: int, **order: Any) -> dict[str, Any]:
    async with tts.post("/generate", json=order) as response:
        body: dict[str, Any] = await response.json()
        assert response.status == status, body
        found: dict[str, Any] = body["error"]
        return found


def heard_audio(file: bytes) -> np.ndarray:
    """A file of any format at 16 kHz."""
    resampler = av.AudioResampler("fltp", "mono", HEARING_RATE)
    with av.open(io.BytesIO(file)) as container:
        frames = [done for frame in container.decode(audio=0) for done in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])


async def test_the_streamed_file_is_a_wav_whose_words_are_heard(tts: aiohttp.ClientSession) -> None:
    order = {"text": QUESTION, "voice": "default", "stream": True}
    async with tts.post("/generate", json=order) as response:
        assert (response.status, response.content_type) == (200, "audio/wav")
        file = await response.read()
    assert file.startswith(b"RIFF")
    whisper = FasterWhisper(model("whisper-base"))
    try:
        heard = await whisper.transcribe(heard_audio(file), Ticket(), language="en")
    finally:
        await whisper.close()
    assert word_error_rate(QUESTION, heard.text) < 0.2


async def test_no_chunk_is_larger_than_the_largest(tts: aiohttp.ClientSession) -> None:
    order = json.dumps({"text": "Nobody has asked for this sentence before.", "stream": True})
    url = URL(str(tts._base_url))
    # Clients put chunks together as they like: these are as they were sent.
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = f"POST /generate HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(order)}\r\n\r\n{order}".encode())
    try:
        headers = await reader.readuntil(b"\r\n\r\n")
        assert b"chunked" in headers.lower()
        sizes = []
        while size := int(await reader.readline(), 16):
            sizes.append(size)
            await reader.readexactly(size + 2)
    finally:
        writer.close()
    assert max(sizes) <= CHUNK < sum(sizes)


async def test_the_first_chunk_comes_long_before_the_last(tts: aiohttp.ClientSession) -> None:
    text = " ".join(f"Sentence number {number} is about the weather in the mountains." for number in range(5))
    began = time.monotonic()
    async with tts.post("/generate", json={"text": text, "stream": True}) as response:
        await response.content.readany()
        first = time.monotonic() - began
        await response.read()
    assert first < (time.monotonic() - began) / 2


async def test_json_has_the_whole_file_and_a_repeated_text_comes_from_the_cache(
    tts: aiohttp.ClientSession, server: RunningServer
) -> None:
    async def hits() -> int:
        async with tts.get(f"{server.url}/health") as response:
            return int((await response.json())["cache"]["speech_hits"])

    before = await hits()
    order = {"text": "A text that nobody said before, number 8417."}
    answers = []
    for _ in range(2):
        async with tts.post("/generate", json=order) as response:
            assert response.status == 200
            answers.append(await response.json())
    assert [answer["cached"] for answer in answers] == [False, True]
    assert await hits() == before + 1
    assert answers[0]["audio"] == answers[1]["audio"]
    with wave.open(io.BytesIO(base64.b64decode(answers[1]["audio"]))) as file:
        assert file.getframerate() == answers[1]["sample_rate"] == 24_000
        assert file.getnframes() / 24_000 == pytest.approx(answers[1]["duration_s"], abs=0.001)


@pytest.mark.parametrize(
    ("audio_format", "content_type"),
    [("mp3", "audio/mpeg"), ("opus", "audio/ogg"), ("flac", "audio/flac"), ("wav", "audio/wav")],
)
async def test_raw_audio_comes_in_the_format_that_was_asked_for(
    tts: aiohttp.ClientSession, audio_format: str, content_type: str
) -> None:
    async with tts.post("/generate/audio", json={"text": QUESTION, "format": audio_format}) as response:
        assert (response.status, response.content_type) == (200, content_type)
        seconds = heard_audio(await response.read()).size / HEARING_RATE
        assert seconds == pytest.approx(float(response.headers["X-Morgan-Duration"]), abs=0.15)


async def test_speed_makes_it_shorter(tts: aiohttp.ClientSession) -> None:
    seconds = []
    for speed in (1.0, 2.0):
        async with tts.post("/generate", json={"text": QUESTION, "speed": speed}) as response:
            seconds.append((await response.json())["duration_s"])
    assert seconds[1] < 0.7 * seconds[0]


async def test_the_answer_says_which_voice_spoke(tts: aiohttp.ClientSession) -> None:
    async with tts.get("/voices") as response:
        voices = await response.json()
    assert voices["default"] in [voice["id"] for voice in voices["voices"]]
    for name in ("csm-streaming", "alloy", "default"):
        async with tts.post("/generate", json={"text": "Hello.", "voice": name}) as response:
            assert (await response.json())["voice"] == voices["default"]
    error = await refused(tts, 400, text="Hello.", voice="bob")
    assert error["code"] == "unknown_voice"
    assert voices["default"] in error["message"]


async def test_what_cannot_be_said_is_told(tts: aiohttp.ClientSession) -> None:
    assert (await refused(tts, 422, text="😀 *** \n"))["code"] == "nothing_to_say"
    assert (await refused(tts, 422, text=""))["code"] == "invalid_body"
    assert (await refused(tts, 413, text="a " * MAX_TEXT))["code"] == "text_too_long"
    assert (await refused(tts, 422, text="Hello.", speed=5))["details"][0]["field"] == "speed"
    assert (await refused(tts, 422, text="Hello.", format="mp4"))["details"][0]["field"] == "format"
