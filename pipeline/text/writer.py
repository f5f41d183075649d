"""The writer of the words to say, each with the place in the text that it stands for."""

from typing import Final

from pipeline.text.words import Span

_RANK: Final = {",": 1, ";": 2, ":": 3, "...": 4, ".": 5, "!": 6, "?": 7}


class Writer:
    """The words said so far.

    Ranges are of the text that is read. Words said together for one written thing ("three dollars" for "$3") share
    one range.

    Attributes:
        base: where in the text the part begins whose characters `say` and `mark` are told of.
    """

    def __init__(self) -> None:
        self.base = 0
        self._words: list[str] = []
        self._marks: list[str] = []
        self._ranges: list[Span] = []

    def say(self, words: str, start: int, end: int) -> None:
        """Add words that stand for the characters `start` to `end`."""
        for word in words.split():
            self._words.append(word)
            self._marks.append("")
            self._ranges.append(Span(self.base + start, self.base + end))

    def mark(self, mark: str, start: int, end: int) -> None:
        """Put punctuation behind the last word; of several in a row the weightiest is kept. Without a word: nothing."""
        if not self._words:
            return
        if _RANK[mark] > _RANK.get(self._marks[-1], 0):
            self._marks[-1] = mark
        last = self._ranges[-1]
        if last.end == self.base + start:
            self._ranges[-1] = Span(last.start, self.base + end)

    @property
    def last_word(self) -> str:
        """The last word said, without its mark; empty at the beginning."""
        return self._words[-1] if self._words else ""

    @property
    def open(self) -> bool:
        """Whether the last word has no punctuation behind it yet."""
        return bool(self._words) and not self._marks[-1]

    def result(self) -> list[tuple[str, Span]]:
        """Every word with its punctuation, and its range."""
        said = []
        for word, mark, span in zip(self._words, self._marks, self._ranges, strict=True):
            # "p.m." at the end of a sentence needs no second full stop.
            said.append((word if mark == "." and word.endswith(".") else word + mark, span))
        return said
