"""What was added to words that are known."""

import pytest

from pipeline.text.added_words import added_words


@pytest.mark.parametrize(
    ("known", "whole", "added"),
    [
        ("", "Hello.", "Hello."),
        ("What is the weather?", "What is the weather in Paris?", "in Paris?"),
        ("I have twenty five", "I have 25 apples", "25 apples"),
        ("I want two", "I want to go home.", "to go home."),
        ("Hello there.", "Hello there.", ""),
        ("Hello there.", "Hello", ""),
        ("今天天气", "今天天气怎么样", "怎么样"),
        ("Well, I...", "Well, I  think so", "think so"),
    ],
)
def test_what_is_behind_the_known_words_was_added(known: str, whole: str, added: str) -> None:
    assert added_words(known, whole) == added
