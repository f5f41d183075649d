"""Texts as voices say them."""

from server.speech.clauses import SLICE, clauses


def test_what_cannot_be_said_is_left_out_and_numbers_become_words() -> None:
    assert list(clauses("😀 **Hello** there! --- It costs $3.50.")) == [
        "Hello there!",
        "It costs three dollars and fifty cents.",
    ]


def test_a_text_with_nothing_to_say_has_no_clauses() -> None:
    assert list(clauses("😀 *** --- !!! \n\n")) == []


def test_a_long_text_loses_no_word_where_it_is_read_in_slices() -> None:
    words = [f"word{chr(97 + number % 26)}" for number in range(3 * SLICE)]
    assert " ".join(clauses(" ".join(words))).split() == words
