"""Work that goes on when its client hangs up: handlers are cancelled then, and half a deletion is worse than none."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from server.observability.background import shielded

T = TypeVar("T")

_running: set[asyncio.Task[Any]] = set()
"""Nobody else holds on to work whose client has left."""


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Do the work to its end, also where its caller is cancelled; returns and raises what it does.

    What goes wrong after that is logged.

    It must be bounded in time by itself.
    """
    task = asyncio.ensure_future(work)
    _running.add(task)
    task.add_done_callback(_running.discard)
    return await shielded(task)
