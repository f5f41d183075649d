"""Times in which nobody calls, for work that would make a caller wait, or come out wrong beside one."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

LOOK_EVERY_S = 0.1
"""Between two looks whether there is a call."""


class CallCameError(Exception):
    """A call came while something was done that was to have the machine for itself."""


class Quiet:
    """Waits for such times, and gives up what is done in one when it ends.

    Args:
        calls: how many there are.
        look_every_s: between two looks.
    """

    def __init__(self, calls: Callable[[], int], look_every_s: float = LOOK_EVERY_S) -> None:
        self._calls = calls
        self._look_every_s = look_every_s

    async def begins(self) -> None:
        """Wait until there is no call."""
        while self._calls():  # noqa: ASYNC110 - calls begin and end in many places, and nobody waits for this
            await asyncio.sleep(self._look_every_s)

    async def while_it_lasts(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something; it is cancelled as soon as there is a call.

        Raises:
            CallCameError: there was one. What the work found until then counts for nothing.
        """
        task = asyncio.create_task(work)
        try:
            while not self._calls():
                if task.done():
                    return task.result()
                await asyncio.wait((task,), timeout=self._look_every_s)
        finally:
            task.cancel()
            await asyncio.wait((task,))
        raise CallCameError
