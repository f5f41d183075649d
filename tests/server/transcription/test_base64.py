"""Base64 in JSON: read as Python reads it, in no more memory than it takes, with turns for calls."""

import asyncio
import base64
import binascii
import random
import tracemalloc

import pytest

from server.http.errors import ApiError
from server.transcription import fields
from server.transcription.fields import PIECE, decode_base64


async def test_blanks_in_base64_cost_no_more_than_their_bytes() -> None:
    tracemalloc.start()
    assert await decode_base64("A \n" * 400_000, "audio_data") == b"\0" * 300_000
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4_000_000


@pytest.mark.parametrize("text", ["AAA", "A\u00e9==", "A-_=", "====", "\ud800", "AA==AAAA"])
async def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(ApiError, match="audio_data is not base64"):
        await decode_base64(text, "audio_data")


@pytest.mark.parametrize("seed", range(4))
async def test_pieces_make_up_what_python_reads_in_one_go(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields, "PIECE", 16)
    dice, read = random.Random(seed), 0
    for _ in range(3000):
        text = "".join(dice.choice("ABCDEFGH" if dice.random() < 0.9 else "+/= \n-") for _ in range(dice.randrange(80)))
        try:
            expected = base64.b64decode(text.translate(str.maketrans("", "", " \n")), validate=True)
        except binascii.Error:
            with pytest.raises(ApiError):
                await decode_base64(text, "audio_data")
        else:
            assert await decode_base64(text, "audio_data") == expected
            read += 1
    assert read > 100


async def test_others_have_turns_while_a_long_text_is_read() -> None:
    turns, over = 0, asyncio.Event()

    async def other() -> None:
        nonlocal turns
        while not over.is_set():
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    await asyncio.sleep(0)
    before = turns
    await decode_base64("AAAA" * (5 * PIECE), "audio_data")
    meanwhile = turns - before
    over.set()
    await beside
    assert meanwhile >= 15
