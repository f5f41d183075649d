"""How wrong a transcript is: edits per word of what was said, and whether it says the same thing over and over.

Word error as the field has it: substituted, inserted and deleted words over the words of the reference, summed over
all clips before dividing. Both sides are brought into one form first, as Whisper's own normaliser does: no case, no
punctuation, no fillers, contractions written out. Numbers are compared in every way in which they can be read, so that
"9137" is right for "nine one three seven" and "1813" for "eighteen thirteen". Chinese, Japanese and Korean are counted
by character.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from pipeline.text import numbers
from pipeline.text.normalise import edit_distances, normalise
from pipeline.text.spoken import speak

BY_CHARACTER: Final = frozenset({"zh", "ja", "ko", "yue", "th"})
"""Languages in which words are not parted by spaces, or not in one way."""

_MOST_TIMES: Final = 6
_SHORTEST_RUN: Final = 3
_ALIKE: Final = 0.2

_FILLERS: Final = frozenset({"um", "umm", "uh", "uhm", "uhuh", "hm", "hmm", "mm", "mmm", "mhm", "erm"})
_NULLS: Final = frozenset({"oh", "o"})
_SAME: Final = {
    "ok": ("okay",),
    "alright": ("all", "right"),
    "gonna": ("going", "to"),
    "wanna": ("want", "to"),
    "gotta": ("got", "to"),
    "yknow": ("you", "know"),
    "can't": ("can", "not"),
    "cannot": ("can", "not"),
    "won't": ("will", "not"),
    "let's": ("let", "us"),
}
_ENDINGS: Final = {
    "n't": "not",
    "'m": "am",
    "'re": "are",
    "'ll": "will",
    "'ve": "have",
    "'d": "would",
    "'s": "is",
}
_NUMBER: Final = re.compile(r"\d+(?:[,.]\d{3})*(?:\.\d+)?")
_DIGIT_WORDS: Final = frozenset(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])


@dataclass(frozen=True, slots=True)
class Errors:
    """Edits, and the words (characters) that were said."""

    edits: int = 0
    words: int = 0

    def __add__(self, other: Self) -> "Errors":
        return Errors(self.edits + other.edits, self.words + other.words)

    @property
    def rate(self) -> float | None:
        """Edits per word; None where nothing was said."""
        return self.edits / self.words if self.words else None


def total(errors: Iterable[Errors]) -> Errors:
    """All of them together."""
    return sum(errors, Errors())


def count_errors(reference: str, hypothesis: str, language: str) -> Errors:
    """Errors of a transcript, by the readings of both that are closest to each other.

    Args:
        reference: what was said.
        hypothesis: what was understood.
        language: ISO 639-1 code of what was said.
    """
    said, understood = readings(reference, language), readings(hypothesis, language)
    edits = min(_distance(one, other) for one in said for other in understood)
    if said[0] and all(len(word) == 1 for word in normalise(reference).split()):
        # Spelled: "Kate" and "K-A-T-E" are the same.
        edits = min(edits, _distance(_characters(reference), _characters(hypothesis)))
    return Errors(edits, len(said[0]))


def readings(text: str, language: str) -> tuple[tuple[str, ...], ...]:
    """The words (characters) of a text, once for each way in which its numbers can be read, no two the same.

    The first is the usual one: numbers as a voice says them, as the README's other benches compare them.
    """
    if language in BY_CHARACTER:
        return (_characters(text),)
    ways = [speak(text, language).text]
    if any(character.isdecimal() for character in text):
        ways.append(_NUMBER.sub(lambda found: f" {numbers.digits(found.group(), language) or found.group()} ", text))
        ways.append(_NUMBER.sub(lambda found: f" {_in_pairs(found.group(), language)} ", text))
    return tuple(dict.fromkeys(_words(way, language) for way in ways))


def _in_pairs(number: str, language: str) -> str:
    """ "1813" as "eighteen thirteen"; anything but four digits as it stands."""
    return (numbers.year(int(number), language) or number) if re.fullmatch(r"[1-9]\d{3}", number) else number


def _characters(text: str) -> tuple[str, ...]:
    return tuple(normalise(text).replace(" ", ""))


def _words(text: str, language: str) -> tuple[str, ...]:
    words = normalise(text).split()
    if language != "en":
        return tuple(words)
    words = [part for word in words for part in _written_out(word)]
    words = ["zero" if _is_null(words, place) else word for place, word in enumerate(words)]
    return tuple(word for word in words if word not in _FILLERS) or tuple(words)


def _written_out(word: str) -> tuple[str, ...]:
    if word in _SAME:
        return _SAME[word]
    for ending, meant in _ENDINGS.items():
        if word.endswith(ending) and len(word) > len(ending):
            return (word.removesuffix(ending), meant)
    return (word,)


def _is_null(words: Sequence[str], place: int) -> bool:
    """Whether this "oh" is the digit."""
    if words[place] not in _NULLS:
        return False
    beside = (*words[max(0, place - 1) : place], *words[place + 1 : place + 2])
    return any(word in _DIGIT_WORDS for word in beside)


@lru_cache(maxsize=4096)
def _distance(reference: tuple[str, ...], hypothesis: tuple[str, ...]) -> int:
    return edit_distances(reference, hypothesis)[-1]


def is_doubled(reference: str, hypothesis: str, language: str) -> bool:
    """Whether a transcript says two or more times what was said once.

    True where several copies of the reference are closer to it than one, where it is one phrase over and over though
    the reference is not, or where a phrase of three words or more comes twice in a row that the reference does not
    have twice. Without a reference (`""`) only a text that is as a whole one phrase over and over counts.

    Args:
        reference: what was said; "" where that is not known.
        hypothesis: what was understood.
        language: ISO 639-1 code of what was said.
    """
    understood = readings(hypothesis, language)[0]
    if not reference.strip():
        return _is_over_and_over(understood, shortest=2)
    said = readings(reference, language)[0]
    once = _distance(said, understood)
    if said and any(_distance(said * times, understood) < once for times in range(2, _MOST_TIMES + 1)):
        return True
    if _is_over_and_over(understood) and not _is_over_and_over(said):
        return once > 0
    return bool(_runs(understood) - _runs(said))


def _is_over_and_over(words: tuple[str, ...], shortest: int = 1) -> bool:
    """Whether a text is one phrase of `shortest` words or more said again and again, or two halves that are alike."""
    count = len(words)
    for unit in range(shortest, count // 2 + 1):
        if count % unit == 0 and words == words[:unit] * (count // unit):
            return True
    for cut in range(max(_SHORTEST_RUN, count // 2 - 1), min(count - _SHORTEST_RUN, count // 2 + 1) + 1):
        if _distance(words[:cut], words[cut:]) <= _ALIKE * max(cut, count - cut):
            return True
    return False


def _runs(words: tuple[str, ...]) -> set[tuple[str, ...]]:
    """Phrases of three words or more that come twice in a row."""
    return {
        words[start : start + unit]
        for unit in range(_SHORTEST_RUN, len(words) // 2 + 1)
        for start in range(len(words) - 2 * unit + 1)
        if words[start : start + unit] == words[start + unit : start + 2 * unit]
    }


def holds_phrase(phrase: str, hypothesis: str, language: str) -> bool:
    """Whether a transcript holds a phrase, in one reading of both."""
    return any(
        wanted == text[start : start + len(wanted)]
        for wanted in readings(phrase, language)
        for text in readings(hypothesis, language)
        for start in range(len(text) - len(wanted) + 1)
    )
