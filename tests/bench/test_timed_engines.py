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
            numbers = []
            for _ in range(2):
                async with http.post(f"{server.url}/api/text", json={"text": "Hello there.", "user_id": "u"}) as answer:
                    text = (await answer.json())["text"]
                numbers.append(int(text.split()[0]))
                assert text == REPLY.format(numbers[-1])
        # Not from 1: the start measures it.
        assert numbers[1] > numbers[0] > 0
    finally:
        await server.stop()
