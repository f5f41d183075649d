"""Every engine on an NVIDIA GPU against itself on the CPU: whether both say the same, and what each takes.

    python -m bench.gpu [--models DIR] [--clips DIR] [--only whisper,llama,...] [--json FILE]

Clips are WAV or FLAC files, read in the order of their names; without any, what needs speech takes noise. Times are
medians. What fails is told, and the rest goes on. Where there is no GPU it says so and ends.
"""

import argparse
import asyncio
import json
import statistics
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from bench.gpu_batches import first_steps, llama, whisper
from bench.gpu_place import DEVICES, SENTENCES, Place, median_ms, read_clips, urgent
from pipeline.audio import Waveform
from pipeline.engines.embedding.bert_embedder import BertEmbedder
from pipeline.engines.gpu import gpu, load_cuda_libraries
from pipeline.engines.log_mel import turn_features
from pipeline.engines.protocols import TextToSpeech
from pipeline.engines.tts.kokoro import Kokoro
from pipeline.engines.tts.piper import Piper
from pipeline.engines.tts.vits_decoder import VitsDecoder
from pipeline.engines.turn.smart_turn import SmartTurn
from pipeline.engines.vad.silero import SileroVad
from pipeline.plugins.built_in import BERT, FASTER_WHISPER, KOKORO, LLAMA_CPP, PIPER, SILERO, SMART_TURN
from pipeline.plugins.engine_plugin import EngineHost, EnginePlugin
from pipeline.processor import this_machine
from pipeline.scheduling.cores import CORES, usable_cores

PLUGINS: Sequence[tuple[EnginePlugin[Any], dict[str, Any]]] = (
    (SILERO, {"model": "silero-vad-v6"}),
    (SMART_TURN, {"model": "smart-turn-v3.2"}),
    (PIPER, {"model": "piper-en_US-joe-medium"}),
    (KOKORO, {"model": "kokoro-82m"}),
    (BERT, {"model": "all-minilm-l6-v2"}),
    (FASTER_WHISPER, {"model": "whisper-base"}),
    (LLAMA_CPP, {"model": "smollm2-135m-instruct", "threads": 4, "requantize": False}),
)


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
        judged[device] = asyncio.run(_judged(engine, clips))
        found[f"{device} ms"] = median_ms(partial(_judge, engine, clips[0]))
        engine.lane.close()
    written = _as_written(next((place.models / "smart-turn-v3.2").glob("*.onnx")))
    plain = [float(written.run(None, {"input_features": turn_features(clip)[None]})[0][0, 0]) for clip in clips]
    found["mean difference"] = float(np.abs(np.subtract(judged["cpu"], judged["cuda"])).mean())
    found["mean difference as written"] = float(np.abs(np.subtract(judged["cpu"], plain)).mean())
    return found


async def _judged(engine: SmartTurn, clips: Sequence[Waveform]) -> list[float]:
    return [await engine.completeness(clip, urgent()) for clip in clips]


def _judge(engine: SmartTurn, clip: Waveform) -> None:
    asyncio.run(engine.completeness(clip, urgent()))


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
        vectors[device] = np.array(_embed(engine, SENTENCES))
        found[f"{device} ms"] = median_ms(partial(_embed, engine, SENTENCES[2:3]))
        found[f"{device} ms for 256 tokens"] = median_ms(partial(_embed, engine, [" ".join(SENTENCES * 6)]))
        engine.lane.close()
    found["smallest cosine"] = float((vectors["cpu"] * vectors["cuda"]).sum(axis=1).min())
    return found


def _embed(engine: BertEmbedder, texts: Sequence[str]) -> list[list[float]]:
    return asyncio.run(engine.embed(texts, urgent()))


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
        loudness[device] = _loudness(asyncio.run(_sound(engine, SENTENCES[1])))
        found |= _spoken(engine, device)
    found["lengths"] = [loudness[device].size for device in DEVICES]
    size = min(found["lengths"])
    found["correlation of loudness"] = float(np.corrcoef(loudness["cpu"][:size], loudness["cuda"][:size])[0, 1])
    return found


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
    each.__name__: each for each in (turn, embedder, piper, kokoro, whisper, first_steps, llama, devices)
}


def _spoken(engine: TextToSpeech, device: str) -> dict[str, Any]:
    """Milliseconds of sentences of different lengths, each said three times: all of it, and to the first sound."""
    first, whole = [], []
    with closing(engine.lane):  # type: ignore[attr-defined]
        for at in range(3 * len(SENTENCES)):
            text = f"{SENTENCES[at % len(SENTENCES)]} {'So be it.' if at % 2 else ''}"
            began = time.perf_counter()
            first.append(asyncio.run(_first_sound(engine, text)) - began)
            whole.append(time.perf_counter() - began)
    # The first round, in which a GPU is prepared for lengths that it has not met, apart from the others.
    count = len(SENTENCES)
    return {
        f"{device} ms to the first sound, first round": _ms(first[:count]),
        f"{device} ms to the first sound": _ms(first[count:]),
        f"{device} ms of a sentence": _ms(whole[count:]),
    }


async def _sound(engine: TextToSpeech, text: str) -> Any:
    return np.concatenate([chunk.pcm async for chunk in engine.synthesize(text, urgent())])


async def _first_sound(engine: TextToSpeech, text: str) -> float:
    """When there was some; returns once all was said."""
    times = [time.perf_counter() async for _ in engine.synthesize(text, urgent())]
    return times[0]


def _ms(seconds: Sequence[float]) -> float:
    return round(statistics.median(seconds) * 1000, 1)


def _difference(one: Any, other: Any) -> float:
    """Of two sounds, as a share of the level of the first."""
    size = min(one.size, other.size)
    return float(np.linalg.norm(one[:size] - other[:size]) / np.linalg.norm(one[:size]))


def _loudness(pcm: Any) -> Any:
    frames = pcm[: pcm.size // 480 * 480].astype(np.float64).reshape(-1, 480)
    return np.sqrt(np.square(frames).mean(axis=1))


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
