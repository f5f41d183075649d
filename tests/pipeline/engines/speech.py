"""Real speech and real weights for the tests of the engines."""

import os
from pathlib import Path

import numpy as np
import soundfile
import soxr

from pipeline.audio import HEARING_RATE, Waveform
from tests.conftest import lacking

CLIPS = Path(os.environ.get("MORGAN_SHARED_AUDIO") or Path(__file__).parents[3].parent / "shared" / "audio")
MODELS = Path(os.environ.get("MORGAN_MODELS_DIR", Path.home() / ".cache" / "morgan" / "models"))


def clip(name: str) -> Waveform:
    """A recording of `shared/audio` at 16 kHz; skips the test where the folder is missing, except in CI."""
    return resampled(*_read(_present(CLIPS / name)))


def model(name: str) -> Path:
    """The folder of a model; skips the test where it has not been pulled, except in CI."""
    return _present(MODELS / name)


def resampled(samples: Waveform, rate: int) -> Waveform:
    return np.asarray(soxr.resample(samples, rate, HEARING_RATE), np.float32)


def _read(path: Path) -> tuple[Waveform, int]:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return samples.mean(axis=1), rate


def _present(path: Path) -> Path:
    if not path.exists():
        lacking(f"{path.name} is missing in {path.parent}")
    return path
