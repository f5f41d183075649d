"""Measuring the real engines of this machine."""

from pathlib import Path

import pytest

from pipeline.engines.faster_whisper import FasterWhisper
from pipeline.engines.window_choice import PADDINGS_S
from server.calibration.calibrate import calibrated
from server.engines import build_engines
from server.settings import Settings


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
    assert profile.windows, "real speech came out of its wheel"
    assert profile.windows[-1].padding_s is None
    assert profile.padding_s in PADDINGS_S
    assert engines.stt.window.padding_s == profile.padding_s
    assert profile.speeds is not None
    assert profile.speeds.stt_s > 0
