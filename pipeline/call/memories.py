"""Memories that a conversation is reminded of: earlier words of its user, and passages of their documents."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Quotation:
    """A passage of a document.

    Attributes:
        source: title and place, for people: "Handbook, page 12".
        text: its words, on one line.
    """

    source: str
    text: str


Memories: TypeAlias = tuple[str | Quotation, ...]
"""Earlier words of the user as they are, and quotations; of each kind, the best first."""


def in_words(memories: Memories) -> list[str]:
    """As the language model is told of them, in sentences."""
    earlier = [each for each in memories if isinstance(each, str)]
    quoted = [each for each in memories if isinstance(each, Quotation)]
    notes = []
    if earlier:
        words = " ".join(f'"{each}"' for each in earlier)
        notes.append(f"In earlier conversations I said: {words}")
    if quoted:
        words = " ".join(f'{each.source}: "{each.text}"' for each in quoted)
        notes.append(f"My documents say, in {words} If you use that, say where it stands.")
    return notes
