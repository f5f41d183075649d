"""Every engine on an NVIDIA GPU against itself on the CPU: whether both say the same, and what each takes.

    python -m bench.gpu [--models DIR] [--clips DIR] [--only whisper,llama,...] [--json FILE]

Clips are WAV or FLAC files, read in the order of their names; without any, what needs speech takes noise. Times are
medians. What fails is told, and the rest goes on. Where there is no GPU it says so and ends.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import time
import traceback
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnxruntime

from pipeline.audio import HEARING_RATE, Waveform
from pipeline.engines.embedding.bert_embedder import BertEmbedder
from pipeline.engines.gpu import gpu, load_cuda_libraries
from pipeline.engines.llm.llama_builds import ANY_ID, CUDA_ID
from pipeline.engines.llm.llama_cpp import LlamaCppLanguageModel, LlamaOptions
from pipeline.engines.llm.llama_steps import GPU_LIMITS, StepLimits
from pipeline.engines.log_mel import turn_features
from pipeline.engines.protocols import ChatRequest, Message, TextToSpeech
from pipeline.engines.stt import whisper_weights
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.engines.tts.kokoro import Kokoro
from pipeline.engines.tts.piper import Piper
from pipeline.engines.tts.vits_decoder import VitsDecoder
from pipeline.engines.turn.smart_turn import SmartTurn
from pipeline.engines.vad.silero import SileroVad
from pipeline.plugins.built_in import ALL_LAYERS, BERT, FASTER_WHISPER, KOKORO, LLAMA_CPP, PIPER, SILERO, SMART_TURN
from pipeline.plugins.engine_plugin import EngineHost, EnginePlugin
from pipeline.processor import this_machine
from pipeline.scheduling.cores import CORES, usable_cores
from pipeline.scheduling.lanes import Ticket, Urgency
from pipeline.text.normalise import normalise

DEVICES = ("cpu", "cuda")
TOGETHER = (1, 4, 8, 16)
TIMES = 7
SENTENCES = (
    "Good morning.",
    "The weather in Paris is sunny today.",
    "I have set a timer for ten minutes, and I will tell you when it is over.",
    "Yes.",
    "There are three trains this afternoon, the first of them at a quarter past two from platform nine.",
)
QUESTION = "What is the capital of France, and what is it known for?"
PLUGINS: Sequence[tuple[EnginePlugin[Any], dict[str, Any]]] = (
    (SILERO, {"model": "silero-vad-v6"}),
    (SMART_TURN, {"model": "smart-turn-v3.2"}),
    (PIPER, {"model": "piper-en_US-joe-medium"}),
    (KOKORO, {"model": "kokoro-82m"}),
    (BERT, {"model": "all-minilm-l6-v2"}),
    (FASTER_WHISPER, {"model": "whisper-base"}),
    (LLAMA_CPP, {"model": "smollm2-135m-instruct", "threads": 4, "requantize": False}),
)
TOPICS = ("bread", "rain", "trains", "the moon", "salt", "bees", "rivers", "glass")


@dataclass(frozen=True, slots=True)
class Place:
    """What is computed with.

    Attributes:
        models: folder of the weights.
        clips: speech, 16 kHz, shape (n,) each.
    """

    models: Path
    clips: Sequence[Waveform]


def turn(place: Place) -> dict[str, Any]:
    """The end of turns, on every clip as it is and cut in half.

    The model is quantised. On the CPU operators are fused to sums of integers, which round elsewhere than the model
    does as it is written: so the GPU is compared with both.
    """
    clips = [part for clip in place.clips for part in (clip, clip[: clip.size // 2])]
    found: dict[str, Any] = {}
    judged: dict[str, list[float]] = {}
    for device in DEVICES:
        engine = SmartTurn(place.models / "smart-turn-v3.2", device=device)
        judged[device] = [engine._judge(clip) for clip in clips]
        found[f"{device} ms"] = _median_ms(partial(engine._judge, clips[0]))
        engine.lane.close()
    written = _as_written(next((place.models / "smart-turn-v3.2").glob("*.onnx")))
    plain = [float(written.run(None, {"input_features": turn_features(clip)[None]})[0][0, 0]) for clip in clips]
    found["mean difference"] = float(np.abs(np.subtract(judged["cpu"], judged["cuda"])).mean())
    found["mean difference as written"] = float(np.abs(np.subtract(judged["cpu"], plain)).mean())
    return found


def _as_written(file: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def embedder(place: Place) -> dict[str, Any]:
    """Vectors of sentences."""
    found: dict[str, Any] = {}
    vectors: dict[str, Any] = {}
    for device in DEVICES:
        engine = BertEmbedder(place.models / "all-minilm-l6-v2", place.models / "converted", device=device)
        vectors[device] = np.array([engine._embed(text) for text in SENTENCES])
        found[f"{device} ms"] = _median_ms(partial(engine._embed, SENTENCES[2]))
        long_text = " ".join(SENTENCES * 6)
        found[f"{device} ms for 256 tokens"] = _median_ms(partial(engine._embed, long_text))
        engine.lane.close()
    found["smallest cosine"] = float((vectors["cpu"] * vectors["cuda"]).sum(axis=1).min())
    return found


def piper(place: Place) -> dict[str, Any]:
    """A voice without its random variation, so that its sound can be compared; with it, timed."""
    folder = place.models / "piper-en_US-joe-medium"
    file = next(folder.glob("*.onnx"))
    found: dict[str, Any] = {}
    sound: dict[str, Any] = {}
    for device in DEVICES:
        decoder = VitsDecoder(file, 256, 1, device)
        ids = np.resize(np.arange(3, 60), 80)[None].astype(np.int64)
        feeds = {"input": ids, "input_lengths": np.array([80]), "scales": np.array([0, 1, 0], np.float32)}
        sound[device] = np.concatenate([part.sound for part in decoder.settle(feeds).sound])
        found |= _spoken(Piper(folder, device=device), device)
    found["samples"] = [sound[device].size for device in DEVICES]
    found["difference of sound"] = _difference(sound["cpu"], sound["cuda"])
    return found


def kokoro(place: Place) -> dict[str, Any]:
    """A voice whose sound has noise of its own: its loudness is compared."""
    found: dict[str, Any] = {}
    loudness: dict[str, Any] = {}
    for device in DEVICES:
        engine = Kokoro(place.models / "kokoro-82m", device=device)
        chunks = list(engine._say(SENTENCES[1], engine.voices[0], 1.0))
        loudness[device] = _loudness(np.concatenate([chunk.pcm for chunk in chunks]))
        found |= _spoken(engine, device)
    found["lengths"] = [loudness[device].size for device in DEVICES]
    size = min(found["lengths"])
    found["correlation of loudness"] = float(np.corrcoef(loudness["cpu"][:size], loudness["cuda"][:size])[0, 1])
    return found


def whisper(place: Place) -> dict[str, Any]:
    """Words on the CPU (int8, and float32) and on the GPU (float16); and transcriptions side by side."""
    return asyncio.run(_whisper(place))


async def _whisper(place: Place) -> dict[str, Any]:
    name = "whisper-base" if (place.models / "whisper-base").is_dir() else "whisper-tiny.en"
    found: dict[str, Any] = {"model": name}
    words: dict[str, list[str]] = {}
    full: dict[str, list[str]] = {}
    for device, kind in (("cpu", "int8"), ("cpu", "float32"), ("cuda", "float16")):
        engine = FasterWhisper(place.models / name, device=device, compute_type=kind, lanes=16)
        how = f"{device} {kind}"
        words[how] = await _heard(engine, place.clips)
        full[how] = [normalise((await engine.hear_once(clip, _now(), padding_s=None)).text) for clip in place.clips]
        found[f"{how} ms for each clip"] = [await _hearing_ms(engine, [clip]) for clip in place.clips]
        if device == "cuda":
            found["clips heard otherwise in a batch"] = await _otherwise_together(engine, place.clips, words[how])
            found["ms side by side, in batches"] = await _side_by_side(engine, place.clips)
        await engine.close()
    found |= {"words": words, "words on full windows": full}
    found["clips that float16 hears as float32"] = sum(map(str.__eq__, full["cuda float16"], full["cpu float32"]))
    by_itself = patch.multiple(whisper_weights, BatchedWhisper=lambda model: model, _WORKERS_ON_GPU=16)
    with by_itself:
        engine = FasterWhisper(place.models / name, device="cuda", compute_type="float16", lanes=16)
    found["ms side by side, each by itself"] = await _side_by_side(engine, place.clips)
    await engine.close()
    return found


async def _heard(engine: FasterWhisper, clips: Sequence[Waveform]) -> list[str]:
    heard = [await engine.transcribe(clip, _now(), language="en") for clip in clips]
    return [normalise(each.text) for each in heard]


def _now() -> Ticket:
    return Ticket(Urgency.FIRST_AUDIO)


async def _otherwise_together(engine: FasterWhisper, clips: Sequence[Waveform], alone: Sequence[str]) -> int:
    together = await asyncio.gather(*(_heard(engine, [clip]) for clip in clips))
    return sum(heard != [words] for heard, words in zip(together, alone, strict=True))


async def _hearing_ms(engine: FasterWhisper, clips: Sequence[Waveform]) -> float:
    """Of several clips at the same time."""
    took = []
    for _ in range(3):
        began = time.perf_counter()
        asked = (engine.transcribe(clip, _now(), language="en") for clip in clips)
        await asyncio.gather(*asked)
        took.append(time.perf_counter() - began)
    return round(statistics.median(took) * 1000, 1)


async def _side_by_side(engine: FasterWhisper, clips: Sequence[Waveform]) -> dict[int, float]:
    return {count: await _hearing_ms(engine, [clips[at % len(clips)] for at in range(count)]) for count in TOGETHER}


def llama(place: Place) -> dict[str, Any]:
    """A language model: its words, the memory of the GPU that it takes, and conversations side by side."""
    return asyncio.run(_llama(place))


async def _llama(place: Place) -> dict[str, Any]:
    weights = place.models / "smollm2-135m-instruct"
    found: dict[str, Any] = {}
    ways = {
        "cpu": LlamaOptions(weights, slots=16, library=place.models / ANY_ID, limits=StepLimits()),
        "cuda": LlamaOptions(
            weights,
            slots=16,
            library=place.models / ANY_ID,
            kernels=place.models / CUDA_ID,
            limits=GPU_LIMITS,
            gpu_layers=ALL_LAYERS,
        ),
    }
    for device, options in ways.items():
        before = _gpu_memory_mb()
        engine = LlamaCppLanguageModel(options)
        await engine.warm_up()
        found[f"{device} memory of the GPU, MB"] = _gpu_memory_mb() - before
        found[f"{device} says"] = (await _reply(engine, QUESTION, 40))[0]
        found[f"{device} ms to the first token, 400 tokens of prompt"] = await _first_token_ms(engine)
        for count in TOGETHER:
            began = time.perf_counter()
            asked = (_reply(engine, f"Tell me of {TOPICS[at % 8]}, {at}.", 64) for at in range(count))
            tokens = sum(each[1] for each in await asyncio.gather(*asked))
            found[f"{device} tokens/s of {count} together"] = round(tokens / (time.perf_counter() - began), 1)
        await engine.close()
    found["same words"] = found["cpu says"] == found["cuda says"]
    return found


async def _reply(engine: LlamaCppLanguageModel, text: str, most: int) -> tuple[str, int]:
    """The words of a reply, and its tokens."""
    request = ChatRequest((Message("user", text),), max_tokens=most, conversation=text)
    said, tokens = "", 0
    async for delta in engine.stream(request, _now()):
        said += delta.text
        tokens += bool(delta.text)
    return said, tokens


async def _first_token_ms(engine: LlamaCppLanguageModel) -> float:
    took = []
    for at in range(5):
        text = f"{at}: " + " ".join(SENTENCES * 7) + " What did I say?"
        began = time.perf_counter()
        await _reply(engine, text, 1)
        took.append(time.perf_counter() - began)
    return round(statistics.median(took) * 1000, 1)


def devices(place: Place) -> dict[str, Any]:
    """What every engine chooses by itself, and how long that takes."""

    def folder_of(name: str) -> Path:
        return place.models / name

    host = EngineHost(folder_of, place.models, usable_cores(), partial(SileroVad, folder_of("silero-vad-v6")))
    found: dict[str, Any] = {}
    for plugin, options in PLUGINS:
        began = time.perf_counter()
        engine = plugin.build(plugin.options(**options), host)
        found[plugin.id] = {**getattr(engine, "configuration", {}), "seconds": round(time.perf_counter() - began, 1)}
        asyncio.run(engine.close())
    return found


SECTIONS: dict[str, Callable[[Place], dict[str, Any]]] = {
    each.__name__: each for each in (turn, embedder, piper, kokoro, whisper, llama, devices)
}


def _spoken(engine: TextToSpeech, device: str) -> dict[str, Any]:
    """Milliseconds of sentences of different lengths, each said three times: all of it, and to the first sound."""
    first, whole = [], []
    with closing(engine.lane):  # type: ignore[attr-defined]
        for at in range(3 * len(SENTENCES)):
            text = f"{SENTENCES[at % len(SENTENCES)]} {'So be it.' if at % 2 else ''}"
            began = time.perf_counter()
            told, _ = asyncio.run(_say(engine, text))
            first.append(told - began)
            whole.append(time.perf_counter() - began)
    # The first round, in which a GPU is prepared for lengths that it has not met, apart from the others.
    count = len(SENTENCES)
    return {
        f"{device} ms to the first sound, first round": _ms(first[:count]),
        f"{device} ms to the first sound": _ms(first[count:]),
        f"{device} ms of a sentence": _ms(whole[count:]),
    }


async def _say(engine: TextToSpeech, text: str) -> tuple[float, int]:
    told, samples = 0.0, 0
    async for chunk in engine.synthesize(text, _now()):
        told = told or time.perf_counter()
        samples += chunk.pcm.size
    return told, samples


def _ms(seconds: Sequence[float]) -> float:
    return round(statistics.median(seconds) * 1000, 1)


def _median_ms(call: Callable[[], object], times: int = TIMES) -> float:
    took = []
    for _ in range(times + 1):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return round(statistics.median(took[1:]) * 1000, 3)


def _difference(one: Any, other: Any) -> float:
    """Of two sounds, as a share of the level of the first."""
    size = min(one.size, other.size)
    return float(np.linalg.norm(one[:size] - other[:size]) / np.linalg.norm(one[:size]))


def _loudness(pcm: Any) -> Any:
    frames = pcm[: pcm.size // 480 * 480].astype(np.float64).reshape(-1, 480)
    return np.sqrt(np.square(frames).mean(axis=1))


def _gpu_memory_mb() -> int:
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0])


def read_clips(folder: Path | None, names: Collection[str] = ()) -> list[Waveform]:
    """The clips of a folder at 16 kHz, those of some names if any are given; noise without one."""
    import soxr

    found = []
    for file in sorted(folder.iterdir()) if folder and folder.is_dir() else ():
        if names and file.stem not in names:
            continue
        if file.suffix == ".npy":
            found.append(np.load(file))
        elif file.suffix in (".wav", ".flac"):
            import soundfile

            samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
            found.append(np.asarray(soxr.resample(samples.mean(axis=1), rate, HEARING_RATE), np.float32))
    return found or [np.random.default_rng(0).normal(0, 0.01, 3 * HEARING_RATE).astype(np.float32)]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path.home() / ".cache" / "morgan" / "models")
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, comma-separated")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    card = gpu()
    if card is None:
        print("There is no NVIDIA GPU.")
        return
    CORES.resize(usable_cores())
    load_cuda_libraries()
    print(f"{card.name}, CUDA {card.cuda[0]}.{card.cuda[1]}; {this_machine().describe()}", flush=True)
    place = Place(arguments.models, read_clips(arguments.clips))
    figures: dict[str, Any] = {}
    for name in arguments.only.split(","):
        began = time.perf_counter()
        try:
            figures[name] = SECTIONS[name](place)
        except Exception:
            figures[name] = {"failed": traceback.format_exc(limit=-4)}
        print(f"{name} ({time.perf_counter() - began:.1f} s)", flush=True)
        for what, value in figures[name].items():
            print(f"    {what}: {value}", flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
