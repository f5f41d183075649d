"""Another sample rate for sound that is heard as it comes: milliseconds late, and as many samples as it should be.

A resampler for files looks far ahead: soxr's takes 21 ms of 24 kHz, and 66 ms of 8 kHz, before it gives anything, and
every answer comes so much later.
"""

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from media.values import Pcm

_KAISER_BETA = 6.0
"""60 dB of what lies outside of the band is gone."""

_HALF_WIDTH = 24
"""Samples of the lower rate on either side that a sample depends on; the band ends at 0.93 of what it can hold."""

_PASS = 0.93

MOST_PHASES = 640
"""Of a filter: 11,025 Hz to 16 kHz. Rates without a common measure would take megabytes."""


class LiveResampler:
    """s16 samples at one rate in, at another out. Remembers 2 x `_HALF_WIDTH` samples of the lower rate.

    A linear-phase filter in as many phases as the rates ask for: of 24 to 16 kHz two, of 44.1 to 16 kHz 160.

    Args:
        rate: of what comes in, Hz.
        to: wanted rate, Hz.

    Attributes:
        delay_s: by which what comes out is late.
    """

    def __init__(self, rate: int, to: int) -> None:
        common = math.gcd(rate, to)
        self._up, self._down = to // common, rate // common
        stretch = max(1.0, rate / to)
        half = math.ceil(_HALF_WIDTH * stretch)
        self._size = 2 * half
        cutoff = _PASS / stretch
        # Tap n of phase p weighs the input (half - 1 - n + p / up) samples before the moment of the output.
        at = (half - 1 - np.arange(self._size)[None, :]) + np.arange(self._up)[:, None] / self._up
        taps = np.sinc(cutoff * at) * np.i0(_KAISER_BETA * np.sqrt(np.clip(1 - (at / half) ** 2, 0, None)))
        self._taps: NDArray[np.float32] = (taps / taps.sum(axis=1, keepdims=True)).astype(np.float32)
        self.delay_s = half / rate
        self._before = np.zeros(self._size - 1, np.float32)
        # Of the next output: whole input samples into what comes next, and the phase.
        self._skip = 0
        self._phase = 0

    @staticmethod
    def knows(rate: int, to: int) -> bool:
        """Whether the two rates take few enough phases."""
        return to // math.gcd(rate, to) <= MOST_PHASES

    def feed(self, pcm: Pcm) -> Pcm:
        """The samples that what came is worth, `delay_s` late: shape (n,) in, (n x to / rate,) out, rounded up."""
        if not len(pcm):
            return pcm
        signal = np.concatenate((self._before, pcm.astype(np.float32)))
        self._before = signal[len(signal) - self._size + 1 :]
        # Output k is at input (skip + (phase + k down) / up).
        count = max(0, -(-((len(pcm) - self._skip) * self._up - self._phase) // self._down))
        steps = self._phase + np.arange(count) * self._down
        rows = sliding_window_view(signal, self._size)[self._skip + steps // self._up]
        out = np.einsum("ij,ij->i", rows, self._taps[steps % self._up])
        after = self._phase + count * self._down
        self._skip, self._phase = self._skip + after // self._up - len(pcm), after % self._up
        heard: Pcm = np.clip(np.rint(out), -32_768, 32_767).astype(np.int16)
        return heard
