"""Keys that a tool waits for."""

import asyncio

from server.telephone.keys import KeyReader


async def read(keys: KeyReader, most: int, end_key: str = "#", patience_s: float = 30.0) -> "asyncio.Task[str]":
    reading = asyncio.create_task(keys.read(most, end_key, patience_s, patience_s))
    await asyncio.sleep(0)
    return reading


async def test_as_many_keys_as_are_expected_are_the_result() -> None:
    keys = KeyReader()
    assert not keys.take("1")
    reading = await read(keys, 3)
    assert [keys.take(key) for key in "4711"] == [True, True, True, False]
    assert await reading == "471"
    assert not keys.take("1")


async def test_the_end_key_ends_the_input_and_is_none_of_it() -> None:
    keys = KeyReader()
    reading = await read(keys, 10)
    assert all(keys.take(key) for key in "42#")
    assert await reading == "42"


async def test_without_an_end_key_it_is_one_like_others() -> None:
    keys = KeyReader()
    reading = await read(keys, 2, end_key="")
    assert all(keys.take(key) for key in "#1")
    assert await reading == "#1"


async def test_whoever_presses_nothing_any_more_has_pressed_all() -> None:
    keys = KeyReader()
    reading = await read(keys, 10, patience_s=0.05)
    keys.take("7")
    assert await reading == "7"
    assert await (await read(keys, 10, patience_s=0.05)) == ""


async def test_who_reads_next_takes_the_place() -> None:
    keys = KeyReader()
    first, second = await read(keys, 2), await read(keys, 1)
    assert keys.take("5")
    assert (await first, await second) == ("", "5")


async def test_a_reader_that_is_cancelled_leaves_keys_to_others() -> None:
    keys = KeyReader()
    reading = await read(keys, 2)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert not keys.take("5")
