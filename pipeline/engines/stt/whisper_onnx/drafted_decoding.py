"""Greedy decoding that a guess at the text makes short. Sans-I/O: the model is a function.

One pass of the decoder over a dozen tokens takes little longer than over one, since reading the weights is most of it.
So the tokens of a draft, such as the transcript of the same speech half a second ago, go in all at once, and each is
kept for which the model would have said it by itself. From the first other one on the model's own counts; what is left
of the draft is laid behind it and tried again. What comes out is what comes out without a draft, as far as one token by
one and a dozen at once give the same numbers: sums in another order may turn a choice between two that are equally
likely.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.engines.stt.whisper_onnx.converted_weights import Floats

Pass = Callable[[Sequence[int], Sequence[int]], Floats]
"""Tokens that follow those that were kept, and those of their places whose logits are wanted; returns these, shape
(places, words). The tokens are kept until `forget`."""

_REACH: Final = 4
"""Tokens around its place in a draft where one that came otherwise is looked for."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the decoder said.

    Attributes:
        tokens: the end mark left out.
        log_probability: summed over them and the end mark.
        no_speech: probability that there was no speech.
        passes: of the decoder.
    """

    tokens: tuple[int, ...]
    log_probability: float
    no_speech: float
    passes: int


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What may not be said.

    Attributes:
        end: the end mark.
        never: tokens that are never said.
        never_first: nor at the beginning.
    """

    end: int
    never: NDArray[np.int64]
    never_first: NDArray[np.int64]

    def choose(self, logits: Floats, *, first: bool) -> tuple[int, float]:
        """The likeliest token of those that may be said, and its log probability. Changes `logits`, shape (words,)."""
        logits[self.never] = -np.inf
        if first:
            logits[self.never_first] = -np.inf
        token = int(logits.argmax())
        return token, -float(np.log(np.exp(logits - logits[token]).sum()))


def decode(
    run: Pass,
    forget: Callable[[int], None],
    start: Sequence[int],
    rules: TokenRules,
    most: int,
    draft: Sequence[int] = (),
) -> tuple[tuple[int, ...], float, int]:
    """Text tokens, the sum of their log probabilities and the end mark's, and passes.

    Args:
        run: one pass.
        forget: so many of the tokens that were given last have not been said.
        start: tokens before the text.
        rules: what may not be said.
        most: tokens.
        draft: a guess at the text.
    """
    guess = _Guess(draft)
    said: list[int] = []
    total, passes, given = 0.0, 0, list(start)
    while True:
        tried = guess.rest(most - len(said))
        places = range(len(given) - 1, len(given) + len(tried))
        logits = run([*given, *tried], places)
        passes += 1
        for number, row in enumerate(logits):
            token, log_probability = rules.choose(row, first=not said)
            total += log_probability
            if token == rules.end:
                return tuple(said), total, passes
            said.append(token)
            if len(said) >= most:
                return tuple(said), total, passes
            right = number < len(tried) and tried[number] == token
            guess.came(token)
            if not right:
                forget(len(tried) - number)
                given = [token]
                break


class _Guess:
    """A draft, and the place in it where the text has come to."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = tuple(tokens)
        self._place = 0

    def rest(self, most: int) -> tuple[int, ...]:
        """What may follow."""
        return self._tokens[self._place : self._place + max(0, most)]

    def came(self, token: int) -> None:
        """Go on behind a token: behind its nearest like in the draft, else as if it stood in place of the next."""
        near = range(max(0, self._place - _REACH // 2), min(len(self._tokens), self._place + _REACH))
        like = [place for place in near if self._tokens[place] == token]
        found = min(like, key=lambda place: abs(place - self._place), default=self._place)
        self._place = min(found + 1, len(self._tokens))
