"""Words that a turn gained when it was heard again together with what was said behind it."""

from typing import Final

from pipeline.text.normalise import normalise

_WORDS_PER_S: Final = 6.0
_SPARE_WORDS: Final = 3


def words_added(before: str, after: str) -> int:
    """Words that a transcript has more than an earlier one of the beginning of the same audio; 0 for none.

    Digits count one by one: "1" becomes "12" when a "two" is said behind it.

    Args:
        before: the earlier transcript.
        after: the later one.
    """
    return max(_length(after) - _length(before), 0)


def can_be_said(words: int, spoken_s: float) -> bool:
    """Whether so many words fit into that time; Whisper goes on with a sentence by itself where it hears a hum.

    Args:
        words: their number, see `words_added`.
        spoken_s: seconds of speech.
    """
    return words <= _WORDS_PER_S * spoken_s + _SPARE_WORDS


def _length(text: str) -> int:
    words = normalise(text).split()
    return sum(len(word) if word.isdecimal() else 1 for word in words)
