import time

import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor

from pipeline.engines.log_mel import mel_filters, turn_features, whisper_features


def voice(samples: int, seed: int = 3) -> np.ndarray:
    """Something with pitch, pauses and hiss, off zero in the mean as cheap microphones are."""
    random = np.random.default_rng(seed)
    t = np.arange(samples) / 16_000
    tone = np.sin(2 * np.pi * 140 * t) * np.sin(2 * np.pi * 1.3 * t)
    return (0.3 * tone + random.normal(0, 0.01, samples) + 0.004).astype(np.float32)


def reference(window: np.ndarray, bands: int = 80) -> np.ndarray:
    return FeatureExtractor(feature_size=bands)(window.astype(np.float32), padding=0)


@pytest.mark.parametrize("bands", [80, 128])
def test_the_filters_are_those_of_whisper(bands: int) -> None:
    expected = FeatureExtractor.get_mel_filters(16_000, 400, n_mels=bands)
    assert np.allclose(mel_filters(bands).T, expected, atol=1e-6)


@pytest.mark.parametrize("samples", [1, 150, 300, 16_000, 31_999, 32_001, 160_000])
def test_whisper_hears_speech_followed_by_digital_silence(samples: int) -> None:
    audio = voice(samples)
    frames = samples // 160 + 500
    expected = reference(np.pad(audio, (0, frames * 160 - samples)))
    features = whisper_features(audio, frames)
    assert features.shape == (80, frames)
    assert features.dtype == np.float32
    assert np.abs(features - expected).max() < 1e-4


def test_whisper_takes_no_more_than_the_window() -> None:
    audio = voice(64_000)
    assert np.array_equal(whisper_features(audio, 200), whisper_features(audio[:32_000], 200))


@pytest.mark.parametrize("samples", [1, 300, 16_000, 31_999, 127_000, 127_850, 127_999, 128_000, 200_000])
def test_smart_turn_hears_eight_seconds_with_the_silence_in_front(samples: int) -> None:
    audio = voice(samples)
    window = np.pad(audio[-128_000:], (max(0, 128_000 - samples), 0)).astype(np.float64)
    window = (window - window.mean()) / np.sqrt(window.var() + 1e-7)
    features = turn_features(audio)
    assert features.shape == (80, 800)
    assert np.abs(features - reference(window)).max() < 1e-3


def test_silence_has_features_too() -> None:
    silence = np.zeros(16_000, np.float32)
    assert np.isfinite(turn_features(silence)).all()
    assert np.isfinite(whisper_features(silence, 600)).all()


def test_two_seconds_cost_less_than_eight() -> None:
    def cost(audio: np.ndarray) -> float:
        times = []
        for _ in range(40):
            started = time.thread_time()
            turn_features(audio)
            times.append(time.thread_time() - started)
        return min(times)

    short, full = cost(voice(32_000)), cost(voice(128_000))
    assert short < 0.75 * full, "the silence in front is not computed"
    assert full < 0.05
