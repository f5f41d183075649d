"""Finding what a test leaves behind: asyncio tasks on its loop, and worker threads of ours."""

import asyncio
import threading
import time
from collections.abc import Iterable

OUR_THREADS = ("lane-", "morgan-")
"""Name prefixes of threads that somebody of ours has to end. The libraries' own pools are not ours."""

GRACE_S = 10.0
"""What is about to end by itself may take this long, on a busy machine too."""


def our_threads() -> set[threading.Thread]:
    """The living threads that Morgan started."""
    return {thread for thread in threading.enumerate() if thread.name.startswith(OUR_THREADS)}


def leaked_threads(before: Iterable[threading.Thread]) -> list[str]:
    """Names of our threads that were not there before and do not end within the grace."""
    deadline = time.monotonic() + GRACE_S
    left = our_threads() - set(before)
    for thread in left:
        thread.join(max(deadline - time.monotonic(), 0.0))
    return sorted(thread.name for thread in left if thread.is_alive())


async def leaked_tasks(before: Iterable[asyncio.Task[object]]) -> list[str]:
    """Tasks of the running loop that were not there before and do not end within the grace; they are cancelled."""
    left = asyncio.all_tasks() - set(before) - {asyncio.current_task()}
    if not left:
        return []
    _, pending = await asyncio.wait(left, timeout=GRACE_S)
    for task in pending:
        task.cancel()
    return sorted(f"{task.get_name()} ({task.get_coro()})" for task in pending)
