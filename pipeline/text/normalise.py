"""Normalised transcripts, and how far two of them are apart."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

_APOSTROPHES: Final = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "`": "'", "´": "'"})
_EDGE_APOSTROPHE: Final = re.compile(r"(?<!\w)'+|'+(?!\w)")


def normalise(text: str) -> str:
    """Case folded, without punctuation, words apart by one space; apostrophes inside words stay ("don't").

    Hyphens part words, so that "uh-huh" and "uh huh" are the same.
    """
    text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).casefold()
    # Marks (category M) are kept: without them Hindi or Thai words fall apart.
    kept = "".join(c if c.isalnum() or c == "'" or unicodedata.category(c)[0] == "M" else " " for c in text)
    return " ".join(_EDGE_APOSTROPHE.sub(" ", kept).split())


def edit_distances(reference: Sequence[str], hypothesis: Sequence[str]) -> list[int]:
    """Levenshtein distance of the whole `reference` to every prefix of `hypothesis`.

    Returns:
        len(hypothesis) + 1 distances; the last is that of the two as a whole.
    """
    # Rows run over the reference, so that the last row holds the distances to all prefixes.
    row = list(range(len(hypothesis) + 1))
    for i, word in enumerate(reference, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(hypothesis, start=1):
            substitution = diagonal + (word != other)
            diagonal = row[j]
            row[j] = min(substitution, row[j] + 1, row[j - 1] + 1)
    return row


def word_error_rate(reference: str, hypothesis: str) -> float:
    """Substituted, inserted and deleted words per word of the reference, after `normalise`; may exceed 1.

    An empty reference gives 0 for an empty hypothesis, else 1.
    """
    expected, got = normalise(reference).split(), normalise(hypothesis).split()
    if not expected:
        return 1.0 if got else 0.0
    return edit_distances(expected, got)[-1] / len(expected)
