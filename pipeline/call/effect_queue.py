"""The effects that the two sides of a call want, in order, and the ids in them."""

import hashlib
import itertools
from collections.abc import Callable

from pipeline.call.effects import Effect, Emit
from pipeline.call.events import CallEvent

KEY_BYTES = 32
"""Of the random key from which all ids of a call follow."""


def ids_of(key: bytes) -> Callable[[str], str]:
    """The ids of one call, such as "item_9f..." with 128 bits: not to be guessed without the key."""
    numbers = itertools.count()

    def new_id(kind: str) -> str:
        number = next(numbers).to_bytes(8, "big")
        return f"{kind}_{hashlib.blake2b(number, key=key, digest_size=16).hexdigest()}"

    return new_id


class EffectQueue:
    """Collects the effects of one input.

    Args:
        new_id: makes ids from a kind ("item", "resp").
    """

    def __init__(self, new_id: Callable[[str], str]) -> None:
        self.new_id = new_id
        self._effects: list[Effect] = []
        self._jobs = itertools.count(1)

    def new_job(self) -> int:
        """Number of the next piece of work."""
        return next(self._jobs)

    def do(self, *effects: Effect) -> None:
        """Have work done."""
        self._effects += effects

    def emit(self, event: CallEvent) -> None:
        """Tell the listeners."""
        self._effects.append(Emit(event))

    def drain(self) -> list[Effect]:
        """Everything since the last drain."""
        effects, self._effects = self._effects, []
        return effects
