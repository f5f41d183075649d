import numpy as np

from pipeline.audio import HEARING_RATE
from pipeline.engines.stt.whisper_onnx.recent_words import BEGINNING_S, KEPT_S, MOST, RecentWords


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def speech(seed: int, seconds: float = 2.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * HEARING_RATE)).astype(np.float32)


def test_speech_that_has_grown_is_known_again() -> None:
    words, audio = RecentWords(), speech(1)
    words.keep(audio[:20_000], [1, 2])
    assert words.of(audio) == (1, 2)
    words.keep(audio[:24_000], [1, 3, 4])
    assert words.of(audio) == (1, 3, 4)


def test_other_speech_is_not() -> None:
    words = RecentWords()
    words.keep(speech(1), [1, 2])
    assert words.of(speech(2)) == ()


def test_what_is_too_short_to_be_known_again_is_not_kept() -> None:
    words = RecentWords()
    words.keep(speech(1, BEGINNING_S / 2), [1])
    assert words.of(speech(1, BEGINNING_S / 2)) == ()


def test_words_are_forgotten_in_time() -> None:
    clock = Clock()
    words = RecentWords(clock)
    words.keep(speech(1), [1])
    clock.now += KEPT_S - 1
    assert words.of(speech(1)) == (1,)
    clock.now += 2
    assert words.of(speech(1)) == ()
    assert not words._kept, "nothing of what was said stays in memory"


def test_only_so_many_are_kept_and_the_oldest_goes() -> None:
    words = RecentWords()
    for seed in range(MOST + 1):
        words.keep(speech(seed, BEGINNING_S), [seed])
    assert words.of(speech(0, BEGINNING_S)) == ()
    assert words.of(speech(1, BEGINNING_S)) == (1,)
    assert words.of(speech(MOST, BEGINNING_S)) == (MOST,)
