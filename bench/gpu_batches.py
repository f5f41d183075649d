"""What a GPU computes for several callers at once: Whisper's words, and replies of a language model."""

import asyncio
import statistics
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import ctranslate2

from bench.gpu_place import SENTENCES, TOGETHER, Place, median_ms, urgent
from pipeline.audio import Waveform
from pipeline.engines.gpu import ALL_LAYERS
from pipeline.engines.llm.llama_builds import ANY_ID, CUDA_ID, load_library
from pipeline.engines.llm.llama_cpp import LlamaCppLanguageModel, LlamaOptions
from pipeline.engines.llm.llama_native import NativeContext, NativeModel, find_gguf
from pipeline.engines.llm.llama_steps import GPU_LIMITS, StepLimits
from pipeline.engines.llm.llama_trial import CONVERSATIONS, read_all, steps, tokens_of
from pipeline.engines.log_mel import whisper_features
from pipeline.engines.protocols import ChatRequest, Message
from pipeline.engines.stt.encoded_silence import LONGEST_FRAMES
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.engines.stt.whisper_weights import load_whisper
from pipeline.text.normalise import normalise

ENGLISH = ("<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>")
"""What Whisper is told ahead of the words."""
QUESTION = "What is the capital of France, and what is it known for?"
TOPICS = ("bread", "rain", "trains", "the moon", "salt", "bees", "rivers", "glass")


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
        full[how] = [normalise((await engine.hear_once(clip, urgent(), padding_s=None)).text) for clip in place.clips]
        found[f"{how} ms for each clip"] = [await _hearing_ms(engine, [clip]) for clip in place.clips]
        if device == "cuda":
            found["clips heard otherwise in a batch"] = await _otherwise_together(engine, place.clips, words[how])
            found["ms of callers side by side"] = {
                count: await _hearing_ms(engine, [place.clips[at % len(place.clips)] for at in range(count)])
                for count in TOGETHER
            }
            found["cores kept busy by a caller after another"] = await _cores_busy(engine, place.clips)
        await engine.close()
    found |= {"words": words, "words on full windows": full}
    found["clips that float16 hears as float32"] = sum(map(str.__eq__, full["cuda float16"], full["cpu float32"]))
    batches, vocabulary = load_whisper(place.models / name, 16, 1, "cuda", "float16")
    start = [vocabulary.token_to_id(mark) for mark in ENGLISH if vocabulary.token_to_id(mark) is not None]
    found["ms of windows side by side, in batches"] = _side_by_side(batches, start, place.clips)
    del batches
    alone = ctranslate2.models.Whisper(
        str(place.models / name), device="cuda", compute_type="float16", inter_threads=max(TOGETHER)
    )
    found["ms of windows side by side, each by itself"] = _side_by_side(alone, start, place.clips)
    return found


async def _heard(engine: FasterWhisper, clips: Sequence[Waveform]) -> list[str]:
    heard = [await engine.transcribe(clip, urgent(), language="en") for clip in clips]
    return [normalise(each.text) for each in heard]


async def _otherwise_together(engine: FasterWhisper, clips: Sequence[Waveform], alone: Sequence[str]) -> int:
    together = await asyncio.gather(*(_heard(engine, [clip]) for clip in clips))
    return sum(heard != [words] for heard, words in zip(together, alone, strict=True))


async def _hearing_ms(engine: FasterWhisper, clips: Sequence[Waveform]) -> float:
    """Of several clips at the same time."""
    took = []
    for _ in range(3):
        began = time.perf_counter()
        asked = (engine.transcribe(clip, urgent(), language="en") for clip in clips)
        await asyncio.gather(*asked)
        took.append(time.perf_counter() - began)
    return round(statistics.median(took) * 1000, 1)


def _side_by_side(model: Any, start: list[int], clips: Sequence[Waveform]) -> dict[int, float]:
    """Milliseconds in which full windows are heard, each asked for by a thread of its own."""
    windows = [whisper_features(clip, LONGEST_FRAMES, model.n_mels)[None] for clip in clips]

    def hear(at: int) -> None:
        encoded = model.encode(ctranslate2.StorageView.from_array(windows[at % len(windows)]))
        model.generate(encoded, [start], max_length=64, beam_size=1)

    def hear_all(count: int) -> None:
        list(threads.map(hear, range(count)))

    with ThreadPoolExecutor(max(TOGETHER)) as threads:
        return {count: median_ms(partial(hear_all, count)) for count in TOGETHER}


async def _cores_busy(engine: FasterWhisper, clips: Sequence[Waveform]) -> float:
    before, began = time.process_time(), time.perf_counter()
    for _ in range(5):
        await _heard(engine, clips)
    return round((time.process_time() - before) / (time.perf_counter() - began), 2)


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
        found[f"{device} cores kept busy by a reply"] = await _cores_writing(engine)
        await engine.close()
    found["same words"] = found["cpu says"] == found["cuda says"]
    return found


def first_steps(place: Place) -> dict[str, Any]:
    """Seconds of a language model's steps when they are first wanted, by their tokens, and again in a new context.

    With `CUDA_CACHE_DISABLE=1` the driver compiles in this process what it needs, as on its first day.
    """
    library = load_library(place.models / ANY_ID, place.models / CUDA_ID)
    model = NativeModel(find_gguf(place.models / "smollm2-135m-instruct"), library, ALL_LAYERS)
    most, found = GPU_LIMITS.chunk, dict[str, Any]()
    for when in ("first", "again"):
        context = NativeContext(model, slots=CONVERSATIONS, n_ctx=tokens_of(most), batch=most, threads=1)
        took = read_all(context, most)
        found |= {f"{when}, {counts}": round(seconds, 3) for counts, seconds in zip(steps(most), took, strict=True)}
        context.close()
    model.close()
    return found


async def _reply(engine: LlamaCppLanguageModel, text: str, most: int) -> tuple[str, int]:
    """The words of a reply, and its tokens."""
    request = ChatRequest((Message("user", text),), max_tokens=most, conversation=text)
    said, tokens = "", 0
    async for delta in engine.stream(request, urgent()):
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


async def _cores_writing(engine: LlamaCppLanguageModel) -> float:
    before, began = time.process_time(), time.perf_counter()
    await _reply(engine, "Tell me a long story.", 200)
    return round((time.process_time() - before) / (time.perf_counter() - began), 2)


def _gpu_memory_mb() -> int:
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0])
