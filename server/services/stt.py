"""The transcription as a service of its own: recordings here, streams in `stt_streams`."""

import time
from typing import Any

import numpy as np
from aiohttp import web
from pydantic import BaseModel, ConfigDict

from media.audio_file import container_format
from pipeline.audio import HEARING_RATE, to_waveform
from server.app_keys import DECODERS, ENGINES, WATCHES
from server.bounds import MAX_AUDIO_JSON, MAX_STT_PROMPT, MAX_UPLOAD
from server.http.errors import ApiError
from server.http.held_bytes import hold_of
from server.http.operation import Answer, operation
from server.http.tickets import asked_ticket
from server.services.health import memory_state, sees_details
from server.transcription.fields import LanguageWanted, SampleRate, decode_base64
from server.transcription.sessions import SESSIONS
from server.transcription.transcriber import AUTO, FAILURES, TRANSCRIBER, Transcription, no_transcript, segment_json
from server.transcription.uploads import UPLOAD_SCHEMA, UPLOADS, Upload, read_upload
from server.version import version

routes = web.RouteTableDef()


class SpokenSegment(BaseModel):
    """A stretch of speech, seconds from the start of the audio."""

    text: str
    start: float
    end: float
    language: str
    confidence: float
    words: list[dict[str, Any]] | None = None


class Transcribed(BaseModel):
    """A transcript; `unclear`: somebody spoke in it whose words could not be made out.

    `language` is the one that most of it is in; each segment has its own.
    """

    text: str
    language: str | None
    confidence: float | None
    segments: list[SpokenSegment]
    is_speech: bool
    duration_s: float
    latency_ms: float
    unclear: bool = False
    no_speech: float | None = None
    words: list[dict[str, Any]] | None = None


class RealtimeAudio(BaseModel):
    """Audio to transcribe at once: s16le mono, or a file, as base64."""

    model_config = ConfigDict(extra="forbid")

    audio_data: str
    sample_rate: SampleRate = HEARING_RATE
    language: LanguageWanted | None = None


class ServiceLoad(BaseModel):
    """What is going on."""

    sessions: int
    max_sessions: int
    sessions_begun: int
    sessions_resumed: int
    sessions_expired: int
    transcriptions: int
    upload_bytes: int


class SttHealth(BaseModel):
    """How the service does; the last five are what the self-check chose, where the engine lets it.

    Strangers are told its status only.
    """

    status: str
    service: str
    version: str | None = None
    engine: str | None = None
    model: str | None = None
    kind: str | None = None
    latency_ms: float | None = None
    memory: str | None = None
    load: ServiceLoad | None = None
    compute_type: str | None = None
    threads: int | None = None
    padding_s: float | None = None
    device: str | None = None
    device_reason: str | None = None


ERRORS = (400, 413, 415, 422, 503)


@routes.post("/transcribe")
@operation(
    "stt",
    scope="speech",
    cost="work",
    body_limit=MAX_UPLOAD,
    uploads=UPLOADS,
    upload_schema=UPLOAD_SCHEMA,
    answers={200: Answer("The transcript", Transcribed)},
    errors=ERRORS,
)
async def transcribe(request: web.Request) -> web.StreamResponse:
    """Transcribe a recording: a multipart form with `file`, or the audio as the body.

    `vad=false` takes a stretch of speech (`audio/pcm;rate=16000`) as it is, without looking for speech in it, and tells
    what the model thinks of it in `no_speech` and `words`; nothing of it is kept.
    """
    began = time.monotonic()
    transcriber = request.app[TRANSCRIBER]
    upload = await read_upload(request)
    words = flag(upload, "word_timestamps")
    if not flag(upload, "vad", default=True):
        return web.json_response(await _heard(request, upload, began, words))
    language = await transcriber.language(upload.fields.get("language"))
    prompt = upload.fields.get("prompt", "")[-MAX_STT_PROMPT:]
    done = await _transcribed(request, upload, language, prompt)
    return web.json_response(_told(done, began, words))


@routes.post("/transcribe/realtime")
@operation(
    "stt",
    scope="speech",
    cost="work",
    body=RealtimeAudio,
    body_limit=MAX_AUDIO_JSON,
    answers={200: Answer("The transcript", Transcribed)},
    errors=ERRORS,
)
async def transcribe_realtime(request: web.Request, body: RealtimeAudio) -> web.StreamResponse:
    """Transcribe a piece of audio that comes as base64 in JSON; speech is told from silence."""
    began = time.monotonic()
    data = await decode_base64(body.audio_data, "audio_data")
    hold_of(request).more(len(data))
    upload = Upload(data, None if container_format(data) in ("wav", "flac", "ogg", "matroska") else body.sample_rate)
    language = await request.app[TRANSCRIBER].language(body.language)
    done = await _transcribed(request, upload, language, "")
    return web.json_response(_told(done, began, words=False))


@routes.get("/health")
@operation("health", answers={200: Answer("It answers", SttHealth)}, open=True)
async def health(request: web.Request) -> web.Response:
    """200 while the service answers."""
    engine, watch = request.app[ENGINES].stt, request.app[WATCHES]["stt"]
    if not sees_details(request):
        return web.json_response({"status": watch.status, "service": "stt"})
    sessions, transcriber = request.app[SESSIONS], request.app[TRANSCRIBER]
    report = SttHealth(
        status=watch.status,
        service="stt",
        version=version(),
        engine=engine.name,
        model=engine.model,
        kind=engine.kind,
        latency_ms=watch.latency_ms(),
        memory=memory_state(request),
        load=ServiceLoad(
            sessions=sessions.active,
            max_sessions=sessions.limit,
            sessions_begun=sessions.begun,
            sessions_resumed=sessions.resumed,
            sessions_expired=sessions.expired,
            transcriptions=transcriber.done,
            upload_bytes=request.app[DECODERS].budget.held,
        ),
        **getattr(engine, "configuration", {}),
    )
    return web.json_response(report.model_dump())


def flag(upload: Upload, name: str, *, default: bool = False) -> bool:
    """A field that is true or false; the default when it is not there.

    Raises:
        ApiError: 422, it is neither.
    """
    value = upload.fields.get(name, str(default)).strip().lower()
    if value not in ("true", "false", "1", "0"):
        details = [{"field": name, "message": "must be true or false"}]
        raise ApiError(422, "invalid_body", f"{name}: must be true or false", details)
    return value in ("true", "1")


async def _transcribed(request: web.Request, upload: Upload, language: str | None, prompt: str) -> Transcription:
    transcriber = request.app[TRANSCRIBER]
    transcription = await transcriber.begin(upload, language=language, prompt=prompt)
    done = await transcription.finish()
    transcriber.record(done)
    return done


async def _heard(request: web.Request, upload: Upload, began: float, words: bool) -> dict[str, Any]:
    """What the engine makes of a stretch of speech, as calls need it that are held by another process."""
    if upload.rate != HEARING_RATE or len(upload.data) % 2:
        raise ApiError(400, "unsupported_pcm", f"vad=false takes 16-bit samples as audio/pcm;rate={HEARING_RATE} only")
    language = upload.fields.get("language", AUTO).strip().lower()
    audio = to_waveform(np.frombuffer(upload.data, "<i2").astype(np.int16))
    with asked_ticket(request) as ticket:
        try:
            heard = await request.app[ENGINES].stt.transcribe(
                audio,
                ticket,
                language=None if language == AUTO else language,
                prior=upload.fields.get("prior", "").strip().lower() or None,
                prompt=upload.fields.get("prompt", "")[-MAX_STT_PROMPT:],
                word_timestamps=words,
                retry=flag(upload, "retry", default=True),
            )
        except ValueError as error:
            raise ApiError(422, "unknown_language", f"language: {error}") from None
        except FAILURES as error:
            raise no_transcript(error) from None
    return {
        "text": heard.text,
        "language": heard.language,
        "confidence": heard.confidence,
        "segments": [],
        "is_speech": bool(heard.text),
        "duration_s": heard.duration,
        "latency_ms": round((time.monotonic() - began) * 1000, 1),
        "no_speech": heard.no_speech,
        "language_probability": heard.language_probability,
        "doubted": heard.doubted,
        "words": [{"word": word.text, "start": word.start, "end": word.end} for word in heard.words],
    }


def _told(done: Transcription, began: float, words: bool) -> dict[str, Any]:
    return {
        "text": done.text,
        "language": done.language,
        "confidence": done.confidence,
        "segments": [segment_json(segment, words) for segment in done.segments],
        "is_speech": bool(done.segments) or done.unclear,
        "unclear": done.unclear,
        "duration_s": done.duration_s,
        "latency_ms": round((time.monotonic() - began) * 1000, 1),
    }
