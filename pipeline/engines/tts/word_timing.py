"""A guess at when each word of a spoken text is heard, for voices that do not say it themselves."""

from pipeline.engines.protocols import Word

_WORD = 2.0
_PAUSES = {",": 3.0, ";": 4.0, ":": 4.0, ".": 6.0, "!": 6.0, "?": 6.0, "…": 6.0, "。": 6.0, "、": 3.0, "，": 3.0}
_SHORT_CHARACTERS = 1.0
_LONG_CHARACTERS = 2.5


def estimate_word_times(text: str, duration: float, start: float = 0.0) -> tuple[Word, ...]:
    """Spread words over a duration by their length.

    A word weighs its letters and a bit more, a digit or an ideograph as much as the two or three letters that it is
    spoken with; punctuation between words weighs a pause, which belongs to no word. A pause at the very end is left
    out: voices do not hold it.

    Args:
        text: what is said.
        duration: seconds from the first sound to the last.
        start: seconds before the first sound.

    Returns:
        The words as they are split by spaces, punctuation included.
    """
    words = [word for word in text.split() if any(character.isalnum() for character in word)]
    if not words:
        return ()
    weights = [_weight(word) for word in words]
    pauses = [_PAUSES.get(word.rstrip("\"'”’)]")[-1:], 0.0) for word in words[:-1]] + [0.0]
    total = sum(weights) + sum(pauses)
    timed, at = [], 0.0
    for word, weight, pause in zip(words, weights, pauses, strict=True):
        first, last = at / total, (at + weight) / total
        timed.append(Word(word, start + first * duration, start + last * duration))
        at += weight + pause
    return tuple(timed)


def _weight(word: str) -> float:
    return _WORD + sum(
        _LONG_CHARACTERS if character.isdigit() or ord(character) >= 0x2E80 else _SHORT_CHARACTERS
        for character in word
        if character.isalnum()
    )
