"""A whole server that measures its engines again behind its start, beside real calls; engines are scripted."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pipeline.audio import Waveform
from pipeline.engines.llm.speed import LanguageModelSpeed
from pipeline.engines.protocols import Transcript
from pipeline.engines.speeds import EngineSpeeds, VoiceSpeed
from pipeline.scheduling.lanes import Ticket
from server.app import Server
from server.calibration import quiet_measurement
from server.calibration.profile import Profile, engine_names, load_profile, save_profile
from server.cli.checks import check_calibration
from server.cli.improvement import improve
from server.client.caller import Caller
from server.minds.choice import resolved
from server.settings import Settings
from tests.server.scripted import Ears, call_of, place, scripted_engines
from tests.serving import free_port

PATIENCE_S = 60.0

BUSY = EngineSpeeds(2, 2.2, 0.11, LanguageModelSpeed(0.19, 0.16, 0.033), VoiceSpeed(0.34, 0.15))
"""Of a start beside a build: one call in time."""


class SlowEars(Ears):
    """Take as long as the test says.

    Attributes:
        asked: whether something was to be heard since this was cleared.
        may_hear: whether they get on with it.
        broken_off: how often nobody wanted the words any more.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_hear = asyncio.Event()
        self.broken_off = 0

    async def transcribe(self, audio: Waveform, ticket: Ticket, **_: Any) -> Transcript:
        self.asked.set()
        try:
            await self.may_hear.wait()
        except asyncio.CancelledError:
            self.broken_off += 1
            raise
        return Transcript("", "en", no_speech=1.0)


async def capacity(http: aiohttp.ClientSession) -> int:
    """How many calls may be open, as the server says."""
    async with http.get("/health") as response:
        return int((await response.json())["calls"]["capacity"])


async def test_a_server_measures_again_while_nobody_calls_and_shows_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quiet_measurement, "PAUSES_S", (0.05, 0.05))
    patient = {"connect_timeout_s": 60, "lost_grace_s": 60}
    given: dict[str, Any] = {"models_dir": tmp_path, "data_dir": tmp_path, "port": free_port(), **patient}
    settings = resolved(Settings(memory="off", **given))
    ears: Any = SlowEars()
    engines = replace(scripted_engines(), stt=ears)
    profile = Profile("this one", 2.5, "int8", speeds=BUSY, engines=engine_names(engines))
    save_profile(settings, profile)
    server = await Server.start(settings, engines, profile.speeds)
    improving = asyncio.create_task(
        improve(settings, engines, server.capacity, profile, lambda: server.load, lambda _: None)
    )
    try:
        async with aiohttp.ClientSession(server.url) as http, asyncio.timeout(PATIENCE_S):
            assert await capacity(http) == 1
            assert check_calibration(settings).found.endswith("; 1 call in time")
            await ears.asked.wait()

            caller = Caller()
            opened = await place(http, caller)
            assert call_of(server, opened).options.transcript_s == BUSY.stt_s
            while not ears.broken_off:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
            ears.asked.clear()
            await asyncio.sleep(0.5)
            assert not ears.asked.is_set(), "a caller has the machine for itself"
            assert load_profile(settings) == profile
            await call_of(server, opened).end("hangup")
            await caller.close()

            await ears.asked.wait()
            assert await capacity(http) == 1
            ears.may_hear.set()
            await improving
            found = await capacity(http)
            assert found > 4
            assert server.registry.defaults.transcript_s < 1.0, "the next call expects what was measured last"
    finally:
        improving.cancel()
        await server.stop()
    kept = load_profile(settings)
    assert kept is not None
    assert kept.speeds is not None
    before, after = dict(BUSY.figures()), dict(kept.speeds.figures())
    assert all(after[name] <= before[name] for name in before)
    assert after["stt_s"] < before["stt_s"]
    assert check_calibration(settings).found.endswith(f"; {found} calls in time")
