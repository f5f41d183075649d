"""What engines are measured with on a GPU and on the CPU: weights, speech and sentences."""

import statistics
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.audio import HEARING_RATE, Waveform
from pipeline.scheduling.lanes import Ticket, Urgency

TIMES = 7
"""A call is timed."""

DEVICES = ("cpu", "cuda")
TOGETHER = (1, 4, 8, 16)
"""Callers at once."""

SENTENCES = (
    "Good morning.",
    "The weather in Paris is sunny today.",
    "I have set a timer for ten minutes, and I will tell you when it is over.",
    "Yes.",
    "There are three trains this afternoon, the first of them at a quarter past two from platform nine.",
)


@dataclass(frozen=True, slots=True)
class Place:
    """What is computed with.

    Attributes:
        models: folder of the weights.
        clips: speech, 16 kHz, shape (n,) each.
    """

    models: Path
    clips: Sequence[Waveform]


def urgent() -> Ticket:
    """For what is waited for."""
    return Ticket(Urgency.FIRST_AUDIO)


def median_ms(call: Callable[[], object], times: int = TIMES) -> float:
    """What a call takes, after a first one that is not counted."""
    took = []
    for _ in range(times + 1):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return round(statistics.median(took[1:]) * 1000, 3)


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
