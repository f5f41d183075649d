"""Words with times from the lengths of their phonemes."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from pipeline.engines.protocols import Word


def time_words(
    words: Sequence[str],
    phonemes: Sequence[str],
    seconds: Sequence[float],
    phonemes_in: Callable[[str], int],
    start: float = 0.0,
) -> tuple[Word, ...]:
    """Give each word the time of its phonemes.

    Phonemizers put a space between words but also run two together ("of the") and say one as several ("1984"). Where
    the numbers of words do not agree, words get phonemes in proportion to what each has when it is said alone.

    Args:
        words: of the text, in order.
        phonemes: of the whole text, with spaces and punctuation.
        seconds: length of each phoneme.
        phonemes_in: how many sounding phonemes a word has when it is said alone.
        start: seconds before the first phoneme.
    """
    sounding: list[tuple[float, float]] = []
    groups: list[list[int]] = [[]]
    at = start
    for phoneme, length in zip(phonemes, seconds, strict=True):
        if is_sounding(phoneme):
            groups[-1].append(len(sounding))
            sounding.append((at, at + length))
        elif groups[-1] and phoneme.isspace():
            groups.append([])
        at += length
    groups = [group for group in groups if group]
    if not words or not sounding:
        return ()
    if len(groups) != len(words):
        groups = _shared_out([max(1, phonemes_in(word)) for word in words], len(sounding))
    return tuple(
        Word(word, sounding[group[0]][0], sounding[group[-1]][1]) for word, group in zip(words, groups, strict=True)
    )


def is_sounding(phoneme: str) -> bool:
    """Whether a phoneme is a sound of its own, and no space, stress or punctuation."""
    return phoneme.isalpha() and phoneme not in "ˈˌː"


def within(words: Sequence[Word], duration: float) -> tuple[Word, ...]:
    """The words with their times inside of the audio, whose edges may have been trimmed."""
    return tuple(
        Word(word.text, min(max(0.0, word.start), duration), min(max(0.0, word.end), duration)) for word in words
    )


def _shared_out(weights: Sequence[int], count: int) -> list[list[int]]:
    """Consecutive index ranges over `count`, as long as the weights say, none empty."""
    total = sum(weights)
    edges, at = [0], 0
    for weight in weights:
        at += weight
        edges.append(round(at / total * count))
    return [list(range(min(first, count - 1), max(last, min(first, count - 1) + 1))) for first, last in pairwise(edges)]
