"""Documents cut into passages that can be found by their meaning and read out: whole sentences, a few at a time."""

import re
from collections.abc import Iterable, Sequence

from persistence.values import Passage
from pipeline.text.words import SENTENCE_ENDS

MOST_CHARS = 420
"""Of a passage: about seventy words. Longer ones are of several things, and found for none of them; a prompt has room
for two or three."""

FEWEST_CHARS = 120
"""Of one; a shorter rest joins the passage before it."""

OVERLAP_CHARS = 140
"""At the beginning of a passage the last sentence of the one before is said again, if it is no longer than this."""

_SENTENCE_END = re.compile(rf"(?<=[{''.join(SENTENCE_ENDS)}])[\"')\]”’»]*\s+")
_SPACE = re.compile(r"[^\S\n]+")
_PARAGRAPH = re.compile(r"\n\s*\n")


def cut(sections: Iterable[Passage], most: int | None = None) -> list[Passage]:
    """The passages of a document, in order.

    Args:
        sections: its parts with their places (pages, or what stands under a heading); passages do not cross them.
        most: no further section is looked at once there are more; None for no bound.
    """
    found: list[Passage] = []
    for section in sections:
        found += [Passage(text, section.place) for text in _cut(section.content)]
        if most is not None and len(found) > most:
            break
    return found


def _cut(text: str) -> list[str]:
    """One section."""
    passages: list[str] = []
    begun: list[str] = []
    carried = length = 0
    for sentence in _sentences(text):
        if len(begun) > carried and length + len(sentence) > MOST_CHARS:
            passages.append(" ".join(begun))
            last = begun[-1]
            begun = [last] if len(last) <= OVERLAP_CHARS and len(last) + len(sentence) < MOST_CHARS else []
            carried = len(begun)
            length = len(last) + 1 if begun else 0
        begun.append(sentence)
        length += len(sentence) + 1
    rest = begun[carried:]
    if not rest:
        return passages
    if passages and len(" ".join(rest)) < FEWEST_CHARS:
        passages[-1] = " ".join((passages[-1], *rest))
    else:
        passages.append(" ".join(begun))
    return passages


def _sentences(text: str) -> list[str]:
    """The sentences of a text, none longer than a passage; what a line break alone parts goes on."""
    found: list[str] = []
    for paragraph in _PARAGRAPH.split(text):
        line = _SPACE.sub(" ", paragraph.replace("-\n", "").replace("\n", " ")).strip()
        for sentence in _SENTENCE_END.split(line):
            found += _pieces(sentence.split())
    return found


def _pieces(words: Sequence[str]) -> list[str]:
    """A sentence, cut at words where it is longer than a passage."""
    pieces: list[str] = []
    line = ""
    for word in words:
        if line and len(line) + 1 + len(word) > MOST_CHARS:
            pieces.append(line)
            line = ""
        line = f"{line} {word}" if line else word[:MOST_CHARS]
    return [*pieces, line] if line else pieces
