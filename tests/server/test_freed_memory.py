"""A server that has grown gives back what it has freed."""

import asyncio

from pipeline.processor import resident_memory
from server.observability.freed_memory import give_back_freed_memory
from tests.media.calls import until

MB = 1 << 20


async def test_freed_memory_is_given_back_each_time_that_the_process_has_grown() -> None:
    held, looks = 100 * MB, 0
    given: list[int] = []

    def resident() -> int:
        nonlocal looks
        looks += 1
        return held

    def give_back() -> None:
        nonlocal held
        given.append(held)
        held -= 30 * MB

    task = asyncio.create_task(give_back_freed_memory(0.001, 50 * MB, resident, give_back))

    async def after(size: int) -> None:
        nonlocal held
        held, seen = size, looks
        await until(lambda: looks > seen + 5)

    await after(100 * MB)
    await after(140 * MB)
    assert given == [], "that is no growth worth a pause"
    await after(160 * MB)
    assert given == [160 * MB]
    await after(170 * MB)
    assert given == [160 * MB], "what is in use is not asked for again and again"
    await after(185 * MB)
    assert given == [160 * MB, 185 * MB]
    task.cancel()


async def test_where_memory_is_not_told_nothing_is_done() -> None:
    async with asyncio.timeout(30):
        await give_back_freed_memory(0.001, MB, lambda: None)


def test_the_memory_of_this_process_is_told() -> None:
    held = resident_memory()
    assert held is None or 10 * MB < held < 100_000 * MB
