"""Two transcripts that say the same."""

import pytest

from pipeline.text.same_words import same_words


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Can I have an eight ounce cappuccino?", "Can I have an 8-ounce cappuccino?"),
        ("yes", "Yes."),
        ("It costs 5 dollars", "It costs five dollars."),
    ],
)
def test_the_same(first: str, second: str) -> None:
    assert same_words(first, second)


@pytest.mark.parametrize(("first", "second"), [("I have two", "I have too"), ("Yes.", "Yes. No."), ("8", "18")])
def test_not_the_same(first: str, second: str) -> None:
    assert not same_words(first, second)


def test_numbers_are_read_in_the_language() -> None:
    assert same_words("Ich habe 8 Katzen", "ich habe acht Katzen.", "de")
    assert not same_words("Ich habe 8 Katzen", "ich habe eight Katzen.", "de")
