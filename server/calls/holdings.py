"""What a call has taken and owes back: each part freed at the end, bounded in time, whether or not another fails."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import structlog

RELEASE_S = 5.0
"""Patience with each thing that an ended call frees; a line says goodbye within two seconds."""

Release: TypeAlias = Callable[[str], Awaitable[None] | None]
"""Frees something, told why the call ends."""

log = structlog.get_logger(__name__)


class Holdings:
    """Everything that one call has to free.

    (An `AsyncExitStack` knows neither a bound on each step nor why it is left.)

    Args:
        call_id: for the log.
        failed: told the name of each part that could not be freed cleanly.
    """

    def __init__(self, call_id: str, failed: Callable[[str], None]) -> None:
        self._call_id = call_id
        self._failed = failed
        self._held: list[tuple[str, Release]] = []

    def add(self, what: str, release: Release) -> None:
        """Free something at the end of the call: the last that was taken first.

        Args:
            what: for the log and the metrics.
            release: frees it.
        """
        self._held.append((what, release))

    async def free(self, reason: str) -> None:
        """Free all of it; does not raise."""
        while self._held:
            what, release = self._held.pop()
            try:
                async with asyncio.timeout(RELEASE_S):
                    releasing = release(reason)
                    if inspect.isawaitable(releasing):
                        await releasing
            except (Exception, asyncio.CancelledError) as error:  # also of something within the part that was cancelled
                self._failed(what)
                log.error("not freed cleanly", call_id=self._call_id, what=what, exc_info=error)
