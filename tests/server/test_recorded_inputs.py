"""A real call whose inputs the server records: fetched by `morgan call`, replayed, gone with its conversation."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from pipeline.call.events import ReplyDone, TranscriptCompleted
from pipeline.call.replay.replay import Replayed, replay
from pipeline.engines.protocols import Engines
from server.app import Server
from server.cli.call import CallError, CallReport, place_call, read_audio
from server.engines.factory import build_engines
from server.settings import Settings, SettingsError, load_settings
from tests.serving import free_port

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engines(models_dir: Path) -> AsyncIterator[Engines]:
    engines = build_engines(Settings(models_dir=models_dir, stt_model="whisper-tiny.en", embedder_engine="none"))
    yield engines
    for engine in engines.all().values():
        await engine.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    engines: Engines, models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    """A Morgan that records the inputs of calls that ask for it."""
    settings = Settings(
        port=free_port(),
        models_dir=models_dir,
        data_dir=tmp_path_factory.mktemp("inputs"),
        record_inputs="asked",
        max_calls=4,
    )
    server = await Server.start(settings, engines)
    yield server
    await server.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def http(running: Server) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(running.url) as session:
        yield session


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the report of the call is."""
    return tmp_path_factory.mktemp("report") / "call.jsonl"


async def called(server: Server, inputs: Path | None) -> CallReport:
    """Call with a question."""
    clip = Path(__file__).parents[1] / "clips" / "question.wav"
    report, _ = await place_call(read_audio(clip), server.url, timeout=120, inputs=inputs)
    return report


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def report(running: Server, inputs: Path) -> CallReport:
    """A call whose inputs were recorded; the caller's report."""
    return await called(running, inputs)


async def replayed(path: Path) -> Replayed:
    return await asyncio.to_thread(replay, path)


async def test_a_real_call_replays_to_the_same_effects(report: CallReport, inputs: Path) -> None:
    again = await replayed(inputs)
    assert again.end == "complete"
    assert not again.differences
    assert again.header["call_id"] == report.call_id
    assert again.header["engines"]["stt"]["model"] == "whisper-tiny.en"
    assert " ".join(event.text for event in again.all(TranscriptCompleted)) == report.transcript != ""
    # On a busy machine one of them may be an apology.
    assert again.all(ReplyDone)
    assert again.counts["turns"] == 1


async def test_they_are_to_be_had_of_their_own_call_and_user_only(
    running: Server, http: aiohttp.ClientSession, report: CallReport, inputs: Path
) -> None:
    conversation = f"/api/conversations/{report.conversation_id}"
    async with http.get(f"{conversation}/inputs/{report.call_id}") as response:
        assert (response.status, response.content_type) == (200, "application/jsonl")
        assert await response.read() == await asyncio.to_thread(inputs.read_bytes)
    for wrong in ("call_0", "..%2F..%2Frun%2Flock", "%00"):
        async with http.get(f"{conversation}/inputs/{wrong}") as response:
            assert response.status in (404, 422), wrong
    somebody = {"user_id": "somebody else"}
    async with http.get(f"{conversation}/inputs/{report.call_id}", params=somebody) as response:
        assert response.status == 404
    (file,) = running.settings.data_dir.rglob(f"{report.call_id}*.jsonl")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_call_that_does_not_ask_is_not_recorded(running: Server) -> None:
    report = await called(running, None)
    assert not list(running.settings.data_dir.rglob(f"{report.call_id}*.jsonl"))


async def test_they_are_deleted_with_the_conversation(
    running: Server, http: aiohttp.ClientSession, report: CallReport
) -> None:
    async with http.delete(f"/api/conversations/{report.conversation_id}") as response:
        assert response.status == 204
    assert not list(running.settings.data_dir.rglob(f"{report.call_id}*.jsonl"))


async def test_a_server_that_records_none_says_so(
    engines: Engines, models_dir: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data_dir = tmp_path_factory.mktemp("none")
    settings = Settings(port=free_port(), models_dir=models_dir, data_dir=data_dir, memory="off", max_calls=1)
    server = await Server.start(settings, engines)
    try:
        with pytest.raises(CallError, match="MORGAN_RECORD_INPUTS"):
            await called(server, tmp_path / "call.jsonl")
        assert not (tmp_path / "call.jsonl").exists()
        assert not server.registry.active
    finally:
        await server.stop()


async def test_nothing_is_recorded_that_no_conversation_would_take_with_it() -> None:
    with pytest.raises(SettingsError, match="record_inputs needs memory"):
        load_settings({"record_inputs": "always", "memory": "off"})


async def test_a_header_is_one_line_of_json(report: CallReport, inputs: Path) -> None:
    text = await asyncio.to_thread(inputs.read_text, encoding="utf-8")
    header = json.loads(text.partition("\n")[0])
    assert header["format"] == "morgan-call-inputs"
    assert "Morgan" in header["context"]["instructions"]
