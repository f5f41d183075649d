import numpy as np

from pipeline.engines.stt.windows import split_at_quiet_points


def test_short_audio_is_one_window() -> None:
    audio = np.ones(30 * 16_000, np.float32)
    (window,) = split_at_quiet_points(audio)
    assert window is audio


def test_long_audio_is_cut_in_its_pauses_and_nothing_is_lost() -> None:
    audio = np.random.default_rng(5).normal(0, 0.1, 70 * 16_000).astype(np.float32)
    for pause in (21.3, 44.0):
        audio[int(pause * 16_000) : int((pause + 0.3) * 16_000)] *= 0.01
    windows = split_at_quiet_points(audio)
    assert np.array_equal(np.concatenate(windows), audio)
    cuts = np.cumsum([window.size for window in windows])[:-1] / 16_000
    assert len(cuts) == 2
    assert 21.35 <= cuts[0] <= 21.55
    assert 44.05 <= cuts[1] <= 44.25


def test_no_window_is_longer_than_the_limit_even_without_a_pause() -> None:
    windows = split_at_quiet_points(np.ones(100 * 16_000, np.float32))
    assert max(window.size for window in windows) <= 30 * 16_000
    assert sum(window.size for window in windows) == 100 * 16_000
    assert min(window.size for window in windows[:-1]) >= 15 * 16_000
