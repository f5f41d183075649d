"""Tasks that nobody waits for: what goes wrong in them is logged when it goes wrong.

asyncio tells of a failed task only once it is collected, which a task that is kept for its end never is, and not at all
where its failure is gathered or shielded.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog

T = TypeVar("T")

log = structlog.get_logger(__name__)


def log_failure(task: asyncio.Task[Any]) -> None:
    """Log what a task has failed with; for `Task.add_done_callback`."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("work in the background failed", task=task.get_name(), exc_info=error)


async def shielded(task: asyncio.Task[T]) -> T:
    """Wait for a task that goes on where its waiter is cancelled; what goes wrong after that is logged."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # Nobody is left to hear of its failure.
        task.add_done_callback(log_failure)
        raise


async def one_after_another(parts: dict[str, Callable[[], Awaitable[object]]]) -> None:
    """Do pieces of work in turn, each also where those before it failed, which is logged.

    Args:
        parts: by a name for the log.
    """
    for name, work in parts.items():
        try:
            await work()
        except Exception:  # of any kind: the parts handle what they expect
            log.exception("work in the background failed", task=name)
