import itertools

import pytest

from pipeline.engines.tts.word_timing import estimate_word_times


def test_words_fill_the_time_in_order() -> None:
    words = estimate_word_times("The weather is sunny.", 2.0, start=0.5)
    assert [word.text for word in words] == ["The", "weather", "is", "sunny."]
    assert words[0].start == pytest.approx(0.5)
    assert words[-1].end == pytest.approx(2.5)
    assert all(a.end == pytest.approx(b.start) for a, b in itertools.pairwise(words))


def test_a_longer_word_takes_longer() -> None:
    short, long = estimate_word_times("a international", 1.0)
    assert long.end - long.start > 3 * (short.end - short.start)


def test_digits_take_as_long_as_the_words_they_stand_for() -> None:
    year, word = estimate_word_times("1984 word", 1.0)
    assert year.end - year.start > 1.5 * (word.end - word.start)


def test_punctuation_is_a_pause_between_words_but_not_at_the_end() -> None:
    first, second, third = estimate_word_times("Yes, sure. Fine.", 1.0)
    assert second.start - first.end > 0.05
    assert third.start - second.end > second.start - first.end
    assert third.end == pytest.approx(1.0)


@pytest.mark.parametrize("text", ["", "  ", "...", "— !"])
def test_text_without_words_has_no_times(text: str) -> None:
    assert estimate_word_times(text, 1.0) == ()
