"""Tells whether the words of a turn became more when it was heard again with what was said behind it."""

from pipeline.text.normalise import normalise


def words_added(before: str, after: str) -> int:
    """Words that a transcript has more than an earlier one of the beginning of the same audio; 0 for none.

    Digits count one by one: "1" becomes "12" when a "two" is said behind it.

    Args:
        before: the earlier transcript.
        after: the later one.
    """
    return max(_length(after) - _length(before), 0)


def _length(text: str) -> int:
    words = normalise(text).split()
    return sum(len(word) if word.isdecimal() else 1 for word in words)
