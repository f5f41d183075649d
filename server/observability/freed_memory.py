"""Memory that a burst of requests took and freed goes back to the system.

glibc keeps what is freed between pieces that are in use. Without this a server keeps the most that it ever held: 200
clients who sent long texts and long sounds left 330 MB behind (`python -m bench.abuse`).
"""

import asyncio
from collections.abc import Callable

import structlog

from pipeline.processor import resident_memory, return_free_memory

log = structlog.get_logger(__name__)

LOOK_S = 10.0
"""Between two looks at the memory of the process."""

WORTH = 48 * 1024 * 1024
"""Bytes by which it has to have grown: giving back takes up to 25 ms, in which other threads may wait for memory."""


async def give_back_freed_memory(
    look_s: float = LOOK_S,
    worth: int = WORTH,
    resident: Callable[[], int | None] = resident_memory,
    give_back: Callable[[], None] = return_free_memory,
) -> None:
    """Give freed memory back whenever the process has grown, for as long as the task runs.

    Args:
        look_s: seconds between two looks.
        worth: bytes of growth since the least that was seen, or since the last time.
        resident: bytes that the process has in memory; None where that is not told, and nothing is done.
        give_back: gives back.
    """
    least = resident()
    while least is not None:
        await asyncio.sleep(look_s)
        now = resident()
        if now is None:
            return
        if now - least > worth:
            await asyncio.to_thread(give_back)
            left = resident() or now
            log.info("freed memory given back", before_mb=now >> 20, after_mb=left >> 20)
            least = left
        least = min(least, now)
