"""Background tasks: loops that outlive their own mistakes, and the end of tasks."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import structlog

from persistence.backoff import Backoff

log = structlog.get_logger(__name__)

AGAIN_S = 0.5


def keep_running(loop: Callable[[], Awaitable[None]], name: str) -> asyncio.Task[None]:
    """Run an endless loop as a task, and run it again whenever it raises.

    A watch that ends with an error that nobody expected leaves a store down for good, and nobody hears of it.

    Args:
        loop: the coroutine function; what it needs to go on is kept outside of it.
        name: of the task, for logs.
    """

    async def run() -> None:
        backoff = Backoff(0.1, 5.0)
        while True:
            try:
                return await loop()
            except Exception:  # of any kind: the loops handle what they expect
                log.exception("background loop failed, running it again", loop=name)
                await asyncio.sleep(backoff.failed())

    return asyncio.create_task(run(), name=name)


async def ended(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended.

    Once is not enough: a client library that is just then losing its connection may take the cancellation for its own
    timeout, and the loop around it goes on.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=AGAIN_S)
        for task in done:
            if not task.cancelled():
                task.exception()  # the code that ends a task has heard of its failure, or does not care
