"""Comparing what was said with what a model heard: processors round differently, and a word may come out otherwise."""

from collections.abc import Sequence

from pipeline.text.normalise import word_error_rate


class Spoken:
    """Equal to every text in which at most one word in three is another; like `pytest.approx` for words."""

    def __init__(self, text: str, most: float = 0.34) -> None:
        self.text = text
        self.most = most

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Sequence) and not isinstance(other, str):
            other = " ".join(other)
        return isinstance(other, str) and word_error_rate(self.text, other) <= self.most

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"about {self.text!r}"


def spoken(text: str) -> Spoken:
    """What a caller said, to compare a transcript with."""
    return Spoken(text)
