"""Servers are asked how they do for as long as the way to them is open, whatever becomes of one question."""

import asyncio

from pipeline.engines.remote.service import RemoteService


async def test_a_server_that_cannot_even_be_asked_is_named_and_asked_again() -> None:
    # No such port: that is no error of aiohttp.
    remote = RemoteService("llm", ["http://127.0.0.1:99999"])
    remote._session()
    replica = remote.replicas.all[0]
    async with asyncio.timeout(30):
        while not replica.problem:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        first, replica.problem = replica.problem, ""
        while not replica.problem:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert "99999" in first or "ort" in first
    await remote.close()
