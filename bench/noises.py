"""Noises that people make and that are no speech, synthesised: coughs, door slams, background noise.

Every one is made by a recipe from a seeded random generator, so that no recording has to be carried along and no two
are alike. All are 48 kHz mono 16-bit, shape (n,).
"""

import numpy as np
from numpy.typing import NDArray

from media.values import Pcm

RATE = 48_000

RESONANCES = ((650, 90, 1.0), (1150, 110, 0.6), (2500, 160, 0.25))
"""Of an open throat: middle in Hz, half width in Hz, share."""

Samples = NDArray[np.float64]


def cough(rng: np.random.Generator, peak_dbfs: float = -6.0) -> Pcm:
    """One or two bursts of 0.3 s, as phoneticians describe a cough: explosion, airy middle, voiced end.

    Each burst is an explosion (noise of 300-6000 Hz that rises within 6 ms and dies with a time constant of 25-45 ms),
    air behind it (noise of 300-2500 Hz, time constant 60-110 ms, 10 dB down) and a voice that the closing throat cuts
    off (a pulse train falling from 190-260 Hz by a third, through resonances at 650, 1150 and 2500 Hz, 120-200 ms).
    """
    bursts: list[Samples] = []
    for number in range(int(rng.integers(1, 3))):
        length = rng.uniform(0.26, 0.36)
        explosion = _noise(rng, length, 300, 6000) * _decay(length, rng.uniform(0.025, 0.045), 0.006)
        air = _noise(rng, length, 300, 2500) * _decay(length, rng.uniform(0.06, 0.11), 0.03) * 0.3
        loudness = rng.uniform(0.6, 1.0) ** number
        bursts += [
            (explosion + air + _voiced_end(rng, length)) * loudness,
            np.zeros(int(rng.uniform(0.02, 0.08) * RATE)),
        ]
    return _scaled(np.concatenate(bursts), peak_dbfs)


def door_slam(rng: np.random.Generator, peak_dbfs: float = -3.0) -> Pcm:
    """A thump of 0.4 s: the leaf (a sine of 55-95 Hz and its octave, time constant 50-90 ms), the latch (a click of
    noise up to 8 kHz, 4 ms) and the frame (noise of 100-700 Hz, time constant 40-80 ms).
    """
    length = 0.4
    time = np.arange(int(length * RATE)) / RATE
    hertz = rng.uniform(55, 95)
    leaf = (np.sin(2 * np.pi * hertz * time) + 0.4 * np.sin(4 * np.pi * hertz * time)) * _decay(
        length, rng.uniform(0.05, 0.09), 0.003
    )
    latch = _noise(rng, length, 500, 8000) * _decay(length, 0.004, 0.0005)
    frame = _noise(rng, length, 100, 700) * _decay(length, rng.uniform(0.04, 0.08), 0.002)
    return _scaled(leaf + 0.5 * latch + 0.7 * frame, peak_dbfs)


def noise_deviation(dbfs: float | None) -> float:
    """Standard deviation in 16-bit steps of white noise at a level; None is the faint noise of a quiet room."""
    return 4.0 if dbfs is None else float(32768 * 10 ** (dbfs / 20))


def _noise(rng: np.random.Generator, seconds: float, low_hz: float, high_hz: float) -> Samples:
    """White noise between two frequencies, of standard deviation 1."""
    count = int(seconds * RATE)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / RATE)
    spectrum[(hertz < low_hz) | (hertz > high_hz)] = 0
    shaped = np.fft.irfft(spectrum, count)
    return np.asarray(shaped / shaped.std(), np.float64)


def _voiced_end(rng: np.random.Generator, seconds: float) -> Samples:
    count = int(seconds * RATE)
    voiced = int(rng.uniform(0.12, 0.20) * RATE)
    hertz = rng.uniform(190, 260) * (1 - np.linspace(0, 1 / 3, voiced))
    pulses = np.diff(np.floor(np.cumsum(hertz) / RATE), prepend=0)
    spectrum, bins = np.fft.rfft(pulses), np.fft.rfftfreq(voiced, 1 / RATE)
    throat = sum(share / (1 + ((bins - middle) / width) ** 2) for middle, width, share in RESONANCES)
    sound = np.fft.irfft(spectrum * throat, voiced) * np.hanning(voiced)
    whole = np.zeros(count)
    whole[count - voiced :] = 0.5 * sound / np.abs(sound).max()
    return whole


def _decay(seconds: float, constant: float, rise: float) -> Samples:
    time = np.arange(int(seconds * RATE)) / RATE
    return np.asarray(np.minimum(time / rise, 1) * np.exp(-time / constant), np.float64)


def _scaled(samples: Samples, peak_dbfs: float) -> Pcm:
    scaled: Pcm = (samples / np.abs(samples).max() * 32767 * 10 ** (peak_dbfs / 20)).astype(np.int16)
    return scaled
