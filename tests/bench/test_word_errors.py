"""Word error, readings of numbers, and texts that say one thing over and over."""

import pytest

from bench.word_errors import Errors, count_errors, holds_phrase, is_doubled, total


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ("nine one three seven", "9137."),
        ("nine one three seven", "9, 1, 3, 7"),
        ("five five five zero one seven three", "555-0173"),
        ("one zero zero zero one nine oh two one oh", "10001 90210"),
        ("in eighteen thirteen", "In 1813."),
        ("twelve ounce", "12-ounce"),
        ("K A T E", "Kate."),
        ("K A T E", "K-A-T-E"),
        ("H X 4 7 Q", "HX47Q"),
        ("what's the weather like", "What is the weather like?"),
        ("montreal uh forced um aligner", "Montreal Forced Aligner"),
        ("Mm-hmm.", "mm hmm"),
    ],
)
def test_what_is_written_otherwise_and_said_the_same_is_no_error(said: str, understood: str) -> None:
    assert count_errors(said, understood, "en").edits == 0


def test_the_same_holds_in_other_languages() -> None:
    assert count_errors("minuteur 10 minutes", "Minuteur dix minutes.", "fr").edits == 0


@pytest.mark.parametrize(
    ("said", "understood", "errors"),
    [
        ("drop the two when you add the figures", "drop the two when you had the figure", Errors(2, 8)),
        ("nine one three seven", "9138", Errors(1, 4)),
        ("good morning", "", Errors(2, 2)),
        ("yes", "yes it is", Errors(2, 1)),
    ],
)
def test_errors_are_edits_and_the_words_that_were_said(said: str, understood: str, errors: Errors) -> None:
    assert count_errors(said, understood, "en") == errors


def test_chinese_is_counted_by_character() -> None:
    assert count_errors("砸自己的脚", "砸自已的脚。", "zh") == Errors(1, 5)


def test_the_rate_of_many_is_that_of_all_their_words() -> None:
    assert total([Errors(1, 1), Errors(0, 9)]).rate == 0.1
    assert total([]).rate is None


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ("Should I get a car?", "Should I get a car? Should I get a car?"),
        ("Should I get a car?", "Should I get a car? Should I get a car? Should I get a cart?"),
        ("Should I get a car?", "Shall we go far? Shall we go far?"),
        ("six", "Six, six."),
        ("砸自己的脚", "砸自己的脚 砸自己的脚"),
        (
            "I would like a coffee with milk",
            "I would like a coffee with milk I would like a coffee with milk",
        ),
        ("", "I want some tea. I want some tea."),
    ],
)
def test_what_is_said_once_and_written_twice_is_doubled(said: str, understood: str) -> None:
    assert is_doubled(said, understood, "zh" if said.startswith("砸") else "en")


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ("four two four two", "4242"),
        ("no no no", "No, no, no."),
        ("eight eight eight eight", "8888"),
        ("try again fail again fail better", "Try again. Fail again. Fail better."),
        ("one", "want to"),
        ("six", ""),
        ("", "Very, very good coffee please"),
    ],
)
def test_what_was_said_twice_is_not_doubled(said: str, understood: str) -> None:
    assert not is_doubled(said, understood, "en")


def test_a_phrase_is_found_whatever_its_numbers_look_like() -> None:
    assert holds_phrase("twelve ounce", "A 12 ounce mocha, please.", "en")
    assert not holds_phrase("dark roast", "A dark chocolate roast", "en")
