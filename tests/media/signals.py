"""Made-up sound for the tests, and how far one sound is from another."""

import numpy as np

from media.values import Pcm


def voice(seconds: float, rate: int) -> Pcm:
    """A hummed vowel: gliding pitch with formant-weighted harmonics, in syllables of a third of a second."""
    t = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * (130 * t + 20 * np.sin(2 * np.pi * 0.7 * t) / (2 * np.pi * 0.7))
    wave = np.zeros_like(t)
    for harmonic in range(1, 24):
        frequency = 130 * harmonic
        weight = np.exp(-(((frequency - 600) / 350) ** 2)) + 0.5 * np.exp(-(((frequency - 1700) / 400) ** 2)) + 0.02
        wave += weight * np.sin(harmonic * phase + harmonic)
    syllables = 0.15 + 0.85 * np.sin(np.pi * 3 * t) ** 2
    return (wave * syllables / np.abs(wave).max() * 16_000).astype(np.int16)


def offset_of(piece: Pcm, whole: Pcm) -> int:
    """Where in `whole` a piece of it begins, by correlation."""
    size = 1 << (len(piece) + len(whole)).bit_length()
    spectrum = np.fft.rfft(whole.astype(np.float64), size) * np.conj(np.fft.rfft(piece.astype(np.float64), size))
    return int(np.argmax(np.fft.irfft(spectrum, size)[: len(whole)]))


def segmental_snr(reference: Pcm, heard: Pcm, frames: set[int], samples: int = 320) -> float:
    """Mean signal-to-noise ratio (dB, each frame's between -10 and 40) over the given frames."""
    ratios = []
    for frame in frames:
        clean = reference[frame * samples : (frame + 1) * samples].astype(np.float64)
        noise = clean - heard[frame * samples : (frame + 1) * samples]
        ratio = 10 * np.log10((np.dot(clean, clean) + 1) / (np.dot(noise, noise) + 1))
        ratios.append(min(max(ratio, -10.0), 40.0))
    return float(np.mean(ratios))
