"""Background tasks that go on, and their end."""

import asyncio

import pytest

from persistence.tasks import ended, keep_running


async def test_a_task_that_swallows_a_cancellation_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("persistence.tasks.AGAIN_S", 0.01)
    cancelled = 0

    async def deaf() -> None:
        nonlocal cancelled
        while cancelled < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled += 1
        await asyncio.sleep(60)

    async def willing() -> None:
        await asyncio.sleep(60)

    tasks = [asyncio.create_task(work()) for work in (deaf, willing)]
    await asyncio.sleep(0)
    await asyncio.wait_for(ended(tasks), 10)
    assert all(task.done() for task in tasks)


async def test_what_failed_before_has_ended() -> None:
    async def broken() -> None:
        raise ValueError("long ago")

    task = asyncio.create_task(broken())
    await asyncio.sleep(0)
    await ended([task])
    assert isinstance(task.exception(), ValueError)


async def test_a_loop_that_raises_is_run_again() -> None:
    runs = 0
    third = asyncio.Event()

    async def loop() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise ValueError("nobody expected this")
        third.set()
        await asyncio.sleep(60)

    task = keep_running(loop, "a loop")
    await asyncio.wait_for(third.wait(), 10)
    await ended([task])
    assert task.cancelled()
