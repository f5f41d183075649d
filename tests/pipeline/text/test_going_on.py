"""Words that a turn has more when it is heard again with what was said behind it."""

import pytest

from pipeline.text.going_on import can_be_said, words_added


@pytest.mark.parametrize(
    ("before", "after", "added"),
    [
        ("What is the weather like?", "What is the weather like?", 0),
        ("What is the weather like?", "What is the weather like? Today.", 1),
        ("What's the weather like?", "what's the weather like", 0),
        ("M", "M-O-R", 2),
        ("1", "12", 1),
        ("Five, five.", "Five, five, 5017.", 4),
        ("Good morning.", "Morning.", 0),
    ],
)
def test_words_added(before: str, after: str, added: int) -> None:
    assert words_added(before, after) == added


def test_no_sentence_is_said_in_the_time_of_a_hum() -> None:
    assert can_be_said(2, 0.2)
    assert can_be_said(4, 0.3)
    assert not can_be_said(9, 0.8)
