"""Loops of a decoder: Whisper, when it hears nothing that it knows, may say the same words over and over."""

from collections.abc import Sequence

_LONGEST_UNIT = 24
_FEWEST_TOKENS = 12
_FEWEST_TIMES = 4
_FEWEST_TIMES_OF_ONE = 8


def without_loop(tokens: Sequence[int]) -> Sequence[int]:
    """Cut a token sequence behind the first round of a loop; what came with the loop is no speech.

    A loop is a unit of 1 to 24 tokens said at least 4 times in a row (a single token 8 times) and for at least 12
    tokens, so that "no, no, no" and the line of a song pass.
    """
    for start in range(len(tokens) - _FEWEST_TOKENS + 1):
        for unit in range(1, min(_LONGEST_UNIT, (len(tokens) - start) // _FEWEST_TIMES) + 1):
            run = unit
            while start + run < len(tokens) and tokens[start + run] == tokens[start + run - unit]:
                run += 1
            times = _FEWEST_TIMES_OF_ONE if unit == 1 else _FEWEST_TIMES
            if run >= max(_FEWEST_TOKENS, times * unit):
                return tokens[: start + unit]
    return tokens
