"""Bringing transcripts into one form, and their distance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.normalise import normalise, word_error_rate


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("  Hello,   World! ", "hello world"),
        ("Don’t 'quote' me", "don't quote me"),
        ("Uh-huh…", "uh huh"),
        ("Straße 5,5", "strasse 5 5"),
        ("हैं।", "हैं"),
        ("?!", ""),
    ],
)
def test_case_punctuation_and_white_space_go(text: str, form: str) -> None:
    assert normalise(text) == form


@given(st.text())
def test_what_is_normal_stays_so(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "rate"),
    [
        ("What is the weather in Paris?", "what is the weather in paris", 0.0),
        ("one two three four", "one too three four", 0.25),
        ("one two three four", "one three four", 0.25),
        ("one two three four", "one two and three four", 0.25),
        ("one", "a b c", 3.0),
        ("one two", "", 1.0),
        ("", "", 0.0),
        ("", "you", 1.0),
    ],
)
def test_word_error_rate(reference: str, hypothesis: str, rate: float) -> None:
    assert word_error_rate(reference, hypothesis) == rate


words = st.lists(st.sampled_from("abc"), min_size=1, max_size=6)


@given(words, words)
def test_errors_do_not_depend_on_the_direction(a: list[str], b: list[str]) -> None:
    one, other = word_error_rate(" ".join(a), " ".join(b)) * len(a), word_error_rate(" ".join(b), " ".join(a)) * len(b)
    assert one == pytest.approx(other)
    assert abs(len(a) - len(b)) <= round(one) <= max(len(a), len(b))
