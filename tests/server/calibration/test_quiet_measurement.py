"""The engines are measured again while nobody calls, and the best figures count."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.engines.llm.replaceable import ReplaceableLanguageModel
from pipeline.engines.protocols import AbsentEngine, EngineError, Engines
from pipeline.engines.speeds import EngineSpeeds
from server.calibration import quiet_measurement
from server.calibration.profile import Profile, load_profile
from server.calibration.quiet_measurement import PAUSES_S, QuietMeasurement
from server.calls.capacity import Capacity, calls_in_time
from server.settings import Settings
from tests.server.minds.test_upgrade import Talker

BUSY = EngineSpeeds(2, 2.2, 0.11, 0.19, 0.16, 0.033, 0.34, 0.15)
"""Of a start beside a build."""

QUIET = EngineSpeeds(2, 0.17, 0.04, 0.06, 0.05, 0.0095, 0.05, 0.03)

PROFILE = Profile("this one", 2.5, "int8", speeds=BUSY)


class Scene:
    """A server whose engines take the times that a test says."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, *speeds: EngineSpeeds | EngineError) -> None:
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
        monkeypatch.setattr(quiet_measurement, "LOOK_EVERY_S", 0.005)
        monkeypatch.setattr(quiet_measurement, "measure_speeds", self.measure)

    async def measure(self, engines: Engines) -> EngineSpeeds:
        self.measured.append(engines)
        self.measuring.set()
        if self.lasts:
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, EngineError):
            raise answer
        return answer

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
    one, other = replace(QUIET, stt_s=0.1, tts_share=0.9), replace(QUIET, turn_model_s=0.01, llm_token_s=0.3)
    scene = Scene(tmp_path, monkeypatch, one, other, BUSY)
    await scene.run()
    assert scene.capacity.speeds == replace(QUIET, stt_s=0.1, turn_model_s=0.01)


async def test_an_engine_that_fails_leaves_what_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path, monkeypatch, EngineError("it broke"), QUIET)
    await scene.run()
    assert scene.capacity.speeds == QUIET


async def test_nothing_better_is_not_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path, monkeypatch, replace(BUSY, stt_s=3.0))
    await scene.run()
    assert load_profile(scene.settings) is None


async def test_a_call_is_waited_for_and_one_that_begins_ends_the_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path, monkeypatch, QUIET)
    scene.calls, scene.lasts = 1, True
    running = asyncio.create_task(scene.run())
    await asyncio.sleep(0.05)
    assert not scene.measured
    scene.calls = 0
    await scene.measuring.wait()
    scene.calls = 1
    await asyncio.wait_for(running, 60)
    assert scene.capacity.speeds == BUSY


async def test_the_figures_are_about_the_quick_language_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path, monkeypatch, QUIET, QUIET)
    quick, wise = scene.llm.quick, Talker("wise")
    scene.llm.replace(wise, crowded=lambda: False)
    await scene.run()
    assert scene.measured[0].llm is quick
    # Closed, because the wise one is no slower: its figures would be taken for the quick one's.
    scene.llm.replace(Talker("wiser"))
    scene.answers = [replace(QUIET, llm_first_token_s=0, llm_clause_s=0, llm_token_s=0)] * 2
    await scene.run()
    assert isinstance(scene.measured[-1].llm, AbsentEngine)
    assert scene.capacity.speeds is not None
    assert scene.capacity.speeds.llm == QUIET.llm


def test_there_are_several_measurements_within_the_first_minute() -> None:
    assert len(PAUSES_S) >= 3
    assert sum(PAUSES_S) < 60
