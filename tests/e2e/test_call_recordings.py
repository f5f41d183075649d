"""Recorded calls: who said what and when, listed, downloaded and deleted with their conversation."""

import asyncio
import io
import json
import stat
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
import pytest
import pytest_asyncio
import soxr

from pipeline.audio import HEARING_RATE, Pcm, to_waveform
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.scheduling.lanes import Ticket
from pipeline.text.normalise import normalise, word_error_rate
from pipeline.text.spoken import speakable
from server.client.caller import Caller
from tests.e2e.test_call_memory import called, ended_session, rows
from tests.server.webhooks.receiving import SECRET, Receiving, receiving_aside
from tests.serving import RunningServer, serving
from tests.spoken import spoken

RATE = 48_000


@pytest.fixture(scope="module")
def hook() -> Iterator[Receiving]:
    """Somebody whom webhooks tell of the calls."""
    with receiving_aside() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def recorded(models_dir: Path, tmp_path_factory: pytest.TempPathFactory, hook: Receiving) -> Iterator[RunningServer]:
    """A Morgan that records calls, tells of them, and samples its metrics often."""
    settings = {"MORGAN_RECORD_CALLS": "true", "MORGAN_METRICS_SAMPLE_S": "1"}
    settings |= {"MORGAN_WEBHOOK_URLS": hook.url, "MORGAN_WEBHOOK_SECRET": SECRET}
    with serving(models_dir, tmp_path_factory.mktemp("recorded"), **settings) as running:
        yield running


@pytest.fixture(scope="module")
def report(recorded: RunningServer, repository: Path) -> dict[str, Any]:
    """A call with a question, hung up; the caller's report."""
    return called(recorded, repository, "owner")


@pytest_asyncio.fixture
async def http(recorded: RunningServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(recorded.url) as session:
        yield session


def sides(ogg: bytes) -> Pcm:
    """Left and right at 48 kHz, shape (2, n)."""
    with av.open(io.BytesIO(ogg)) as container:
        both = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    return both if both.dtype == np.int16 else (np.clip(both, -1, 1) * 32767).astype(np.int16)


def sound(pcm: Pcm) -> tuple[float, float]:
    """Seconds at which sound begins and ends."""
    loud = np.flatnonzero(np.abs(pcm) > 600)
    return loud[0] / RATE, loud[-1] / RATE


async def words(pcm: Pcm, models_dir: Path) -> str:
    """What Whisper hears."""
    whisper = FasterWhisper(models_dir / "whisper-base")
    try:
        waveform = to_waveform(soxr.resample(pcm, RATE, HEARING_RATE))
        return (await whisper.transcribe(waveform, Ticket(), language="en")).text
    finally:
        await whisper.close()


async def test_each_side_of_a_recording_holds_what_that_side_said_when_it_said_it(
    recorded: RunningServer, http: aiohttp.ClientSession, report: dict[str, Any], models_dir: Path
) -> None:
    await ended_session(recorded.environment()["MORGAN_POSTGRES_DSN"], report["call_id"])
    path = f"/api/conversations/{report['conversation_id']}"
    async with http.get(path) as response:
        (listed,) = (await response.json())["recordings"]
    assert listed["call_id"] == report["call_id"]
    async with http.get(f"{path}/recordings/{listed['name']}") as response:
        assert (response.status, response.content_type) == (200, "audio/ogg")
        ogg = await response.read()
    async with http.get(f"{path}/recordings/{listed['name']}", headers={"Range": "bytes=0-3"}) as response:
        assert (response.status, await response.read()) == (206, b"OggS")
    assert len(ogg) == listed["bytes"]
    async with http.get(f"{path}/messages") as response:
        asked, answered = [each["content"] for each in (await response.json())["messages"]]
    user, morgan = sides(ogg)
    assert len(user) / RATE == pytest.approx(listed["duration_s"], abs=0.1)
    assert await words(user, models_dir) == spoken(asked)
    assert word_error_rate(normalise(speakable(answered)), normalise(await words(morgan, models_dir))) < 0.3
    assert sound(morgan)[0] - sound(user)[1] == pytest.approx(report["server_ms"] / 1000, abs=0.2)


async def test_a_recording_is_found_by_its_own_name_and_user_only(
    recorded: RunningServer, http: aiohttp.ClientSession, report: dict[str, Any]
) -> None:
    path = f"/api/conversations/{report['conversation_id']}"
    async with http.get(path) as response:
        name = (await response.json())["recordings"][0]["name"]
    for wrong in ("other.ogg", "..%2F..%2Frun%2Flock", "%00", "."):
        async with http.get(f"{path}/recordings/{wrong}") as response:
            assert response.status in (404, 422), wrong
    async with http.get(f"{path}/recordings/{name}", params={"user_id": "somebody else"}) as response:
        assert response.status == 404
        assert "error" in await response.json()
    async with http.get(f"/api/conversations/{uuid.uuid4()}/recordings/{name}") as response:
        assert response.status == 404
    (file,) = recorded.data_dir.rglob(name)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == stat.S_IMODE(file.parent.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("whole_user", [False, True])
async def test_deletion_in_mid_call_ends_the_recording_and_leaves_no_file(
    recorded: RunningServer, http: aiohttp.ClientSession, whole_user: bool
) -> None:
    user_id = f"caller-{uuid.uuid4().hex[:8]}"
    async with Caller() as caller:
        offer = {"sdp": await caller.offer(), "type": "offer", "user_id": user_id}
        async with http.post("/api/calls", json=offer) as response:
            opened = await response.json()
        await caller.accept(opened["sdp"])
        name = f"*-{opened['call_id']}.ogg"
        deadline = time.monotonic() + 10
        while not list(recorded.data_dir.rglob(name)):
            assert time.monotonic() < deadline, "no recording was begun"
            await asyncio.sleep(0.05)
        path = f"/api/users/{user_id}" if whole_user else f"/api/conversations/{opened['conversation_id']}"
        async with http.delete(path) as response:
            assert response.status == 204
        assert not list(recorded.data_dir.rglob(name))
        await asyncio.sleep(0.6)
        async with http.delete(f"/api/calls/{opened['call_id']}") as response:
            assert response.status == 204
    await asyncio.sleep(0.3)
    assert not list(recorded.data_dir.rglob(name))


async def test_metrics_of_a_call_land_in_system_metrics(recorded: RunningServer, report: dict[str, Any]) -> None:
    dsn = recorded.environment()["MORGAN_POSTGRES_DSN"]
    latest = (
        "SELECT DISTINCT ON (name, labels) name, labels, value FROM system_metrics ORDER BY name, labels, time DESC"
    )
    deadline = time.monotonic() + 30
    while True:
        found = {(each["name"], each["labels"]): each["value"] for each in await rows(dsn, latest)}
        if found.get(("morgan_voice_to_voice_seconds_count", "{}"), 0) >= 1:
            break
        assert time.monotonic() < deadline, sorted(found)
        await asyncio.sleep(0.5)
    stages = {json.loads(labels)["stage"] for name, labels in found if name == "morgan_turn_stage_seconds_sum"}
    assert {"silence_wait", "stt", "llm_first_token", "tts_first_audio"} <= stages
    assert found["morgan_voice_to_voice_seconds_sum", "{}"] == pytest.approx(report["server_ms"] / 1000, abs=0.001)
    names = {name for name, _ in found}
    assert {
        "morgan_calls_active",
        "morgan_lane_wait_seconds_total",
        "morgan_cache_lookups_total",
        "morgan_journal_fill",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
    } <= names
    assert not any(name.endswith("_bucket") for name in names)


async def test_calls_are_not_recorded_unless_it_is_switched_on(server: RunningServer) -> None:
    async with aiohttp.ClientSession(server.url) as http, Caller() as caller:
        offer = {"sdp": await caller.offer(), "type": "offer", "user_id": f"caller-{uuid.uuid4().hex[:8]}"}
        async with http.post("/api/calls", json=offer) as response:
            opened = await response.json()
        await caller.accept(opened["sdp"])
        await asyncio.sleep(1)
        async with http.delete(f"/api/calls/{opened['call_id']}") as response:
            assert response.status == 204
        async with http.get(f"/api/conversations/{opened['conversation_id']}") as response:
            assert (await response.json())["recordings"] == []
    assert not list(server.data_dir.rglob("*.ogg"))


async def test_webhooks_tell_of_the_call_its_turns_and_its_recording(
    recorded: RunningServer, report: dict[str, Any], hook: Receiving, http: aiohttp.ClientSession
) -> None:
    async def told(event: str) -> dict[str, Any]:
        async with asyncio.timeout(60):
            while True:
                for each in hook.taken:
                    if each["type"] == event and each["data"]["user_id"] == "owner":
                        return dict(each["data"])
                await asyncio.sleep(0.1)

    started, ended, recording = [await told(event) for event in ("call.started", "call.ended", "recording.ready")]
    assert started["call_id"] == ended["call_id"] == recording["call_id"]
    said = [each["text"] for each in ended["summary"]["transcript"] if each["role"] == "user"]
    assert ended["summary"]["turns"] == len(said) >= 1
    turns = [each["data"] for each in hook.taken if each["type"] == "turn.completed"]
    answered = [turn for turn in turns if turn["call_id"] == ended["call_id"] and turn["user"] is not None]
    assert {turn["user"]["text"] for turn in answered} <= set(said)
    assert answered
    async with http.get(recording["path"], params={"user_id": "owner"}) as response:
        assert response.status == 200
        assert len(await response.read()) == recording["bytes"]
