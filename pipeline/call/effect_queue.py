"""Where the two sides of a call put what they want done, in order."""

import itertools
import uuid
from collections.abc import Callable

from pipeline.call.effects import Effect, Emit
from pipeline.call.events import CallEvent


def random_id(kind: str) -> str:
    """An id that nobody can guess, such as "item_9f...": 128 random bits."""
    return f"{kind}_{uuid.uuid4().hex}"


class EffectQueue:
    """Collects the effects of one input.

    Args:
        new_id: makes ids from a kind ("item", "resp"); tests hand in a predictable one.
    """

    def __init__(self, new_id: Callable[[str], str] = random_id) -> None:
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
