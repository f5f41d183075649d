"""What a transcript of a recording says of the reply that was recorded."""

import pytest

from bench.spoken_words import lost_words, words_heard, words_not_said, words_of, words_on_top

REPLY = "Once upon a time, a little dog lived in a village. He was brave. The little dog lived by the sea."


@pytest.mark.parametrize(
    ("transcript", "count"),
    [
        ("", 0),
        ("Once upon a time,", 4),
        ("Once upon a time, a little dock", 7),
        ("Once upon the time a little dog lived in the village", 11),
    ],
)
def test_the_words_heard_are_the_beginning_closest_to_the_transcript(transcript: str, count: int) -> None:
    assert words_heard(transcript, REPLY) == count


def test_a_skipped_word_is_lost() -> None:
    assert lost_words("a time, a little dog in a village", REPLY) == ["lived"]


def test_a_word_said_twice_or_written_otherwise_is_not_lost() -> None:
    assert lost_words("a little, little dog livt in a village. He was brave", REPLY) == []


def test_a_story_that_repeats_itself_is_searched_for_the_right_place() -> None:
    assert lost_words("He was brave. The little dog lived by the sea", REPLY) == []


def test_a_word_that_is_missing_anywhere_is_not_said() -> None:
    expected = words_of("Please tell me a story about a dog.")
    assert words_not_said("Tell me a story about a dog.", expected) == ["please"]
    assert words_not_said("Please tell me a story", expected) == ["about", "a", "dog"]
    assert words_not_said("Please tell me a store about a dog", expected) == []


def test_what_was_heard_twice_is_on_top() -> None:
    expected = words_of("Please tell me a story.")
    assert words_on_top("Please tell me tell me a story.", expected) == ["tell", "me"]
    assert words_on_top("Please tell me a story.", expected) == []
