"""What the speech routes of the service and of `/v1` have in common: the order's fields, and audio on its way out."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from typing import Annotated

import structlog
from aiohttp import web
from pydantic import Field

from pipeline.engines.protocols import EngineError
from pipeline.scheduling.lanes import LaneClosedError, LaneFullError
from server.speech.formats import CONTENT_TYPES
from server.speech.speech import Speech

SLOW_S = 60.0
"""A client that takes nothing for this long has left without saying so."""

VoiceName = Annotated[str, Field(max_length=128)]

Speed = Annotated[float, Field(ge=0.25, le=4.0)]

FAILED = (EngineError, LaneFullError, LaneClosedError)
"""What a voice may raise in the middle of a text."""

log = structlog.get_logger(__name__)


async def stream_audio(request: web.Request, speech: Speech) -> web.StreamResponse:
    """Send the audio as it is made; a client that hangs up, or stops taking it, stops the voice.

    A voice that fails in the middle breaks the connection off, so that nobody takes a torso for the whole.
    """
    response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPES[speech.format], **speech_headers(speech)})
    if speech.size is not None:
        response.content_length = speech.size
    await response.prepare(request)
    try:
        async with aclosing(speech.pieces()) as pieces:
            async for piece in pieces:
                async with asyncio.timeout(SLOW_S):
                    await response.write(piece)
        await response.write_eof()
    except ConnectionError:
        log.info("the client left before the speech was over")
    except (*FAILED, TimeoutError) as error:
        log.warning("speech broken off", problem=str(error) or type(error).__name__)
        if request.transport is not None:
            request.transport.abort()
    return response


def speech_headers(speech: Speech) -> Mapping[str, str]:
    """Who speaks, and whether it was made for this request."""
    return {"X-Morgan-Voice": speech.voice, "X-Morgan-Cached": "true" if speech.cached else "false"}
