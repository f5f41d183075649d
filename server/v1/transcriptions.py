"""`/v1/audio/transcriptions`: as OpenAI's clients ask for it.

Source: https://platform.openai.com/docs/api-reference/audio/createTranscription
"""

import re
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal, get_args

from aiohttp import web
from pydantic import BaseModel

from server.app_keys import ENGINES
from server.bounds import MAX_STT_PROMPT, MAX_UPLOAD
from server.http.errors import ApiError
from server.http.operation import Answer, operation
from server.http.sse import DONE, EVENT_STREAM, event, open_events
from server.transcription.formats import openai_json, openai_verbose, srt, usage, vtt
from server.transcription.transcriber import TRANSCRIBER, Transcription
from server.transcription.uploads import Upload, read_upload

ResponseFormat = Literal["json", "text", "srt", "vtt", "verbose_json"]
FORMATS: tuple[str, ...] = get_args(ResponseFormat)
GRANULARITIES = ("segment", "word")

OPENAI_MODELS = re.compile(r"whisper-1|gpt-transcribe|gpt-4o(-mini)?-transcribe(-\d{4}-\d{2}-\d{2})?")
"""Names that stock clients come with; the engine that is there answers to them."""

UPLOAD_SCHEMA = {
    "type": "object",
    "required": ["file", "model"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "wav, mp3, flac, ogg, webm, m4a, aac or aiff"},
        "model": {"type": "string", "description": "whisper-1, gpt-4o-transcribe, or the engine's own model"},
        "language": {"type": "string", "description": "ISO 639-1 code; detected without"},
        "prompt": {"type": "string"},
        "response_format": {"type": "string", "enum": list(FORMATS), "default": "json"},
        "temperature": {"type": "number", "minimum": 0, "maximum": 1, "description": "Taken; decoding is greedy"},
        "timestamp_granularities[]": {"type": "array", "items": {"type": "string", "enum": list(GRANULARITIES)}},
        "stream": {"type": "boolean", "default": False},
    },
}

routes = web.RouteTableDef()


class TranscriptionJson(BaseModel):
    """`json` and `verbose_json`; `unclear`: somebody spoke in it whose words could not be made out."""

    text: str
    usage: dict[str, Any]
    unclear: bool | None = None
    task: str | None = None
    language: str | None = None
    duration: float | None = None
    segments: list[dict[str, Any]] | None = None
    words: list[dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks for beside the audio."""

    language: str | None
    prompt: str
    response_format: ResponseFormat
    temperature: float
    granularities: tuple[str, ...]
    stream: bool


@routes.post("/v1/audio/transcriptions")
@operation(
    "openai",
    scope="speech",
    cost="work",
    body_limit=MAX_UPLOAD,
    uploads=("multipart/form-data",),
    upload_schema=UPLOAD_SCHEMA,
    answers={
        200: Answer(
            "The transcript, in the form that was asked for",
            TranscriptionJson,
            ("text/plain", EVENT_STREAM),
        )
    },
    errors=(400, 404, 413, 415, 422, 503),
)
async def create_transcription(request: web.Request) -> web.StreamResponse:
    """Transcribe an audio file."""
    if request.content_type != "multipart/form-data":
        raise ApiError(415, "unsupported_media_type", "Send multipart/form-data with the fields file and model")
    transcriber = request.app[TRANSCRIBER]
    upload = await read_upload(request)
    wanted = _wanted(upload, request.app[ENGINES].stt.model)
    language = await transcriber.language(wanted.language)
    work = await transcriber.begin(upload, language=language, prompt=wanted.prompt)
    if wanted.stream:
        return await _stream(request, work)
    done = await work.finish()
    transcriber.record(done)
    return _answer(done, wanted)


def _answer(done: Transcription, wanted: Wanted) -> web.Response:
    match wanted.response_format:
        case "text":
            return web.Response(text=done.text + "\n")
        case "srt":
            return web.Response(text=srt(done.segments))
        case "vtt":
            return web.Response(text=vtt(done.segments))
        case "verbose_json":
            return web.json_response(openai_verbose(done, wanted.granularities, wanted.temperature))
    return web.json_response(openai_json(done))


async def _stream(request: web.Request, work: Transcription) -> web.StreamResponse:
    """The text as it is found, as server-sent events."""
    try:
        response = await open_events(request)
    except BaseException:
        work.close()
        raise
    sent = False
    try:
        async with aclosing(work.run()) as segments:
            async for segment in segments:
                delta = (" " if sent else "") + segment.text
                sent = True
                await response.write(event({"type": "transcript.text.delta", "delta": delta}))
    except ApiError as error:
        await response.write(event(error.body(openai=True)))
    else:
        request.app[TRANSCRIBER].record(work)
        await response.write(event({"type": "transcript.text.done", "text": work.text, "usage": usage(work)}))
    await response.write(DONE)
    await response.write_eof()
    return response


def _wanted(upload: Upload, model: str) -> Wanted:
    """What the form says.

    Raises:
        ApiError: 400 naming the field, 404 unknown model.
    """
    fields = upload.fields
    asked = fields.get("model", "").strip()
    if not asked:
        raise _refused("model", "you must say which: whisper-1 will do")
    if asked != model and not OPENAI_MODELS.fullmatch(asked):
        details = [{"field": "model", "message": "unknown model"}]
        message = f"There is no model {asked[:80]!r} here: use {model!r} or 'whisper-1'"
        raise ApiError(404, "model_not_found", message, details)
    response_format = fields.get("response_format", "json")
    if response_format not in FORMATS:
        raise _refused("response_format", f"must be one of {', '.join(FORMATS)}")
    granularities = tuple(fields.getall("timestamp_granularities[]", fields.getall("timestamp_granularities", [])))
    if any(each not in GRANULARITIES for each in granularities):
        raise _refused("timestamp_granularities[]", f"must be of {', '.join(GRANULARITIES)}")
    if granularities and response_format != "verbose_json":
        raise _refused("timestamp_granularities[]", "needs response_format verbose_json")
    if fields.getall("include[]", fields.getall("include", [])):
        raise _refused("include[]", "log probabilities are not to be had here")
    stream = fields.get("stream", "false").lower()
    if stream not in ("true", "false", "1", "0"):
        raise _refused("stream", "must be true or false")
    if stream in ("true", "1") and response_format in ("srt", "vtt"):
        raise _refused("response_format", "subtitles cannot be streamed; ask for json")
    return Wanted(
        fields.get("language") or "auto",
        fields.get("prompt", "")[-MAX_STT_PROMPT:],
        response_format,  # type: ignore[arg-type]
        _temperature(fields.get("temperature", "0")),
        granularities,
        stream in ("true", "1"),
    )


def _temperature(text: str) -> float:
    try:
        temperature = float(text)
    except ValueError:
        temperature = -1.0
    if not 0 <= temperature <= 1:
        raise _refused("temperature", "must be a number between 0 and 1")
    return temperature


def _refused(field: str, message: str) -> ApiError:
    return ApiError(400, "invalid_value", f"{field}: {message}", [{"field": field, "message": message}])
