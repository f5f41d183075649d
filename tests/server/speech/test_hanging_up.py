"""Whoever hangs up stops the voice: a real connection that is cut, a real voice."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from pipeline.engines.tts.piper import Piper
from server.http.errors import errors_as_json
from server.services import tts
from server.speech.clauses import clauses
from server.speech.speech import AHEAD, DESK, SpeechDesk, SpeechOrder

STORY = "Once there was a fox. " * 400
CLAUSES = len(list(clauses(STORY)))


@pytest_asyncio.fixture
async def desk(piper: Piper) -> AsyncIterator[SpeechDesk]:
    desk = SpeechDesk(piper)
    yield desk
    await desk.close()


async def silence(piper: Piper) -> None:
    """Wait until the voice has had no work for a while."""
    quiet = 0
    while quiet < 5:
        await asyncio.sleep(0.05)
        quiet = 0 if piper.lane.load.running or piper.lane.load.waiting else quiet + 1


@pytest.mark.parametrize("audio_format", ["wav", "mp3"])
async def test_a_cut_connection_stops_the_voice(piper: Piper, desk: SpeechDesk, audio_format: str) -> None:
    before = piper.lane.load.done
    app = web.Application(middlewares=[errors_as_json])
    app[DESK] = desk
    app.add_routes(tts.routes)
    server = TestServer(app)
    await server.start_server()
    async with ClientSession() as http:
        request = {"text": STORY, "stream": True, "format": audio_format}
        response = await http.post(server.make_url("/generate"), json=request)
        assert await response.content.readany()
        response.close()
    await silence(piper)
    assert piper.lane.load.done - before < CLAUSES / 4
    await server.close()


async def test_the_voice_waits_for_a_client_that_reads_slowly(piper: Piper, desk: SpeechDesk) -> None:
    before = piper.lane.load.done
    speech = await desk.open(SpeechOrder(STORY, None, "pcm", 1.0))
    pieces = speech.pieces()
    await anext(pieces)
    await silence(piper)
    # One that was taken, those that wait, one on its way there.
    assert piper.lane.load.done - before <= AHEAD + 3
    await pieces.aclose()
