"""What was measured, kept and read again."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pipeline.engines.gpu import Gpu
from pipeline.engines.llm.speed import LanguageModelSpeed
from pipeline.engines.protocols import Engines
from pipeline.engines.speeds import EngineSpeeds, Unmeasured, VoiceSpeed
from pipeline.models import Manifest
from pipeline.processor import this_machine
from server.calibration import profile
from server.calibration.computing import ComputingFigures
from server.calibration.profile import Profile, devices_of, engine_names, load_profile, profile_path, save_profile
from server.calibration.windows import WindowFigures
from server.cli import checks
from server.cli.checks import check_calibration
from server.settings import Settings

PROFILE = Profile(
    "a processor",
    10.0,
    "float32",
    2,
    (ComputingFigures("int8", 1, (0.5, 0.4)), ComputingFigures("float32", 1, (0.4, 0.32))),
    (WindowFigures(8.0, 1.0, 0.1, 0.2), WindowFigures(None, 3.0, 0.0, 0.0)),
    EngineSpeeds(2, 0.2, 0.04, LanguageModelSpeed(0.1, 0.05, 0.01), VoiceSpeed(0.2, 0.1), stt_threads=2),
)


def settings(folder: Path, **changes: object) -> Settings:
    return Settings(models_dir=folder, **changes)  # type: ignore[arg-type]


def test_a_profile_is_read_as_it_was_kept(tmp_path: Path) -> None:
    assert load_profile(settings(tmp_path)) is None
    assert save_profile(settings(tmp_path), PROFILE) is not None
    assert load_profile(settings(tmp_path)) == PROFILE


def test_another_processor_or_model_has_another_profile(tmp_path: Path) -> None:
    here = settings(tmp_path)
    assert profile_path(here) != profile_path(settings(tmp_path, stt_model="whisper-tiny.en"))
    assert profile_path(here) != profile_path(settings(tmp_path, stt_compute_type="float32"))
    assert profile_path(here) != profile_path(here, replace(this_machine(), model="AMD EPYC 7763"))
    assert profile_path(here) != profile_path(here, replace(this_machine(), forced=("CT2_FORCE_CPU_ISA=AVX2",)))


def test_the_doctor_says_how_whisper_computes_and_why(tmp_path: Path) -> None:
    save_profile(settings(tmp_path), PROFILE)
    found = check_calibration(settings(tmp_path)).found
    assert "Whisper float32 on 2 threads (float32 on 1 takes 0.80 times as long as int8 on 1)" in found
    assert "with 10 s of silence" in found


def test_a_profile_that_cannot_be_read_is_as_good_as_none(tmp_path: Path) -> None:
    path = save_profile(settings(tmp_path), PROFILE)
    assert path is not None
    path.write_text("{")
    assert load_profile(settings(tmp_path)) is None
    path.write_text(json.dumps({"padding_s": 8.0}))
    assert load_profile(settings(tmp_path)) is None
    save_profile(settings(tmp_path), PROFILE)
    kept = json.loads(path.read_text())
    path.write_text(json.dumps(kept | {"padding_s": None}))
    assert load_profile(settings(tmp_path)) is None


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "calibration").write_text("a file where the folder should be")
    assert save_profile(settings(tmp_path), PROFILE) is None


def test_why_an_engine_was_not_measured_is_kept(tmp_path: Path) -> None:
    speeds = EngineSpeeds(2, 0.2, Unmeasured.UNKNOWN, Unmeasured.ELSEWHERE, Unmeasured.ELSEWHERE)
    save_profile(settings(tmp_path), replace(PROFILE, speeds=speeds))
    assert load_profile(settings(tmp_path)) == replace(PROFILE, speeds=speeds)
    found = check_calibration(settings(tmp_path)).found
    assert "a question of 3 s is text in 200 ms" in found
    assert "first word" not in found, "nobody knows when it is there"


def test_two_servers_that_keep_the_same_profile_write_it_whole(tmp_path: Path) -> None:
    here = settings(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        assert all(path is not None for path in pool.map(lambda _: save_profile(here, PROFILE), range(200)))
    assert load_profile(here) == PROFILE
    assert [path.suffix for path in (tmp_path / "calibration").iterdir()] == [".json"]


def test_other_weights_of_the_same_name_have_another_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = profile_path(settings(tmp_path))
    assert profile_path(settings(tmp_path)) == before
    known = Manifest.load()
    files = {model.id: tuple(replace(file, sha256="0" * 64) for file in model.files) for model in known.models}
    models = tuple(
        replace(model, files=files[model.id]) if model.id == "whisper-base" else model for model in known.models
    )
    monkeypatch.setattr(Manifest, "load", lambda: Manifest(models))
    assert profile_path(settings(tmp_path, stt_model="whisper-base")) != before


class OnGpu:
    """An engine that computes on a GPU."""

    name = "an engine"
    configuration: ClassVar[dict[str, str]] = {"device": "cuda", "device_reason": "2 ms on a card, 9 ms on the CPU"}


def test_figures_of_an_engine_on_the_gpu_are_no_figures_of_it_on_the_cpu_or_on_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(profile, "gpu", lambda: Gpu("a card", (9, 0), (13, 0)))
    on_cpu = type("OnCpu", (), {"name": "an engine"})()
    on_gpu: Any = OnGpu()
    engines = [Engines(stt=stt, llm=on_cpu, tts=on_cpu, turn=on_cpu, vad=on_cpu) for stt in (on_cpu, on_gpu)]
    assert [engine_names(each)[1] for each in engines] == ["stt: an engine", "stt: an engine on a card"]
    assert [devices_of(each) for each in engines] == [{}, {"stt": "cuda (2 ms on a card, 9 ms on the CPU)"}]


def test_the_doctor_says_where_each_engine_computes_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "gpu", lambda: Gpu("a card", (9, 0), (13, 0), memory=8 << 30))
    monkeypatch.setattr(checks, "free_gpu_memory", lambda: 15 << 29)
    [_, untried] = checks.check_gpu(settings(tmp_path))
    assert untried.found.startswith("not tried yet")
    save_profile(settings(tmp_path), replace(PROFILE, devices={"stt": "cuda (a card was tried, and works)"}))
    [card, device] = checks.check_gpu(settings(tmp_path))
    assert card.found == "a card, 7.5 of 8.0 GiB free, compute capability 9.0, its driver knows CUDA 13.0"
    assert (device.name, device.found) == ("Device of stt", "cuda (a card was tried, and works)")
