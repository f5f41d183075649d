"""`/v1/audio/transcriptions`: as OpenAI's clients ask for it.

Source: https://platform.openai.com/docs/api-reference/audio/createTranscription
"""

import re
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal, get_args

from aiohttp import web
from multidict import MultiDict
from pydantic import BaseModel

from media.audio_file import FORMATS as AUDIO_FORMATS
from server.bounds import MAX_STT_PROMPT, MAX_UPLOAD
from server.http.errors import ApiError
from server.http.operation import Answer, operation
from server.http.sse import DONE, EVENT_STREAM, event, open_events
from server.transcription.formats import Finished, Task, openai_json, openai_verbose, srt, usage, vtt
from server.transcription.transcriber import TRANSCRIBER, Transcription
from server.transcription.uploads import Upload, read_upload

ResponseFormat = Literal["json", "text", "srt", "vtt", "verbose_json"]
FORMATS: tuple[str, ...] = get_args(ResponseFormat)
GRANULARITIES = ("segment", "word")

UPLOAD_SCHEMA = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": AUDIO_FORMATS},
        "model": {"type": "string", "description": "Any name, or none, means the loaded model"},
        "language": {"type": "string", "description": "ISO 639-1 code or English name; detected without"},
        "languages[]": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Where it is one, the same; of several the model finds out which",
        },
        "keywords[]": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Names and terms to expect; go in front of the prompt",
        },
        "prompt": {"type": "string"},
        "response_format": {"type": "string", "enum": list(FORMATS), "default": "json"},
        "temperature": {"type": "number", "minimum": 0, "maximum": 1, "description": "Taken; decoding is greedy"},
        "timestamp_granularities[]": {
            "type": "array",
            "items": {"type": "string", "enum": list(GRANULARITIES)},
            "description": "For verbose_json; of no effect with other formats",
        },
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
    errors=(400, 413, 415, 422, 503),
)
async def create_transcription(request: web.Request) -> web.StreamResponse:
    """Transcribe an audio file."""
    transcriber = request.app[TRANSCRIBER]
    upload, wanted = await read_form(request)
    language = await transcriber.language(wanted.language)
    work = await transcriber.begin(upload, language=language, prompt=wanted.prompt)
    if wanted.stream:
        return await _stream(request, work)
    done = await work.finish()
    transcriber.record(done)
    return answered(done, wanted, "transcribe")


async def read_form(request: web.Request) -> tuple[Upload, Wanted]:
    """The file of a form, and what the form says of it.

    Raises:
        ApiError: 415 it is no form, and as `read_upload` and `wanted_of`.
    """
    if request.content_type != "multipart/form-data":
        raise ApiError(415, "unsupported_media_type", "Send multipart/form-data with the fields file and model")
    upload = await read_upload(request)
    return upload, wanted_of(upload)


def answered(done: Finished, wanted: Wanted, task: Task) -> web.Response:
    """The answer in the form that was asked for."""
    match wanted.response_format:
        case "text":
            return web.Response(text=done.text + "\n")
        case "srt":
            return web.Response(text=srt(done.segments))
        case "vtt":
            return web.Response(text=vtt(done.segments))
        case "verbose_json":
            return web.json_response(openai_verbose(done, wanted.granularities, wanted.temperature, task))
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


def wanted_of(upload: Upload) -> Wanted:
    """What the form says. Empty fields say nothing: forms of browsers send them.

    Raises:
        ApiError: 400 naming the field.
    """
    fields = MultiDict((name, value) for name, value in upload.fields.items() if value.strip())
    response_format = fields.get("response_format", "json")
    if response_format not in FORMATS:
        raise refused("response_format", f"must be one of {', '.join(FORMATS)}")
    # The AI SDK sends them with `json` too, by itself as soon as any option is set: they have no effect then.
    granularities = _list(fields, "timestamp_granularities")
    if any(each not in GRANULARITIES for each in granularities):
        raise refused("timestamp_granularities[]", f"must be of {', '.join(GRANULARITIES)}")
    if _list(fields, "include"):
        raise refused("include[]", "log probabilities are not to be had here")
    if _list(fields, "known_speaker_names") or _list(fields, "known_speaker_references"):
        raise refused("known_speaker_names[]", "speakers are not told apart here")
    stream = fields.get("stream", "false").lower()
    if stream not in ("true", "false", "1", "0"):
        raise refused("stream", "must be true or false")
    if stream in ("true", "1") and response_format in ("srt", "vtt"):
        raise refused("response_format", "subtitles cannot be streamed; ask for json")
    languages = _list(fields, "languages")
    said_before = " ".join((", ".join(_list(fields, "keywords")), fields.get("prompt", ""))).strip()
    return Wanted(
        fields.get("language") or (languages[0] if len(languages) == 1 else "auto"),
        said_before[-MAX_STT_PROMPT:],
        response_format,  # type: ignore[arg-type]
        _temperature(fields.get("temperature", "0")),
        granularities,
        stream in ("true", "1"),
    )


def _list(fields: "MultiDict[str]", name: str) -> tuple[str, ...]:
    """A field that may come several times; some clients spell it with brackets behind it, some number them."""
    spelled = re.compile(rf"{name}(?:\[\d*\])?")
    return tuple(value for key, value in fields.items() if spelled.fullmatch(key))


def _temperature(text: str) -> float:
    try:
        temperature = float(text)
    except ValueError:
        temperature = -1.0
    if not 0 <= temperature <= 1:
        raise refused("temperature", "must be a number between 0 and 1")
    return temperature


def refused(field: str, message: str) -> ApiError:
    """The refusal of what a field of the form asks for."""
    return ApiError(400, "invalid_value", f"{field}: {message}", [{"field": field, "message": message}])
