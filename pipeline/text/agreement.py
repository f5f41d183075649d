"""Interim transcripts that never take a word back."""

from collections.abc import Sequence

from pipeline.text.normalise import edit_distances, normalise

_ALIGN_WORDS = 40
"""Only this many of the last confirmed words are aligned; older ones keep their index."""


class LocalAgreement:
    """Local agreement of two consecutive hypotheses (LocalAgreement-2; Macháček, Dabre, Bojar 2023, section 2.2).

    Each hypothesis is a transcript of the whole turn so far, from audio that only grows. What two in a row agree on
    is confirmed, and is never retracted.
    """

    def __init__(self) -> None:
        self._confirmed: list[str] = []
        self._pending: list[str] = []

    @property
    def confirmed(self) -> tuple[str, ...]:
        """All words confirmed since the last reset."""
        return tuple(self._confirmed)

    @property
    def pending(self) -> tuple[str, ...]:
        """What the newest hypothesis says behind the confirmed words; may still change."""
        return tuple(self._pending)

    def push(self, words: Sequence[str]) -> list[str]:
        """Take the words of the newest hypothesis (of the whole turn); returns the newly confirmed ones.

        Words agree when they are the same but for case and punctuation; the newest spelling is kept.
        """
        rest = list(words[behind_known(self._confirmed, words) :])
        agreed = 0
        for old, new in zip(self._pending, rest, strict=False):
            if _key(old) != _key(new):
                break
            agreed += 1
        newly, self._pending = rest[:agreed], rest[agreed:]
        self._confirmed += newly
        return newly

    def finish(self, words: Sequence[str] | None = None) -> list[str]:
        """Confirm the rest: of the final hypothesis where there is one, else of the newest. Returns the new words."""
        rest = self._pending if words is None else list(words[behind_known(self._confirmed, words) :])
        self._confirmed += rest
        self._pending = []
        return list(rest)

    def reset(self) -> None:
        """Begin a new turn."""
        self._confirmed = []
        self._pending = []


def behind_known(known: Sequence[str], words: Sequence[str], *, swallows: bool = True) -> int:
    """Index in `words` behind what is known already, even where they word it otherwise.

    A model that first wrote "twenty five" and now writes "25" must neither repeat nor swallow a word.

    Args:
        known: words.
        words: that say the same, and perhaps go on.
        swallows: of several places that are as good the one that leaves out as many words as are known is taken, which
            may be one too many; off, the first, behind which a word may come again.
    """
    before = [_key(word) for word in known]
    keys = [_key(word) for word in words]
    if keys[: len(before)] == before:
        return len(before)
    skip = max(0, len(before) - _ALIGN_WORDS)
    distances = edit_distances(before[skip:], keys[skip:])
    expected = len(before) - skip
    best = min(range(len(distances)), key=lambda j: (distances[j], abs(j - expected) if swallows else j))
    return skip + best


def _key(word: str) -> str:
    return normalise(word) or word
