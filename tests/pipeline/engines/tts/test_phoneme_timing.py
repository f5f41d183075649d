import pytest

from pipeline.engines.tts.phoneme_timing import time_words


def never(word: str) -> int:
    raise AssertionError("the words agree, so nothing needs to be counted")


def test_each_word_has_the_time_of_its_phonemes() -> None:
    phonemes = list("hˈaɪ ðɛɹ.")
    words = time_words(["Hi", "there."], phonemes, [0.1] * len(phonemes), never, start=0.5)
    assert [(word.text, round(word.start, 3), round(word.end, 3)) for word in words] == [
        ("Hi", 0.5, 0.9),
        ("there.", 1.0, 1.3),
    ]


def test_a_pause_at_a_comma_belongs_to_no_word() -> None:
    phonemes = list("jɛs, nəʊ")
    seconds = [0.1, 0.1, 0.1, 0.4, 0.2, 0.1, 0.1, 0.1]
    first, second = time_words(["Yes,", "no"], phonemes, seconds, never)
    assert first.end == pytest.approx(0.3)
    assert second.start == pytest.approx(0.9)


def test_words_that_are_run_together_share_their_phonemes_by_length() -> None:
    phonemes = list("əvðə kɪŋ")
    counts = {"of": 2, "the": 2, "king": 3}
    words = time_words(["of", "the", "king"], phonemes, [0.1] * 8, counts.__getitem__)
    assert [(round(word.start, 2), round(word.end, 2)) for word in words] == [(0, 0.2), (0.2, 0.4), (0.5, 0.8)]


def test_one_word_said_as_several_keeps_all_of_them() -> None:
    phonemes = list("naɪn ten jɛs")
    words = time_words(["910", "yes"], phonemes, [0.1] * len(phonemes), {"910": 7, "yes": 3}.__getitem__)
    assert [(round(word.start, 2), round(word.end, 2)) for word in words] == [(0, 0.8), (0.9, 1.2)]


def test_more_words_than_phonemes_still_have_times_in_order() -> None:
    words = time_words(["a", "b", "c"], ["a"], [0.1], lambda word: 1)
    assert len(words) == 3
    assert all(0 <= word.start <= word.end <= 0.1 for word in words)


def test_nothing_said_has_no_times() -> None:
    assert time_words(["hm"], ["."], [0.1], never) == ()
    assert time_words([], ["a"], [0.1], never) == ()
