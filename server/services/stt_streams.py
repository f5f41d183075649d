"""Streaming transcription: sessions that take audio by POST or by WebSocket and tell what is known as it comes."""

import asyncio
from typing import Annotated, Any, Literal

from aiohttp import WSMsgType, web
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from pipeline.audio import HEARING_RATE
from pipeline.transcription.live import MAX_CHUNK_S
from server.bounds import MAX_CHUNK, MAX_SMALL_BODY
from server.http.errors import ApiError, parse_socket_message, read_body, read_json
from server.http.held_bytes import hold_of
from server.http.operation import Answer, operation
from server.http.web_socket import open_socket
from server.identity.principal import principal_of
from server.transcription.fields import LanguageWanted, SampleRate, decode_base64
from server.transcription.session import Result, StreamSession
from server.transcription.sessions import SESSIONS
from server.transcription.transcriber import TRANSCRIBER, segment_json
from server.transcription.uploads import RAW_TYPES

CHUNK_TYPES = (*RAW_TYPES, "application/octet-stream")

routes = web.RouteTableDef()


class StreamWanted(BaseModel):
    """How the audio to come is."""

    model_config = ConfigDict(extra="forbid")

    language: LanguageWanted | None = None
    sample_rate: SampleRate = HEARING_RATE


class StreamStarted(BaseModel):
    """Where to send it."""

    session_id: str
    language: str
    sample_rate: int
    max_chunk_s: int
    expires_s: int


class StreamPath(BaseModel):
    """Which session."""

    model_config = ConfigDict(extra="forbid")

    session_id: Annotated[str, Field(max_length=128)]


class StreamChunk(BaseModel):
    """The next piece of audio: s16le mono at the session's rate, as base64."""

    model_config = ConfigDict(extra="forbid")

    audio_data: str
    sequence: Annotated[int, Field(ge=0, le=2**53)] | None = None
    """Number of the chunk, rising; one that was taken in already is not taken in again."""


class StreamAudio(StreamChunk):
    """The same as a message of the WebSocket."""

    type: Literal["audio", "chunk"]


class StreamStop(BaseModel):
    """Nothing more comes."""

    type: Literal["end", "stop"]


_MESSAGES: TypeAdapter[StreamAudio | StreamStop] = TypeAdapter(
    Annotated[StreamAudio | StreamStop, Field(discriminator="type")]
)


class StreamSegment(BaseModel):
    """A stretch of speech that is final, seconds from the start of the stream."""

    text: str
    start: float
    end: float
    language: str


class StreamKnown(BaseModel):
    """What is known until now."""

    partial: str
    unstable: str
    segments: list[StreamSegment]
    is_speech: bool


class StreamEnded(BaseModel):
    """The whole transcript; `unclear`: somebody spoke whose words could not be made out."""

    text: str
    language: str | None
    confidence: float | None
    segments: list[dict[str, Any]]
    duration_s: float
    unclear: bool


@routes.post("/stream/start")
@operation(
    "stt streams",
    scope="speech",
    cost="work",
    body=StreamWanted,
    body_limit=MAX_SMALL_BODY,
    answers={200: Answer("The session", StreamStarted)},
    errors=(400, 413, 422, 429, 503),
)
async def start_stream(request: web.Request, body: StreamWanted) -> web.Response:
    """Begin a session."""
    language = await request.app[TRANSCRIBER].language(body.language)
    sessions = request.app[SESSIONS]
    session_id = await sessions.begin(language, body.sample_rate, principal_of(request).id)
    return web.json_response(
        {
            "session_id": session_id,
            "language": language or "auto",
            "sample_rate": body.sample_rate,
            "max_chunk_s": MAX_CHUNK_S,
            "expires_s": sessions.ttl_s,
        }
    )


@routes.post("/stream/{session_id}/chunk")
@operation(
    "stt streams",
    scope="speech",
    params=StreamPath,
    body=StreamChunk,
    body_limit=MAX_CHUNK,
    uploads=CHUNK_TYPES,
    answers={200: Answer("What is known until now", StreamKnown)},
    errors=(400, 404, 409, 413, 422, 429, 503),
)
async def add_chunk(request: web.Request, params: StreamPath) -> web.Response:
    """Add audio to a session: as base64 in JSON, or as the body (audio/pcm)."""
    session = await request.app[SESSIONS].get(params.session_id, principal_of(request))
    if request.content_type in CHUNK_TYPES:
        data, sequence = await read_body(request, MAX_CHUNK), None
    else:
        body = await read_json(request, StreamChunk, MAX_CHUNK)
        data, sequence = await decode_base64(body.audio_data, "audio_data"), body.sequence
        hold_of(request).more(len(data))
    await session.add(data, sequence)
    return web.json_response(await session.partial(len(data)))


@routes.post("/stream/{session_id}/end")
@operation(
    "stt streams",
    scope="speech",
    params=StreamPath,
    answers={200: Answer("The whole transcript", StreamEnded)},
    errors=(404, 429, 503),
)
async def end_stream(request: web.Request, params: StreamPath) -> web.Response:
    """End a session."""
    return web.json_response(_told(await request.app[SESSIONS].end(params.session_id, principal_of(request))))


@routes.get("/ws/stream/{session_id}")
@operation(
    "stt streams",
    scope="speech",
    params=StreamPath,
    answers={101: Answer("A WebSocket")},
    errors=(400, 404),
    socket=True,
)
async def stream_socket(request: web.Request, params: StreamPath) -> web.StreamResponse:
    """A session over a WebSocket.

    Binary messages are audio (s16le mono at the session's rate), as is {"type":"audio","audio_data": base64}. Whenever
    more is known comes {"type":"partial","partial","unstable","segments","is_speech"}. {"type":"end"} ends the session:
    {"type":"final","text","language","confidence","segments","duration_s"}. Who only disconnects can come back.
    """
    session = await request.app[SESSIONS].get(params.session_id, principal_of(request))
    expected = "This address is a WebSocket; to POST audio use /stream/{id}/chunk"
    socket = await open_socket(request, MAX_CHUNK, expected)
    telling = asyncio.create_task(_tell(socket, session), name=f"partials of {session.id}")
    try:
        async for message in socket:
            try:
                if await _take(request, socket, session, message.type, message.data):
                    break
            except ApiError as error:
                await socket.send_json({"type": "error", **error.body()})
                if error.status in (404, 409):
                    break
    except ConnectionError:
        # Gone while something was told; the session waits for a while.
        pass
    finally:
        telling.cancel()
        await asyncio.wait({telling})
    await socket.close()
    return socket


async def _take(
    request: web.Request, socket: web.WebSocketResponse, session: StreamSession, kind: WSMsgType, data: Any
) -> bool:
    """Do what a message asks for; True when the session has ended."""
    if kind is WSMsgType.BINARY:
        await session.add(data)
        return False
    if kind is not WSMsgType.TEXT:
        return False
    said = parse_socket_message(data, _MESSAGES)
    if isinstance(said, StreamAudio):
        await session.add(await decode_base64(said.audio_data, "audio_data"), said.sequence)
        return False
    result = await request.app[SESSIONS].end(session.id, principal_of(request))
    await socket.send_json({"type": "final", **_told(result)})
    return True


async def _tell(socket: web.WebSocketResponse, session: StreamSession) -> None:
    """Send what is known whenever it has changed; a slow reader gets only the newest."""
    told: dict[str, object] = {}
    while not session.ended:
        known = session.known()
        if known != told:
            told = known
            try:
                await socket.send_json({"type": "partial", **known})
            except ConnectionError:
                return
        await session.wait_for_change()
    if not socket.closed and not session.finished:
        await socket.close(code=4408, message=b"The session was not used for too long")


def _told(result: Result) -> dict[str, Any]:
    return {
        "text": result.text,
        "language": result.language,
        "confidence": result.confidence,
        "segments": [segment_json(segment) for segment in result.segments],
        "duration_s": result.duration_s,
        "unclear": result.unclear,
    }
