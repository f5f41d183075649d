"""How Whisper computes: chosen by what was measured, and really computed so."""

from collections.abc import AsyncIterator, Sequence

import ctranslate2
import numpy as np
import pytest

from pipeline.audio import HEARING_RATE
from pipeline.engines.log_mel import whisper_features
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.engines.stt.runtime import Runtime
from pipeline.engines.stt.window_choice import DEFAULT_PADDING_S
from pipeline.scheduling.lanes import Ticket
from server.calibration import computing
from server.calibration.computing import (
    ComputingFigures,
    best_compute_type,
    best_runtime,
    best_threads,
    choose_computing,
    times_as_long,
)
from server.services.health import engine_health
from tests.pipeline.engines.speech import clip, model
from tests.spoken import spoken


@pytest.fixture
async def stt() -> AsyncIterator[FasterWhisper]:
    engine = FasterWhisper(model("whisper-base"), lanes=2)
    yield engine
    await engine.close()


@pytest.mark.parametrize(
    ("int8", "float32", "chosen"),
    [
        ([0.20, 0.20, 0.20, 0.20], [0.28, 0.28, 0.28, 0.28], "int8"),
        ([0.50, 0.50, 0.50, 0.50], [0.58, 0.58, 0.58, 0.58], "int8"),
        ([0.50, 0.50, 0.50, 0.50], [0.50, 0.50, 0.50, 0.50], "int8"),
        ([0.50, 0.50, 0.50, 0.50], [0.48, 0.48, 0.48, 0.48], "int8"),
        ([0.50, 0.50, 0.50, 0.50], [0.47, 0.47, 0.47, 0.47], "float32"),
        ([0.50, 0.25], [0.40, 0.20], "float32"),
        ([0.20, 0.20, 0.20, 9.00], [0.28, 0.28, 0.28, 0.28], "int8"),
        ([0.50, 0.50, 0.50, 0.50], [0.40, 9.00, 0.40, 0.40], "float32"),
        ([2.00], [1.00], "float32"),
        ([0.90, 0.80, 0.90, 0.20], [0.28, 0.28, 0.28, 0.28], "int8"),
        ([], [], "int8"),
    ],
)
def test_float32_is_taken_where_it_saves_time(int8: list[float], float32: list[float], chosen: str) -> None:
    assert best_compute_type(int8, float32) == chosen


@pytest.mark.parametrize(
    ("one", "two", "chosen"),
    [
        ([0.4, 0.4], [0.4, 0.4], 1),
        ([0.4, 0.4], [0.31, 0.31], 1),
        ([0.4, 0.4], [0.29, 0.29], 2),
        ([0.4, 0.4, 0.4], [0.25, 5.0, 0.25], 2),
        ([], [], 1),
    ],
)
def test_two_threads_are_taken_where_they_save_a_quarter(one: list[float], two: list[float], chosen: int) -> None:
    assert best_threads(one, two) == chosen


def figures(runtime: Runtime, seconds: Sequence[float], *heard: str) -> ComputingFigures:
    return ComputingFigures("int8", 1, tuple(seconds), runtime, heard)


@pytest.mark.parametrize(
    ("seconds", "heard", "chosen"),
    [
        (0.5, "What is the weather in Paris?", "onnx"),
        (0.5, "what is the weather in paris", "onnx"),
        (1.05, "What is the weather in Paris?", "onnx"),
        (1.15, "What is the weather in Paris?", "ctranslate2"),
        (0.5, "What is the weather in Perish? What is the weather", "ctranslate2"),
        (0.5, "", "ctranslate2"),
    ],
)
def test_onnxruntime_is_taken_where_it_is_no_slower_and_hears_the_same(seconds: float, heard: str, chosen: str) -> None:
    said = "What is the weather in Paris?"
    one = figures("ctranslate2", (1.0, 1.0), said, said)
    assert best_runtime((one, figures("onnx", (seconds, seconds), heard, heard))) == chosen
    assert best_runtime(()) == "ctranslate2"


def test_where_nothing_was_heard_no_words_are_the_same() -> None:
    silent = (figures("ctranslate2", (1.0, 1.0), "", ""), figures("onnx", (0.5, 0.5), "", ""))
    assert best_runtime(silent) == "ctranslate2"


async def test_the_runtime_is_measured_and_the_engine_is_set_by_it(
    stt: FasterWhisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(computing, "MOST_OF_CTRANSLATE2", 100.0)
    measured = await choose_computing(stt, [clip("weather.wav")], 1, "int8", cores=2, runtime="auto")
    assert [each.name for each in measured] == ["int8", "onnx"]
    assert [each.heard for each in measured] == [(spoken("What is the weather in Paris?"),)] * 2
    assert stt.runtime == "onnx"
    assert await choose_computing(stt, [clip("weather.wav")], 1, "int8", cores=2, runtime="ctranslate2") == ()
    assert stt.runtime == "ctranslate2"


async def test_both_are_measured_on_the_same_speech_and_the_engine_is_set_by_it(stt: FasterWhisper) -> None:
    clips = [clip("weather.wav"), clip("hello.wav")]
    figures = await choose_computing(stt, clips, 1, cores=4)
    assert [(each.compute_type, each.threads) for each in figures[:2]] == [("int8", 1), ("float32", 1)]
    int8, float32, one, two = (each.seconds for each in figures)
    assert 1 <= len(int8) == len(float32) <= 2
    assert stt.compute_type == best_compute_type(int8, float32)
    assert [(each.compute_type, each.threads) for each in figures[2:]] == [(stt.compute_type, 1), (stt.compute_type, 2)]
    assert stt.threads == stt.lane.threads == best_threads(one, two)
    assert times_as_long(float32, int8) > 0


async def test_two_cores_are_not_asked_for_two_threads(stt: FasterWhisper) -> None:
    figures = await choose_computing(stt, [clip("weather.wav")], 1, cores=2)
    assert {each.threads for each in figures} == {1}
    assert stt.threads == 1


@pytest.mark.parametrize("wanted", ["int8", "float32"])
async def test_who_wants_one_of_them_has_it_whatever_is_faster(
    stt: FasterWhisper, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(computing, "MOST_OF_INT8", 100.0 if wanted == "int8" else 0.0)
    assert await choose_computing(stt, [clip("weather.wav")], 1, wanted, cores=2) == ()
    assert stt.compute_type == wanted


async def test_without_room_or_speech_nothing_is_measured(stt: FasterWhisper, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await choose_computing(stt, [], 1, cores=4) == ()
    monkeypatch.setattr(computing, "usable_memory", lambda: 300_000_000)
    assert await choose_computing(stt, [clip("weather.wav")], 1, cores=2) == ()
    assert (stt.compute_type, stt.threads) == ("int8", 1)


async def test_where_float32_is_quicker_the_engine_computes_in_it(
    stt: FasterWhisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = clip("weather.wav")
    in_int8 = encoded(stt, audio)
    monkeypatch.setattr(computing, "MOST_OF_INT8", 100.0)
    await choose_computing(stt, [audio], 1, cores=2)
    trained = ctranslate2.models.Whisper(str(stt.folder), device="cpu", compute_type="float32", intra_threads=1)
    reference = np.asarray(trained.encode(features(stt, audio)))
    assert np.abs(encoded(stt, audio) - reference).max() < 1e-3 < np.abs(in_int8 - reference).max()
    assert engine_health(stt, None)["compute_type"] == "float32"
    assert (await stt.transcribe(audio, Ticket(), language="en")).text == spoken("What is the weather in Paris?")


async def test_a_transcription_on_two_threads_takes_two_cores(stt: FasterWhisper) -> None:
    await stt.reload("int8", threads=2)
    assert stt.configuration == {
        "compute_type": "int8",
        "threads": 2,
        "padding_s": DEFAULT_PADDING_S,
        "runtime": "ctranslate2",
        "device": "cpu",
        "device_reason": "set so",
    }
    assert stt.lane.threads == 2
    assert (await stt.transcribe(clip("hello.wav"), Ticket(), language="en")).text


def features(stt: FasterWhisper, audio: np.ndarray) -> ctranslate2.StorageView:
    frames = 2 * (audio.size * 100 // HEARING_RATE // 2) + 800
    return ctranslate2.StorageView.from_array(whisper_features(audio, frames, stt._encoder.model.n_mels)[None])


def encoded(stt: FasterWhisper, audio: np.ndarray) -> np.ndarray:
    return np.asarray(stt._encoder.model.encode(features(stt, audio)))
