"""Words that a turn has more when it is heard again with what was said behind it."""

import pytest

from pipeline.text.going_on import words_added


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
