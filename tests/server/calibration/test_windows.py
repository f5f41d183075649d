"""Which of Whisper's windows is chosen by what was measured."""

import numpy as np
import pytest

from pipeline.engines.stt.window_choice import DEFAULT_PADDING_S
from server.calibration.speech_clips import stretches, through_opus
from server.calibration.windows import WindowFigures, best_padding

FULL = WindowFigures(None, 8.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("figures", "chosen"),
    [
        ([(8.0, 0.01, 0.0), (10.0, 0.0, 0.0)], 8.0),
        ([(8.0, 0.01, 0.10), (10.0, 0.0, 0.0)], 10.0),
        ([(8.0, 0.20, 0.0), (10.0, 0.05, 0.0), (12.0, 0.02, 0.0)], 12.0),
        ([(8.0, 0.5, 0.5), (10.0, 0.5, 0.5)], 10.0),
        ([], DEFAULT_PADDING_S),
    ],
)
def test_the_shortest_window_that_agrees_with_the_full_one(
    figures: list[tuple[float, float, float]], chosen: float
) -> None:
    measured = [WindowFigures(padding, 1.0, off, doubted) for padding, off, doubted in figures]
    assert best_padding([*measured, FULL]) == chosen


def test_speech_is_cut_at_its_pauses() -> None:
    rng = np.random.default_rng(3)
    voice = rng.normal(0, 0.1, 24_000).astype(np.float32)
    pause = np.full(16_000, 1e-5, np.float32)
    cut = stretches(np.concatenate((pause, voice, pause, voice, voice, pause, voice[:6_000], pause)))
    assert [round(each.size / 16_000, 1) for each in cut] == [1.8, 3.3]


def test_what_a_call_hears_is_as_long_as_what_was_said() -> None:
    tone = (np.sin(np.arange(48_000) / 24_000 * 2 * np.pi * 300) * 8000).astype(np.int16)
    heard = through_opus(tone)
    assert abs(heard.size - 32_000) <= 640
    assert 0.1 < float(np.sqrt(np.mean(np.square(heard)))) < 0.25


@pytest.mark.parametrize(("words", "chosen"), [(32, 2.5), (320, 8.0)])
def test_a_few_words_do_not_condemn_a_window(words: int, chosen: float) -> None:
    measured = [WindowFigures(2.5, 1.0, 0.0625, 0.0, words), WindowFigures(8.0, 1.0, 0.03, 0.0, words), FULL]
    assert best_padding(measured) == chosen


def test_where_the_full_window_hears_nothing_the_longest_is_taken() -> None:
    """Nothing was found out: that is no agreement."""
    measured = [WindowFigures(padding, 1.0, None, 0.0) for padding in (2.5, 8.0)]
    assert best_padding([*measured, FULL]) == 8.0
