"""A written text as the clauses that a voice says one after the other, as in a call."""

from collections.abc import Iterator

from pipeline.text.chunker import TextChunker
from pipeline.text.spoken import speak

SLICE = 256
"""Characters that are looked at between two clauses at most: reading a long text must not hold up the event loop."""


def clauses(text: str, language: str = "en") -> Iterator[str]:
    """The speakable clauses of a text, found as they are asked for; those with nothing to say are left out.

    Args:
        text: as it is written; Markdown, emoji, numbers and the like are made speakable.
        language: of the text, ISO 639-1.
    """
    chunker = TextChunker(language)
    for start in range(0, len(text), SLICE):
        yield from _speakable(chunker.push(text[start : start + SLICE]), language)
    yield from _speakable(chunker.finish(), language)


def _speakable(pieces: list[str], language: str) -> Iterator[str]:
    for piece in pieces:
        said = speak(piece, language).text.strip()
        if any(character.isalnum() for character in said):
            yield said
