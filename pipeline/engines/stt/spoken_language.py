"""Detection of the language of speech: the model's ranking, weighed against the one that is expected."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.audio import HEARING_RATE

SHORT_SAMPLES: Final = HEARING_RATE * 3 // 2
"""Speech shorter than 1.5 s says little of its language: letters and digits of English rank as Chinese or Spanish."""

_SURE: Final = 0.75
"""Probability of the best language that is believed of a short window where none is expected.

Of 136 real clips in ten languages, through Opus, the wrong ones (four on a window of speech and 8 s) had at most 0.62
there; on the full window of 30 s none was wrong.
"""
_SURE_OF_ENGLISH: Final = 0.5
"""The same for English, which two thirds of the model's training were in: short and accented English ranks as something
else now and then, hardly anything else as English."""

SURE_OF_ANOTHER_BEFORE_ENGLISH_SILENCE: Final = 0.5
"""Probability from which another language than the expected English is looked into, where silence that was encoded
behind English follows: it takes 0.05 to 0.3 off the others. Of 97 English clips none is ranked
so high as another (0.48 at most)."""

_SURE_OF_ANOTHER: Final = 0.7
_SURE_OF_ANOTHER_SHORT: Final = 0.8


@dataclass(frozen=True, slots=True)
class LanguageChoice:
    """A language and how likely it is.

    Attributes:
        code: ISO 639-1.
        probability: 0 to 1.
        settled: whether a longer window would not tell more.
    """

    code: str
    probability: float
    settled: bool


def choose_language(
    ranking: Sequence[tuple[str, float]],
    samples: int,
    *,
    prior: str | None = None,
    allowed: Collection[str] = (),
    full_window: bool = False,
) -> LanguageChoice:
    """Choose by what the model ranks.

    Args:
        ranking: ISO 639-1 codes and probabilities, best first; never empty.
        samples: length of the speech at 16 kHz.
        prior: the code that is expected; it stays unless the model is sure of another one.
        allowed: codes to choose among; empty for all.
        full_window: whether the ranking is that of the model's full window.
    """
    choices = _among(ranking, allowed)
    code, probability = choices[0]
    expected = next((entry for entry in choices if entry[0] == prior), None)
    if expected is None:
        needed = _SURE_OF_ENGLISH if code == "en" else _SURE
        return LanguageChoice(code, probability, full_window or probability >= needed or len(choices) == 1)
    if code == prior:
        return LanguageChoice(code, probability, True)
    needed = _SURE_OF_ANOTHER_SHORT if samples < SHORT_SAMPLES else _SURE_OF_ANOTHER
    if probability < needed:
        return LanguageChoice(expected[0], expected[1], True)
    # A full window costs three short ones, and is asked only before the language of a conversation changes.
    return LanguageChoice(code, probability, full_window)


def likeliest_language(ranking: Sequence[tuple[str, float]], allowed: Collection[str] = ()) -> tuple[str, float]:
    """Code and probability of the best of the allowed ones; see `choose_language`."""
    return _among(ranking, allowed)[0]


def _among(ranking: Sequence[tuple[str, float]], allowed: Collection[str]) -> list[tuple[str, float]]:
    return [entry for entry in ranking if not allowed or entry[0] in allowed] or list(ranking)
