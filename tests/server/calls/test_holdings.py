"""What an ended call has to free: all of it, the last first, however each part behaves."""

import asyncio

import pytest

from server.calls.holdings import Holdings


@pytest.mark.parametrize(
    "error", [RuntimeError("does not close"), asyncio.CancelledError()], ids=["fails", "cancelled"]
)
async def test_a_part_that_fails_or_was_cancelled_within_keeps_no_other_from_being_freed(error: BaseException) -> None:
    freed: list[str] = []
    failed: list[str] = []
    holdings = Holdings("call_1", failed.append)

    async def fails(_: str) -> None:
        raise error

    holdings.add("first", lambda reason: freed.append(f"first: {reason}"))
    holdings.add("second", fails)
    holdings.add("third", lambda reason: freed.append(f"third: {reason}"))
    await asyncio.create_task(holdings.free("hangup"))
    assert freed == ["third: hangup", "first: hangup"]
    assert failed == ["second"]
