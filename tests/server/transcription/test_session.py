"""Streaming sessions over the real models and a real Valkey."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from persistence.cache.keys import audio_key, session_key
from persistence.cache.redis_tier import RedisTier
from persistence.config import PersistenceConfig
from persistence.embedded.valkey import EmbeddedValkey
from pipeline.audio import to_pcm
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.engines.vad.silero import SileroVad
from pipeline.scheduling.lanes import Lane
from server.http.errors import ApiError
from server.transcription.session import StreamSession
from server.transcription.session_store import SessionState, find
from tests.pipeline.engines.speech import clip, model
from tests.spoken import spoken

ID = "stt_0123456789abcdef"
QUESTION = "What is the weather in Paris?"


class Sessions:
    """Makes sessions as the service does, on one Valkey."""

    def __init__(self, stt: FasterWhisper, vad: SileroVad, lane: Lane, redis: RedisTier) -> None:
        self.parts = stt, vad, lane
        self.redis = redis
        self.opened: list[StreamSession] = []

    async def begin(self, rate: int = 16_000) -> StreamSession:
        session = self._open(SessionState(None, rate))
        await session.resume([], 0)
        return session

    async def again(self) -> StreamSession:
        found = await find(self.redis, ID)
        assert found is not None
        state, chunks = found
        session = self._open(state)
        await session.resume(chunks, state.begins_at)
        return session

    def _open(self, state: SessionState) -> StreamSession:
        stt, vad, lane = self.parts
        self.opened.append(StreamSession(ID, stt, vad.open_stream(), lane, lambda: self.redis, 60, state))
        return self.opened[-1]


@pytest.fixture(scope="module")
def stt() -> FasterWhisper:
    return FasterWhisper(model("whisper-base"))


@pytest_asyncio.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    server = EmbeddedValkey(PersistenceConfig(tmp_path))
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture
async def redis(valkey: EmbeddedValkey) -> AsyncIterator[RedisTier]:
    tier = RedisTier(valkey.url)
    assert await tier.start(5)
    yield tier
    await tier.close()


@pytest_asyncio.fixture
async def sessions(stt: FasterWhisper, redis: RedisTier) -> AsyncIterator[Sessions]:
    lane = Lane("streams")
    made = Sessions(stt, SileroVad(model("silero-vad-v6")), lane, redis)
    yield made
    for session in made.opened:
        await session.close()
    await lane.aclose()


def speech(name: str = "weather.wav") -> bytes:
    return to_pcm(clip(name)).tobytes()


async def test_a_session_survives_its_process_in_mid_word(sessions: Sessions) -> None:
    data = speech()
    before = await sessions.begin()
    for start in range(0, 37_505, 7_501):
        await before.add(data[start : start + 7_501])
    await before.close()
    after = await sessions.again()
    await after.add(data[37_505:])
    assert (await after.finish()).text == spoken(QUESTION)


async def test_what_is_text_already_is_not_kept_as_audio(sessions: Sessions, valkey: EmbeddedValkey) -> None:
    session = await sessions.begin()
    data = speech("jfk.flac")
    for start in range(0, len(data), 32_000):
        await session.add(data[start : start + 32_000])
    await session.add(b"\0" * 160_000)
    while session.known()["unstable"] or len(session.known()["segments"]) < 3:  # type: ignore[arg-type]
        assert await session.wait_for_change(30)
    await session.add(b"\0" * 320)
    async with Redis.from_url(valkey.url) as client:
        kept = sum(map(len, await client.lrange(audio_key(ID), 0, -1)))
        assert kept < 4 * 32_000
        assert 0 < await client.ttl(audio_key(ID)) <= 60
        assert 0 < await client.ttl(session_key(ID)) <= 60


async def test_an_emptied_redis_costs_nothing(sessions: Sessions, valkey: EmbeddedValkey) -> None:
    data = speech()
    before = await sessions.begin()
    await before.add(data[:20_000])
    async with Redis.from_url(valkey.url) as client:
        await client.flushall()
    await before.add(data[20_000:30_000])
    await before.add(data[30_000:40_000])
    await before.close()
    after = await sessions.again()
    await after.add(data[40_000:])
    assert (await after.finish()).text == spoken(QUESTION)


async def test_without_redis_memory_serves(sessions: Sessions, valkey: EmbeddedValkey) -> None:
    data = speech()
    session = await sessions.begin()
    await session.add(data[:20_000])
    await valkey.stop()
    await session.add(data[20_000:])
    assert (await session.finish()).text == spoken(QUESTION)


async def test_a_chunk_that_is_sent_again_is_heard_once(sessions: Sessions) -> None:
    data = speech()
    session = await sessions.begin()
    for number, start in enumerate(range(0, len(data), 20_000)):
        await session.add(data[start : start + 20_000], number)
        await session.add(data[start : start + 20_000], number)
    result = await session.finish()
    assert result.text == spoken(QUESTION)
    assert result.duration_s == pytest.approx(len(data) / 32_000, abs=0.001)


async def test_ending_twice_at_once_gives_one_result(sessions: Sessions) -> None:
    session = await sessions.begin()
    await session.add(speech("hello.wav"))
    first, second = await asyncio.gather(session.finish(), session.finish())
    assert first == second
    assert first.text.lower().startswith("hello world")
    with pytest.raises(ApiError, match="no more audio"):
        await session.add(b"\0\0")


async def test_other_sample_rates_are_heard_as_well(sessions: Sessions) -> None:
    import soxr

    data = to_pcm(np.asarray(soxr.resample(clip("weather.wav"), 16_000, 44_100), np.float32)).tobytes()
    session = await sessions.begin(44_100)
    for start in range(0, len(data), 30_001):
        await session.add(data[start : start + 30_001])
    assert (await session.finish()).text == spoken(QUESTION)


async def test_a_chunk_of_more_than_thirty_seconds_is_refused(sessions: Sessions) -> None:
    session = await sessions.begin()
    with pytest.raises(ApiError) as refused:
        await session.add(b"\0" * (31 * 32_000))
    assert refused.value.status == 413


async def test_audio_that_comes_faster_than_it_is_transcribed_is_held_back_and_all_heard(sessions: Sessions) -> None:
    once = speech("jfk.flac")
    session = await sessions.begin()
    for _ in range(3):
        await session.add(once + b"\0" * 32_000)
        assert session._live.backlog_s <= 45
    text = (await session.finish()).text.lower()
    assert text.count("fellow americans") == 3


async def test_an_engine_that_fails_in_an_unknown_way_does_not_let_the_end_wait_for_ever(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.transcription.session.RETRY_S", 0.0)
    session = await sessions.begin()

    async def broken(*_: object, **__: object) -> None:
        raise ValueError("nobody expected this")

    monkeypatch.setattr(sessions.parts[0], "transcribe", broken)
    await session.add(speech())
    with pytest.raises(ApiError) as refused:
        await asyncio.wait_for(session.finish(), 60)
    assert refused.value.status == 503
    monkeypatch.undo()
    assert (await session.finish()).text == spoken(QUESTION)
