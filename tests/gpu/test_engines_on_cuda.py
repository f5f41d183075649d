"""Every engine on an NVIDIA GPU says what it says on the CPU. `python -m bench.gpu` prints the figures."""

from typing import Any

from bench.gpu import devices, embedder, kokoro, piper, turn
from bench.gpu_batches import llama, whisper
from bench.gpu_place import Place
from pipeline.engines.llm.llama_builds import ANY_ID, CUDA_ID
from tests.gpu.weights import needs


def test_ends_of_turns_are_judged_alike(on_gpu: Place) -> None:
    needs("smart-turn-v3.2")
    found = turn(on_gpu)
    # The model is quantised, and its scores differ from kernel to kernel, on the CPU too.
    assert found["mean difference"] < max(0.05, 1.5 * found["mean difference as written"])


def test_vectors_point_the_same_way(on_gpu: Place) -> None:
    needs("all-minilm-l6-v2")
    assert embedder(on_gpu)["smallest cosine"] > 0.99


def test_piper_sounds_the_same(on_gpu: Place) -> None:
    needs("piper-en_US-joe-medium")
    found = piper(on_gpu)
    assert len(set(found["samples"])) == 1
    assert found["difference of sound"] < 0.05


def test_kokoro_speaks_alike(on_gpu: Place) -> None:
    needs("kokoro-82m")
    found = kokoro(on_gpu)
    shorter, longer = sorted(found["lengths"])
    assert shorter > 0.9 * longer
    # Its sound has noise of its own.
    assert found["correlation of loudness"] > 0.7


def test_whisper_in_float16_hears_the_words_of_float32_alone_and_in_batches(on_gpu: Place) -> None:
    needs("whisper-base")
    found = whisper(on_gpu)
    assert found["clips that float16 hears as float32"] >= len(on_gpu.clips) - 1
    assert found["clips heard otherwise in a batch"] == 0


def test_the_layers_of_a_language_model_lie_on_the_gpu_and_its_words_make_sense(on_gpu: Place) -> None:
    needs(ANY_ID, CUDA_ID, "smollm2-135m-instruct")
    found = llama(on_gpu)
    assert "Paris" in found["cuda says"]
    # The weights are 98 MB, and 16 conversations of 2,048 tokens 750.
    assert found["cuda memory of the GPU, MB"] > found["cpu memory of the GPU, MB"] + 500


def test_each_engine_says_where_it_computes_and_why(on_gpu: Place) -> None:
    needs(ANY_ID, CUDA_ID, "kokoro-82m")
    found: dict[str, Any] = devices(on_gpu)
    found.pop("silero")  # The CPU, always.
    assert all(each["device"] in ("cpu", "cuda") and each["device_reason"] for each in found.values())
    assert found["llama.cpp"]["device"] == found["faster-whisper"]["device"] == "cuda"
