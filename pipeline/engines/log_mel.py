"""Log-mel spectra as Whisper defines them, for Whisper itself and for Smart Turn, which is built on its encoder.

25 ms frames (Hann) every 10 ms at 16 kHz, power spectrum, Slaney mel bands up to 8 kHz, log10, floored at 8 below the
loudest value, scaled by (x + 4) / 4. Both models want a window of which speech fills only a part; the frames of the
rest are all alike, so they are written and not computed.
"""

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipeline.audio import HEARING_RATE, Waveform

FRAME = 400
"""Samples under the window of one frame (25 ms)."""

HOP = 160
"""Samples from frame to frame (10 ms)."""

Features = NDArray[np.float32]
"""Log-mel values, shape (bands, frames)."""

_HALF = FRAME // 2
_FLOOR = np.float32(1e-10)
_RANGE = np.float32(8)
_WINDOW = np.hanning(FRAME + 1)[:-1].astype(np.float32)
_VARIANCE_EPSILON = 1e-7


def whisper_features(audio: Waveform, frames: int, bands: int = 80) -> Features:
    """What Whisper's encoder hears of audio that is followed by silence.

    Args:
        audio: 16 kHz, shape (n,), one sample at least.
        frames: length of the window; audio beyond it is left out.
        bands: 80, or 128 for large-v3.

    Returns:
        Shape (bands, frames).
    """
    audio = audio[: frames * HOP]
    sounding = min(frames, (audio.size + _HALF) // HOP + 1)
    head = np.pad(audio[: _HALF + 1], (0, max(0, _HALF + 1 - audio.size)))[_HALF:0:-1]
    samples = np.zeros((sounding - 1) * HOP + FRAME, np.float32)
    samples[:_HALF] = head
    body = samples[_HALF:]
    body[: audio.size] = audio[: body.size]
    return _scaled(_log_spectra(samples, bands), frames, np.log10(_FLOOR), in_front=False)


def turn_features(audio: Waveform, seconds: int = 8) -> Features:
    """What Smart Turn hears: the last seconds, silence in front, scaled to zero mean and unit variance as a whole.

    Args:
        audio: 16 kHz, shape (n,), one sample at least.
        seconds: length of the window.

    Returns:
        Shape (80, 100 * seconds).
    """
    length = seconds * HEARING_RATE
    frames = length // HOP
    audio = audio[-length:]
    # Mean and deviation are those of the padded window, so the silence in front becomes a constant, not zero.
    mean = float(audio.sum(dtype=np.float64)) / length
    variance = float(np.square(audio, dtype=np.float64).sum()) / length - mean * mean
    scale = 1.0 / np.sqrt(max(variance, 0.0) + _VARIANCE_EPSILON)
    silence = length - audio.size
    # The frame before the first one that touches the audio stands for all the silent ones.
    first = max(0, (silence - _HALF) // HOP)
    window = np.full(length - first * HOP, -mean * scale, np.float32)
    window[window.size - audio.size :] = (audio - np.float32(mean)) * np.float32(scale)
    spectra = _log_spectra(np.pad(window, _HALF, mode="reflect"), 80)[: frames - first]
    return _scaled(spectra, frames, spectra[0], in_front=True)


def _log_spectra(samples: Waveform, bands: int) -> NDArray[np.float32]:
    """log10 of the mel powers of every whole frame, shape (frames, bands)."""
    spectrum = np.fft.rfft(sliding_window_view(samples, FRAME)[::HOP] * _WINDOW)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    mel: NDArray[np.float32] = power @ mel_filters(bands)
    return np.log10(np.maximum(mel, _FLOOR, out=mel), out=mel)


def _scaled(
    spectra: NDArray[np.float32], frames: int, silence: NDArray[np.float32] | np.float32, *, in_front: bool
) -> Features:
    """Fill up to the wanted number of frames with silence and bring everything into Whisper's range."""
    sounding = spectra.shape[0]
    features = np.empty((spectra.shape[1], frames), np.float32)
    if in_front:
        features[:, frames - sounding :] = spectra.T
        features[:, : frames - sounding] = np.reshape(silence, (-1, 1))
    else:
        features[:, :sounding] = spectra.T
        features[:, sounding:] = np.reshape(silence, (-1, 1))
    np.maximum(features, spectra.max() - _RANGE, out=features)
    features += 4
    features *= 0.25
    return features


@lru_cache(maxsize=4)
def mel_filters(bands: int) -> NDArray[np.float32]:
    """Triangular filters of equal area on Slaney's mel scale, 0 to 8 kHz, shape (201, bands)."""
    mels = np.linspace(0.0, _hertz_to_mel(HEARING_RATE / 2), bands + 2)
    edges = _mel_to_hertz(mels)
    bins = np.fft.rfftfreq(FRAME, 1 / HEARING_RATE)
    rising = (bins[:, None] - edges[None, :-2]) / np.diff(edges)[None, :-1]
    falling = (edges[None, 2:] - bins[:, None]) / np.diff(edges)[None, 1:]
    filters = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (edges[2:] - edges[:-2]))
    return filters.astype(np.float32)


# Slaney's scale: linear up to 1 kHz (15 mel), then 27 mel for each factor of 6.4.
_MEL_STEP = np.log(6.4) / 27.0


def _hertz_to_mel(hertz: float) -> float:
    return hertz * 3 / 200 if hertz < 1000 else float(15 + np.log(hertz / 1000) / _MEL_STEP)


def _mel_to_hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mels < 15, mels * 200 / 3, 1000 * np.exp(_MEL_STEP * (mels - 15)))
