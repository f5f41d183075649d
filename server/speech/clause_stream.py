"""One clause as lines of JSON: what a voice says, piece by piece, with the times of its words."""

import base64
import json
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, Protocol

import structlog
from aiohttp import web

from pipeline.engines.protocols import EngineError, SpeechChunk, TextToSpeech
from pipeline.scheduling.lanes import LaneClosedError, LaneFullError, Ticket
from server.http.errors import ApiError
from server.speech.voices import resolve_voice

NDJSON = "application/x-ndjson"

FAILED = (EngineError, LaneFullError, LaneClosedError)

log = structlog.get_logger(__name__)


class Clause(Protocol):
    """What is to be said."""

    text: str
    voice: str | None
    speed: float


async def stream_clause(request: web.Request, tts: TextToSpeech, clause: Clause, ticket: Ticket) -> web.StreamResponse:
    """Say a clause; what goes wrong before its first sound has a status of its own.

    Raises:
        ApiError: 400 unknown voice or speed, 503 the voice cannot.
    """
    voice = resolve_voice(clause.voice, tts.voices, tts.default_voice)
    try:
        speech = tts.synthesize(clause.text, ticket, voice=voice, speed=clause.speed)
    except ValueError as error:
        raise ApiError(400, "invalid_speed", str(error)) from None
    async with aclosing(speech) as chunks:  # type: ignore[type-var]
        try:
            first = await anext(chunks, None)
        except FAILED as error:
            told = _said(error)
            raise ApiError(503, told["code"], told["message"], headers={"Retry-After": "2"}) from None
        response = web.StreamResponse(headers={"Content-Type": NDJSON})
        await response.prepare(request)
        try:
            if first is not None:
                await response.write(_line(_piece(first)))
            await _rest(response, chunks)
            await response.write_eof()
        except ConnectionError:
            log.info("the client left before the clause was over")
    return response


async def _rest(response: web.StreamResponse, chunks: Any) -> None:
    try:
        async for chunk in chunks:
            await response.write(_line(_piece(chunk)))
    except FAILED as error:
        await response.write(_line({"error": _said(error)}))
    else:
        await response.write(_line({"done": True}))


def _piece(chunk: SpeechChunk) -> Mapping[str, Any]:
    audio = base64.b64encode(chunk.pcm.astype("<i2").tobytes()).decode()
    return {"audio": audio, "words": [[word.text, word.start, word.end] for word in chunk.words]}


def _line(told: Mapping[str, Any]) -> bytes:
    return json.dumps(told).encode() + b"\n"


def _said(error: Exception) -> dict[str, str]:
    if isinstance(error, LaneFullError):
        return {"code": "busy", "message": "Too much waits to be said already"}
    log.error("a clause could not be said", problem=str(error))
    return {"code": "tts_failed", "message": "The voice could not say this"}
