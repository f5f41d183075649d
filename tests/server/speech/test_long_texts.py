"""Reading a long text holds up nothing else on the event loop."""

import asyncio

import pytest

from pipeline.engines.tts.piper import Piper
from server.bounds import MAX_TEXT
from server.http.errors import ApiError
from server.speech.speech import SpeechDesk, SpeechOrder
from tests.pipeline.text.worst_texts import worst


async def test_the_loop_turns_while_a_text_is_searched_for_something_to_say(piper: Piper) -> None:
    desk = SpeechDesk(piper)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    with pytest.raises(ApiError, match="nothing in this text"):
        await desk.open(SpeechOrder(worst("_ ", MAX_TEXT), None, "pcm", 1.0))
    turning.cancel()
    # On the loop itself it was read between two turns.
    assert turns > 50
    await desk.close()
