"""Whether Whisper computes in int8 or in float32 on this processor, on how many threads, and by which runtime.

float32 are the weights as they were trained: they do not say a sentence twice and err less, so they are taken on a
processor on which they save time. On a Xeon with VNNI they take 1.4 times as long as int8, there on the path for AVX2
alone 1.16 times.

Two threads are tried where there are four cores and more, and are taken where they save a quarter of the time. They are
fixed when the weights are loaded, so that each transcription waits for both of its cores and holds them
(`pipeline.scheduling.core_budget`). On two or three cores it would wait for whatever else runs, and an interim
transcript would take the core that must stay free; from four on the language model, which does one thing at a time,
bounds the calls before the cores do. Other engines stay at one: llama.cpp takes what is free for every step by itself,
and the pieces of a voice and of the turn model are over before a second core is free.

English on its first window is heard by onnxruntime (`pipeline.engines.stt.whisper_onnx`) where the words are the same
and it takes no tenth longer than CTranslate2. It is measured without the draft that calls have, which saves a third
more: what seems as fast here, beside other work, is quicker there.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import median
from typing import Literal

import structlog

from pipeline.audio import Waveform
from pipeline.engines.protocols import EngineUnavailableError
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.engines.stt.runtime import Runtime
from pipeline.engines.stt.window_choice import QUICK_PADDING_S
from pipeline.processor import return_free_memory, usable_memory
from pipeline.scheduling.cores import CORES
from pipeline.scheduling.lanes import Ticket, Urgency
from pipeline.text.normalise import edit_distances, normalise
from server.calibration.windows import agrees

MOST_OF_INT8 = 0.95
"""float32 takes at most so much of int8's time to be chosen: what is as fast is not worth four times the memory."""

MOST_OF_CTRANSLATE2 = 1.1
"""onnxruntime takes at most so much of CTranslate2's time to be chosen."""

MOST_OF_ONE_THREAD = 0.75
MORE_THREADS = 2
FEWEST_CORES = 4

LONGEST_S = 3.0
"""No further pair is begun after so long: with a large model one pair says enough."""

_FLOAT32_OF_FILE = 4
"""Memory of float32 weights over the size of their file, at most: it may hold int8."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ComputingFigures:
    """One way to compute.

    Attributes:
        compute_type: as CTranslate2 names them.
        threads: inside one transcription.
        seconds: for the same stretches of speech one after the other, as the way that it is compared with.
        runtime: that hears English.
        heard: the words of each stretch.
    """

    compute_type: str
    threads: int
    seconds: tuple[float, ...]
    runtime: Runtime = "ctranslate2"
    heard: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What it computes in, or by which runtime if that is not CTranslate2."""
        return self.compute_type if self.runtime == "ctranslate2" else self.runtime


def times_as_long(seconds: Sequence[float], than: Sequence[float]) -> float:
    """Time of one way over that of another: the median of pairs measured side by side, so that one stall says nothing.

    Args:
        seconds: of the one.
        than: of the other, for the same stretches.
    """
    return median(one / other for one, other in zip(seconds, than, strict=True))


def best_compute_type(int8: Sequence[float], float32: Sequence[float]) -> str:
    """float32 where it surely saves time; int8 otherwise, and where nothing was measured.

    Args:
        int8: seconds for some stretches of speech.
        float32: for the same.
    """
    return "float32" if _saves(float32, int8, MOST_OF_INT8) else "int8"


def best_threads(one: Sequence[float], more: Sequence[float]) -> int:
    """`MORE_THREADS` where they surely save a quarter of the time; 1 otherwise, and where nothing was measured.

    Args:
        one: seconds on one thread for some stretches of speech.
        more: for the same on more.
    """
    return MORE_THREADS if _saves(more, one, MOST_OF_ONE_THREAD) else 1


def best_runtime(figures: Sequence[ComputingFigures]) -> Runtime:
    """onnxruntime where it hears what CTranslate2 hears and is no slower; CTranslate2 otherwise.

    Args:
        figures: of CTranslate2 and of onnxruntime; none where nothing was measured.
    """
    if not figures:
        return "ctranslate2"
    one, other = figures
    wanted, got = ([normalise(text).split() for text in each.heard] for each in (one, other))
    edits = sum(edit_distances(said, heard)[-1] for said, heard in zip(wanted, got, strict=True))
    words = sum(len(said) for said in wanted)
    same = words > 0 and agrees(edits / words, words)
    return "onnx" if same and _saves(other.seconds, one.seconds, MOST_OF_CTRANSLATE2) else "ctranslate2"


def _saves(seconds: Sequence[float], than: Sequence[float], most: float) -> bool:
    """Whether both the pairs and the best of each say so: other programs spoil the one or the other."""
    return bool(seconds) and max(times_as_long(seconds, than), min(seconds) / min(than)) <= most


async def choose_computing(
    stt: FasterWhisper,
    clips: Sequence[Waveform],
    repeats: int,
    wanted: str = "auto",
    cores: int | None = None,
    runtime: Literal["auto", "ctranslate2", "onnx"] = "ctranslate2",
) -> tuple[ComputingFigures, ...]:
    """Measure, and let the engine compute as is best here; about 5 s for two clips and two repeats.

    Args:
        stt: nobody else should use it meanwhile.
        clips: 16 kHz, shape (n,) each; none to leave everything as it is by default.
        repeats: how often each is heard.
        wanted: "auto", or the compute type that the settings want.
        cores: that inference may use; those of the process's budget if not given.
        runtime: "auto", or the one that the settings want.

    Returns:
        What it was chosen from: two ways that were compared, two more behind them, and again.

    Raises:
        EngineUnavailableError: the weights cannot be loaded as they are wanted.
    """
    await stt.change_runtime("ctranslate2")
    await stt.reload("int8" if wanted == "auto" else wanted)
    figures: list[ComputingFigures] = []
    if wanted == "auto" and _fits(stt):
        compared = await _compare(stt, clips, repeats, "float32", threads=1)
        figures += compared
        await stt.reload(best_compute_type(*(each.seconds for each in compared)) if compared else "int8")
    if (CORES.count if cores is None else cores) >= FEWEST_CORES:
        compared = await _compare(stt, clips, repeats, stt.compute_type, MORE_THREADS)
        figures += compared
        await stt.reload(stt.compute_type, best_threads(*(each.seconds for each in compared)) if compared else 1)
    if runtime == "auto" and wanted in ("auto", "int8") and _fits(stt):
        compared = await _compare(stt, clips, repeats, stt.compute_type, stt.threads, "onnx")
        figures += compared
        runtime = best_runtime(compared)
    await stt.change_runtime("ctranslate2" if runtime == "auto" else runtime)
    return tuple(figures)


def _fits(stt: FasterWhisper) -> bool:
    """Whether further weights have room beside the others."""
    free = usable_memory()
    return free is None or _FLOAT32_OF_FILE * (stt.folder / "model.bin").stat().st_size <= free


async def _compare(
    stt: FasterWhisper,
    clips: Sequence[Waveform],
    repeats: int,
    compute_type: str,
    threads: int,
    runtime: Runtime = "ctranslate2",
) -> tuple[ComputingFigures, ...]:
    """The engine as it is and another way, in turns; nothing where there is nothing to hear or it cannot be loaded."""
    if not clips:
        return ()
    try:
        folder, cache = stt.folder, stt.cache
        other = FasterWhisper(folder, threads=threads, compute_type=compute_type, runtime=runtime, cache=cache)
    except EngineUnavailableError as error:
        log.warning("not measured", compute_type=compute_type, threads=threads, problem=str(error))
        return ()
    try:
        if other.runtime != runtime:
            return ()
        await _heard_in(other, clips[0])  # the first one sets things up
        seconds: dict[FasterWhisper, list[float]] = {stt: [], other: []}
        heard: dict[FasterWhisper, list[str]] = {stt: [], other: []}
        began = time.perf_counter()
        for number, (_, clip) in enumerate(product(range(repeats), clips)):
            # Who goes first alternates, so that a machine that slows down is fair to both.
            for engine in (stt, other) if number % 2 == 0 else (other, stt):
                took, text = await _heard_in(engine, clip)
                seconds[engine].append(took)
                heard[engine].append(text)
            if time.perf_counter() - began > LONGEST_S:
                break
        return tuple(
            ComputingFigures(each.compute_type, each.threads, tuple(took), each.runtime, tuple(heard[each]))
            for each, took in seconds.items()
        )
    finally:
        await other.close()
        return_free_memory()


async def _heard_in(stt: FasterWhisper, clip: Waveform) -> tuple[float, str]:
    """Seconds, and the words."""
    began, ticket = time.perf_counter(), Ticket(Urgency.FIRST_AUDIO)
    transcript = await stt.hear_once(clip, ticket, padding_s=QUICK_PADDING_S, language="en")
    return time.perf_counter() - began, transcript.text
