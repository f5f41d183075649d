"""Measuring the real engines of this machine."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from pipeline.engines.speeds import EngineSpeeds, Unmeasured, VoiceSpeed
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.engines.stt.window_choice import PADDINGS_S
from pipeline.scheduling.lanes import Ticket
from server.calibration.calibrate import calibrated
from server.calibration.computing import best_runtime
from server.calibration.profile import Profile, engine_names, load_profile, profile_path, save_profile
from server.engines.factory import build_engines
from server.settings import Settings
from tests.pipeline.engines.speech import clip
from tests.spoken import spoken


@pytest.mark.timeout(300)
async def test_a_service_that_hears_is_measured_once(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(models_dir=models_dir, role="stt")
    engines = build_engines(settings)
    assert isinstance(engines.stt, FasterWhisper)
    kept: list[object] = []
    monkeypatch.setattr("server.calibration.calibrate.load_profile", lambda _: kept[-1] if kept else None)
    monkeypatch.setattr("server.calibration.calibrate.save_profile", lambda _, profile: kept.append(profile))
    announced: list[bool] = []
    try:
        profile = await calibrated(settings, engines, lambda: announced.append(True))
        again = await calibrated(settings, engines, lambda: announced.append(True))
    finally:
        for engine in engines.all().values():
            await engine.close()
    assert announced == [True]
    assert again == profile
    assert [each.compute_type for each in profile.computing[:2]] == ["int8", "float32"]
    assert (engines.stt.compute_type, engines.stt.threads) == (profile.compute_type, profile.threads)
    assert profile.windows, "real speech came out of its wheel"
    assert profile.windows[-1].padding_s is None
    assert profile.padding_s in PADDINGS_S
    assert engines.stt.window.padding_s == profile.padding_s
    assert profile.speeds is not None
    assert not isinstance(profile.speeds.stt_s, Unmeasured)
    assert profile.speeds.stt_s > 0
    assert profile.speeds.llm is Unmeasured.ELSEWHERE


@pytest.mark.timeout(300)
@pytest.mark.parametrize("wanted", ["auto", "int8", "float32"])
async def test_the_start_computes_as_was_kept_and_what_the_settings_say_wins(
    models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    settings = Settings(models_dir=models_dir, role="stt", stt_compute_type=wanted)
    monkeypatch.setattr("server.calibration.profile.profile_path", partial(_path_in, tmp_path, profile_path))
    engines = build_engines(settings)
    # For "auto", float32 was found to be quicker.
    kept = Profile("this one", 10.0, "float32", engines=engine_names(engines))
    save_profile(settings.model_copy(update={"stt_compute_type": "auto"}), kept)
    assert isinstance(engines.stt, FasterWhisper)
    try:
        profile = await calibrated(settings, engines)
        heard = await engines.stt.transcribe(clip("weather.wav"), Ticket(), language="en")
        runtime = engines.stt.runtime
    finally:
        for engine in engines.all().values():
            await engine.close()
    wins = "float32" if wanted == "auto" else wanted
    assert engines.stt.compute_type == profile.compute_type == wins
    assert heard.text == spoken("What is the weather in Paris?")
    if wanted != "auto":
        # Whoever wants int8 leaves open by which runtime; float32 is CTranslate2's alone.
        assert [each.name for each in profile.computing] == {"int8": ["int8", "onnx"], "float32": []}[wanted]
        assert profile.runtime == runtime == best_runtime(profile.computing)
        assert profile.windows, "the rest is measured nevertheless"


async def test_what_was_measured_of_other_engines_counts_for_nothing(
    models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(models_dir=models_dir, role="tts")
    monkeypatch.setattr("server.calibration.profile.profile_path", partial(_path_in, tmp_path, profile_path))
    engines = build_engines(settings)
    others = ("tts: timed-tts",)
    speeds = EngineSpeeds(2, Unmeasured.ELSEWHERE, Unmeasured.ELSEWHERE, Unmeasured.ELSEWHERE, VoiceSpeed(0.012, 0.05))
    save_profile(settings, Profile("this one", 2.5, "", speeds=speeds, engines=others))
    try:
        profile = await calibrated(settings, engines)
    finally:
        await engines.tts.close()
    assert profile.engines == engine_names(engines) != others
    assert profile.speeds != speeds
    assert load_profile(settings) == profile


def _path_in(folder: Path, path: Callable[[Settings], Path], settings: Settings) -> Path:
    return folder / path(settings).name
