"""Speakable text that remembers which written word each spoken word came from."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pipeline.text.dates import date_rules
from pipeline.text.english import ENGLISH_RULES
from pipeline.text.european import european_rules
from pipeline.text.markup import strip_markup
from pipeline.text.reading import ADDRESS_RULES, FILE_RULE, TEXT_RULES, Reader, Rule, number_rules
from pipeline.text.scripts import unspoken
from pipeline.text.vocabulary import vocabulary
from pipeline.text.words import Span, primary_language
from pipeline.text.writer import Writer

STRETCH: Final = 1_000
"""Characters that are read in one go; what a chunker gives is shorter. Every rule may look from every position to the
end of what it is given, so that without an end the time would grow with the square of a text."""

_INITIALS: Final = re.compile(r"(?:[^\W\d_]\.){2,}")


@dataclass(frozen=True, slots=True)
class Spoken:
    """What to say for a written text.

    Attributes:
        text: words and punctuation, one space apart; empty when there is nothing to say.
        spans: for each word of `text.split()` the range of source characters it came from, in order. Words that stand
            for one written thing ("three dollars" for "$3") share the start of their range.
    """

    text: str
    spans: tuple[Span, ...]


def speakable(text: str, language: str = "en") -> str:
    """The text as a voice should say it; "" when nothing is left.

    Numbers, dates, times, money, units, abbreviations and addresses become words; Markdown, HTML, emoji and code blocks
    go. English has all rules; other languages have numbers, money, percentages, symbols and addresses where their words
    are known, five of them (German, French, Spanish, Italian, Portuguese) also dates, times, ranges, units, ordinals,
    fractions, abbreviations and telephone numbers, and leave the rest to the voice. Letters of a script that the voices
    of the language have no sounds for go.

    Args:
        text: as a language model writes it.
        language: ISO 639-1 code, a region after it is allowed.
    """
    return speak(text, language).text


def speak(text: str, language: str = "en") -> Spoken:
    """`speakable`, with the source range of every spoken word."""
    mapped = strip_markup(text)
    writer = Writer()
    reader = Reader(writer, language, vocabulary(language))
    rules = _rules(primary_language(language))
    for writer.base, stretch in _stretches(mapped.text):
        _read(stretch, reader, rules)
    said = writer.result()
    return Spoken(" ".join(word for word, _ in said), tuple(mapped.source_span(*span) for _, span in said))


def _stretches(text: str) -> Iterator[tuple[int, str]]:
    """The text in parts of at most `STRETCH` characters, cut in front of white space where there is any."""
    start = 0
    while len(text) - start > STRETCH:
        end = start + STRETCH
        blank = next((at for at in range(end, start, -1) if text[at].isspace() and not text[at - 1].isspace()), end)
        yield start, text[start:blank]
        start = blank
    yield start, text[start:]


def _read(text: str, reader: Reader, rules: tuple[Rule, ...]) -> None:
    position = 0
    while position < len(text):
        if text[position] in " \t":
            position += 1
            continue
        for pattern, read in rules:
            match = pattern.match(text, position)
            if match and match.end() > position and read(match, reader):
                position = match.end()
                break
        else:
            position += 1


@lru_cache(maxsize=32)
def _rules(language: str) -> tuple[Rule, ...]:
    """The rules of a language in the order in which they are tried."""
    own = ENGLISH_RULES if language == "en" else (*date_rules(language), *european_rules(language))
    foreign = unspoken(language)
    skipped: tuple[Rule, ...] = ((foreign, _skip),) if foreign else ()
    initials: Rule = (_INITIALS, _read_initials)
    return (*skipped, *ADDRESS_RULES, *own, *number_rules(vocabulary(language)), initials, FILE_RULE, *TEXT_RULES)


def _skip(match: re.Match[str], reader: Reader) -> bool:
    """Letters of another script: an English voice has no sounds for Chinese."""
    return True


def _read_initials(match: re.Match[str], reader: Reader) -> bool:
    reader.say(match.group(), match)
    return True
