"""The engines are measured again while nobody calls, and the best figures count."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.engines.llm.replaceable import ReplaceableLanguageModel
from pipeline.engines.llm.speed import LanguageModelSpeed
from pipeline.engines.protocols import AbsentEngine, Engines
from pipeline.engines.speeds import EngineSpeeds, Unmeasured, VoiceSpeed
from server.calibration import quiet_measurement
from server.calibration.profile import Profile, load_profile, save_profile
from server.calibration.quiet_measurement import QuietMeasurement
from server.calls.capacity import Capacity, calls_in_time
from server.settings import Settings
from tests.server.minds.test_upgrade import Talker

BUSY = EngineSpeeds(2, 2.2, 0.11, LanguageModelSpeed(0.19, 0.16, 0.033), VoiceSpeed(0.34, 0.15))
"""Of a start beside a build."""

QUIET = EngineSpeeds(2, 0.17, 0.04, LanguageModelSpeed(0.06, 0.05, 0.0095), VoiceSpeed(0.05, 0.03))

PROFILE = Profile("this one", 2.5, "int8", speeds=BUSY)


class Scene:
    """A server whose engines take the times that a test says."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, *speeds: EngineSpeeds) -> None:
        self.settings = Settings(models_dir=root)
        self.capacity = Capacity(None, 2, BUSY)
        self.calls = 0
        self.measured: list[Engines] = []
        self.measuring = asyncio.Event()
        self.answers = list(speeds)
        self.lasts = False
        absent: Any = AbsentEngine("llm")
        self.llm = ReplaceableLanguageModel(Talker("quick"))
        self.engines = Engines(absent, absent, absent, self.llm, absent)
        monkeypatch.setattr(quiet_measurement, "PAUSES_S", (0.0,) * len(speeds))
        monkeypatch.setattr(quiet_measurement, "measure_speeds", self.measure)

    async def measure(self, engines: Engines) -> EngineSpeeds:
        self.measured.append(engines)
        self.measuring.set()
        if self.lasts:
            await asyncio.Event().wait()
        return self.answers.pop(0)

    async def run(self) -> None:
        await QuietMeasurement(self.settings, self.engines, self.capacity, PROFILE, lambda: self.calls).run()


async def test_a_start_in_a_busy_minute_does_not_bound_the_calls_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path, monkeypatch, QUIET)
    assert scene.capacity.calls(0) == 1
    await scene.run()
    assert scene.capacity.speeds == QUIET
    assert scene.capacity.calls(0) == calls_in_time(QUIET, 2) > 4
    assert load_profile(scene.settings) == replace(PROFILE, speeds=QUIET), "the next start begins with it"


async def test_of_several_measurements_the_best_of_each_figure_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = replace(QUIET, stt_s=0.1, voice=VoiceSpeed(0.9, 0.03))
    other = replace(QUIET, turn_model_s=0.01, llm=LanguageModelSpeed(0.06, 0.05, 0.3))
    scene = Scene(tmp_path, monkeypatch, one, other, BUSY)
    await scene.run()
    assert scene.capacity.speeds == replace(QUIET, stt_s=0.1, turn_model_s=0.01)


async def test_an_engine_that_fails_leaves_what_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = replace(QUIET, stt_s=Unmeasured.UNKNOWN, llm=Unmeasured.UNKNOWN)
    scene = Scene(tmp_path, monkeypatch, broken)
    await scene.run()
    assert scene.capacity.speeds == replace(QUIET, stt_s=BUSY.stt_s, llm=BUSY.llm)


async def test_nothing_better_is_not_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path, monkeypatch, replace(BUSY, stt_s=3.0))
    await scene.run()
    assert load_profile(scene.settings) is None


async def test_a_call_is_waited_for_and_one_that_begins_puts_the_measurement_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path, monkeypatch, QUIET)
    scene.calls, scene.lasts = 1, True
    running = asyncio.create_task(scene.run())
    await asyncio.sleep(0.3)
    assert not scene.measured
    scene.calls = 0
    await asyncio.wait_for(scene.measuring.wait(), 60)
    scene.calls = 1
    await asyncio.sleep(0.3)
    assert scene.capacity.speeds == BUSY
    assert len(scene.measured) == 1
    scene.calls, scene.lasts = 0, False
    await asyncio.wait_for(running, 60)
    assert len(scene.measured) == 2
    assert scene.capacity.speeds == QUIET


async def test_what_is_better_is_kept_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is stopped before the last measurement has not measured in vain."""
    scene = Scene(tmp_path, monkeypatch, QUIET, QUIET)
    monkeypatch.setattr(quiet_measurement, "PAUSES_S", (0.0, 600.0))
    running = asyncio.create_task(scene.run())
    async with asyncio.timeout(60):
        while load_profile(scene.settings) is None:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    running.cancel()
    assert load_profile(scene.settings) == replace(PROFILE, speeds=QUIET)


async def test_what_was_measured_anew_meanwhile_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path, monkeypatch, QUIET)
    save_profile(scene.settings, replace(PROFILE, padding_s=8.0, compute_type="float32"))
    await scene.run()
    assert load_profile(scene.settings) == Profile("this one", 8.0, "float32", speeds=QUIET)


async def test_the_figures_are_about_the_quick_language_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path, monkeypatch, QUIET, QUIET)
    quick, wise = scene.llm.quick, Talker("wise")
    scene.llm.replace(wise, crowded=lambda: False)
    await scene.run()
    assert scene.measured[0].llm is quick
    # Closed, because the wise one is no slower: its figures would be taken for the quick one's.
    scene.llm.replace(Talker("wiser"))
    scene.answers = [replace(QUIET, llm=Unmeasured.ELSEWHERE)] * 2
    await scene.run()
    assert isinstance(scene.measured[-1].llm, AbsentEngine)
    assert scene.capacity.speeds is not None
    assert scene.capacity.speeds.llm == QUIET.llm
