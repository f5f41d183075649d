"""Items with audio, one of which cannot be put into the conversation."""

import asyncio
import base64
from types import SimpleNamespace
from typing import Any

from pipeline.engines.protocols import Transcript
from server.realtime.client_events import ContentPart, Item, MessageItem
from server.realtime.spoken_items import SpokenItems


class Ears:
    async def transcribe(self, *_: object, **__: object) -> Transcript:
        return Transcript("hello", "en")


def item(item_id: str) -> MessageItem:
    audio = base64.b64encode(bytes(4800)).decode()
    return MessageItem(id=item_id, type="message", role="user", content=[ContentPart(type="input_audio", audio=audio)])


async def test_an_item_that_has_no_place_does_not_hold_up_those_behind_it() -> None:
    put: list[str] = []
    behind: list[bool] = []

    def insert(_: Item, item_id: str, after: str | None) -> None:
        if item_id == "first":
            raise RuntimeError("nobody expected this")
        put.append(item_id)

    told = SimpleNamespace(transcribed=lambda *_: None)
    options = SimpleNamespace(language="en", stt_prompt="")
    call = SimpleNamespace(options=options, engines=SimpleNamespace(stt=Ears()))
    config = SimpleNamespace(input_format={"type": "audio/pcm", "rate": 24_000})
    view: Any = SimpleNamespace(call=call, events=told, tell=lambda *_: None, config=config)
    items = SpokenItems(view, insert)
    items.create(item("first"), None)
    items.create(item("second"), None)
    items.then(lambda: behind.append(True))
    async with asyncio.timeout(30):
        while not behind:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    assert put == ["second"]
    assert not items.busy
