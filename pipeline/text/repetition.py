"""Repetitions in a transcript: a sentence that a recogniser said several times over, or a loop that it fell into."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from pipeline.text.normalise import normalise

_LONGEST_UNIT: Final = 40
_FEWEST_ROUNDS_INSIDE: Final = 4
_FEWEST_ROUNDS_OF_ONE: Final = 6

UNSPACED: Final = frozenset({"ja", "zh", "yue", "th", "lo", "km", "my", "bo"})
"""Languages written without spaces between words; their units are characters."""


class Repetition(NamedTuple):
    """A unit said several times in a row.

    Attributes:
        start: index of the first word of the first round.
        length: words of one round.
        words: words of all rounds together, a last incomplete one included.
    """

    start: int
    length: int
    words: int

    @property
    def rounds(self) -> int:
        """How often the unit was said in full."""
        return self.words // self.length


def units(text: str, language: str = "") -> list[str]:
    """Words of a text without case and punctuation; its characters where the language does not part words."""
    spoken = normalise(text)
    return [character for character in spoken if not character.isspace()] if language in UNSPACED else spoken.split()


def find_repetition(words: Sequence[str]) -> Repetition | None:
    """The repetition that makes a transcript doubtful, None where there is none.

    That is one unit said two times or more from the first word to the last ("X? X? X"), or, anywhere in the text, a
    unit of two words or more said four times and a single word said six times, making up half of the text at least.
    People do say "no, no, no" and "four two four two": a repetition is a reason to listen again, not to disbelieve.

    Args:
        words: as `units` gives them.
    """
    total = len(words)
    for length in range(1, min(total // 2, _LONGEST_UNIT) + 1):
        run = _run(words, 0, length)
        if run == total:
            return Repetition(0, length, run)
    for start in range(total):
        for length in range(1, min((total - start) // 2, _LONGEST_UNIT) + 1):
            run = _run(words, start, length)
            rounds = _FEWEST_ROUNDS_OF_ONE if length == 1 else _FEWEST_ROUNDS_INSIDE
            if run >= rounds * length and 2 * run >= total:
                return Repetition(start, length, run)
    return None


def said_once(text: str, language: str = "") -> str:
    """The text with a repetition (see `find_repetition`) cut behind its first round; as it is where there is none."""
    found = find_repetition(units(text, language))
    if found is None:
        return text
    kept = found.start + found.length
    if language in UNSPACED:
        return _first_characters(text, kept)
    parts, seen = [], 0
    for part in text.split():
        seen += len(normalise(part).split())
        parts.append(part)
        if seen >= kept:
            break
    return " ".join(parts)


def _run(words: Sequence[str], start: int, length: int) -> int:
    """Words from `start` on that repeat with this period."""
    end = start + length
    while end < len(words) and words[end] == words[end - length]:
        end += 1
    return end - start


def _first_characters(text: str, count: int) -> str:
    """The text up to its `count`-th character that is no punctuation, with the mark behind it."""
    seen = 0
    for index, character in enumerate(text):
        seen += character.isalnum()
        if seen == count:
            mark = text[index + 1 : index + 2]
            return text[: index + 1] + ("" if mark.isalnum() else mark.strip())
    return text
