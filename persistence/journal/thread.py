"""The one thread that touches the journal's files."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class JournalThread:
    """Runs what blocks on the disk, one after the other."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="morgan-journal")

    async def run(self, function: Callable[[], T]) -> T:
        """Run it there, and return what it returns."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)

    def shutdown(self) -> None:
        """End the thread behind what it has been given."""
        self._executor.shutdown()
