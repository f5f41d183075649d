"""Audio as the pipeline knows it: sample rates, window sizes and the array types that cross its borders."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

HEARING_RATE = 16_000
"""Sample rate (Hz) of everything that the models listen to."""

SPEECH_RATE = 24_000
"""Sample rate (Hz) of everything that the voices say, after each engine's own resampling."""

Pcm: TypeAlias = NDArray[np.int16]
"""Mono signed 16-bit samples, shape (n,)."""

Waveform: TypeAlias = NDArray[np.float32]
"""Mono samples between -1 and 1, shape (n,)."""


def to_waveform(pcm: Pcm) -> Waveform:
    """Scale 16-bit samples to floats between -1 and 1."""
    return pcm.astype(np.float32) / np.float32(32768)


def to_pcm(waveform: Waveform) -> Pcm:
    """Scale floats to 16-bit samples, clipping what lies outside of -1 to 1."""
    return (np.clip(waveform, -1.0, 1.0) * 32767).astype(np.int16)
