"""Equality of two transcripts, however they write the same words: "eight ounces" and "8 ounces"."""

from pipeline.text.normalise import normalise
from pipeline.text.spoken import speakable


def same_words(first: str, second: str, language: str = "en") -> bool:
    """Whether two texts are read aloud alike, but for case and punctuation.

    Args:
        first: one text.
        second: another one.
        language: of both, ISO 639-1.
    """
    if normalise(first) == normalise(second):
        return True
    return normalise(speakable(first, language)) == normalise(speakable(second, language))
