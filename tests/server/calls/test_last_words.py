"""A server that goes lets every door hear its reply to the end: over WebSockets and telephone lines, too."""

import asyncio
import base64
import json
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from media import g711
from media.values import Pcm
from tests.server.scripted import REPLY, WORD_S, scripted_server
from tests.server.telephone.bridge import LOUD, calling

GOODBYE = "Goodbye for now."
WORDS, LAST_WORDS = len(REPLY.split()), len(GOODBYE.split())
COUNT = "Count, please."
PATIENCE_S = 20.0
"""Those who cannot come back by themselves have half of it: for about three times as long as the reply takes."""


def words(pcm: Pcm, rate: int) -> list[float]:
    """How long each word of the scripted voice is that can be heard, seconds."""
    step = rate // 100
    loud = [bool(np.abs(pcm[at : at + step]).max() > LOUD) for at in range(0, len(pcm) - step + 1, step)]
    found: list[float] = []
    for before, now in zip([False, *loud], loud, strict=False):
        if now and not before:
            found.append(0.0)
        if now:
            found[-1] += 0.01
    return found


def assert_whole(found: list[float], count: int) -> None:
    assert len(found) == count, found
    assert all(each >= WORD_S - 0.03 for each in found), found


@pytest.mark.timeout(180)
async def test_a_caller_of_a_telephone_line_hears_every_word_and_goodbye(tmp_path: Path) -> None:
    async with (
        scripted_server(tmp_path, telephone_greeting=REPLY, shutdown_prompt=GOODBYE) as server,
        aiohttp.ClientSession() as http,
        calling(http, f"{server.url}/ws/media-stream/twilio", "CA1") as bridge,
    ):
        await bridge.until(lambda: bridge.sounding)
        await server.stop(drain_s=PATIENCE_S)
        await bridge.until(lambda: bridge.closed is not None)
        heard = g711.decode_mu_law(bytes(bridge.played))
        assert_whole(words(heard, g711.RATE), WORDS + LAST_WORDS)


@pytest.mark.timeout(180)
async def test_a_client_of_ws_audio_is_sent_every_word_and_goodbye(tmp_path: Path) -> None:
    sound = bytearray()
    async with (
        scripted_server(tmp_path, shutdown_prompt=GOODBYE) as server,
        aiohttp.ClientSession(server.url) as http,
        http.ws_connect("/ws/audio") as socket,
    ):
        await socket.send_json({"type": "start", "user_id": "ada"})
        await socket.send_json({"type": "text", "text": COUNT})
        going: asyncio.Task[None] | None = None
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                sound += message.data
                going = going or asyncio.create_task(server.stop(drain_s=PATIENCE_S))
        assert going is not None
        await going
    assert_whole(words(np.frombuffer(sound, np.int16), 24_000), WORDS + LAST_WORDS)


@pytest.mark.timeout(180)
async def test_a_realtime_client_is_sent_every_word(tmp_path: Path) -> None:
    sound, done = bytearray(), []
    async with (
        scripted_server(tmp_path, shutdown_prompt=GOODBYE) as server,
        aiohttp.ClientSession(server.url) as http,
        http.ws_connect("/v1/realtime") as socket,
    ):
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": COUNT}]}
        await socket.send_json({"type": "conversation.item.create", "item": item})
        await socket.send_json({"type": "response.create"})
        going: asyncio.Task[None] | None = None
        async for message in socket:
            told = json.loads(message.data)
            if told["type"] == "response.output_audio.delta":
                (call,) = server.registry.active
                assert not call.options.short_replies
                sound += base64.b64decode(told["delta"])
                going = going or asyncio.create_task(server.stop(drain_s=PATIENCE_S))
            elif told["type"] == "response.done":
                done.append(told["response"]["output"][0]["content"][0]["transcript"])
        assert going is not None
        await going
    assert done == [REPLY]
    assert_whole(words(np.frombuffer(sound, np.int16), 24_000), WORDS)
