"""Keys that a tool waits for."""

import asyncio

from pipeline.call.inputs import KEYS


class KeyReader:
    """Reads keys for one tool at a time: who reads next takes the place of who read before."""

    def __init__(self) -> None:
        self._pressed = ""
        self._most = 0
        self._end_key = ""
        self._waiter: asyncio.Future[str] | None = None

    async def read(self, most: int, end_key: str, first_s: float, patience_s: float) -> str:
        """Keys, until there are so many, the end key was pressed or none came for a while.

        Args:
            most: keys.
            end_key: ends it and is not given; "" for none.
            first_s: until the first key.
            patience_s: between two.

        Returns:
            What was pressed; "" for nothing.
        """
        self._settle()
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        self._pressed, self._most, self._end_key = "", most, end_key
        seen, wait_s = 0, first_s
        try:
            while True:
                try:
                    return await asyncio.wait_for(asyncio.shield(waiter), wait_s)
                except TimeoutError:
                    if len(self._pressed) == seen:
                        return self._pressed
                    seen, wait_s = len(self._pressed), patience_s
        finally:
            if self._waiter is waiter:
                self._waiter = None

    def take(self, key: str) -> bool:
        """A key was pressed; whether a tool waits for it."""
        if self._waiter is None or self._waiter.done() or key not in KEYS:
            return False
        if key == self._end_key:
            self._settle()
            return True
        self._pressed += key
        if len(self._pressed) >= self._most:
            self._settle()
        return True

    def _settle(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(self._pressed)
