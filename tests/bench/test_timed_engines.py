"""The server whose models take a set time."""

from pathlib import Path

import aiohttp

from bench.own_server import OwnServer
from bench.timed_engines import REPLY


async def test_it_takes_what_morgan_takes_and_never_says_the_same_twice(tmp_path: Path) -> None:
    server = OwnServer(tmp_path, module="bench.timed_engines", MORGAN_MEMORY="off")
    await server.start()
    try:
        async with aiohttp.ClientSession() as http:
            for number in (1, 2):
                async with http.post(f"{server.url}/api/text", json={"text": "Hello there.", "user_id": "u"}) as answer:
                    assert (await answer.json())["text"] == REPLY.format(number)
    finally:
        await server.stop()
