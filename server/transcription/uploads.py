"""Audio as clients send it: a multipart form with a file, or the audio as the body itself."""

from contextlib import aclosing
from dataclasses import dataclass, field

from aiohttp import web
from multidict import CIMultiDictProxy, MultiDict

from media.audio_file import FORMATS
from pipeline.audio import HEARING_RATE
from server.bounds import MAX_FIELD, MAX_PARTS, MAX_PCM_RATE, MAX_UPLOAD, MIN_PCM_RATE
from server.http.errors import ApiError, read_body
from server.http.forms import field_too_large, form_parts

RAW_TYPES = ("audio/pcm", "audio/x-pcm", "audio/raw")
FILE_TYPES = ("application/octet-stream", "application/ogg", "video/webm", "video/mp4", "video/x-matroska")
UPLOADS = ("multipart/form-data", "audio/*", *FILE_TYPES)
"""Media types of bodies that are read here."""

FILE_FIELDS = ("file", "audio")
"""Names under which a form may have its file."""

UPLOAD_SCHEMA = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": FORMATS},
        "language": {"type": "string", "description": "ISO 639-1 code, or auto"},
        "prompt": {"type": "string", "description": "What was said before, for names and style"},
        "word_timestamps": {"type": "boolean"},
        "vad": {"type": "boolean", "default": True, "description": "Whether to look for the speech in it"},
    },
}


@dataclass(frozen=True, slots=True)
class Upload:
    """Audio and what came with it.

    Attributes:
        data: the file, or plain samples (s16le, mono).
        rate: of plain samples, Hz; None for a file.
        fields: of the form, or of the query.
    """

    data: bytes
    rate: int | None = None
    fields: MultiDict[str] = field(default_factory=MultiDict)


async def read_upload(request: web.Request) -> Upload:
    """A request's audio; what it holds is given back with the request.

    Raises:
        ApiError: 400 malformed, 413 too large, 415 no audio, 503 no room.
    """
    if request.content_type == "multipart/form-data":
        return await _read_form(request)
    rate = raw_rate(request.headers)
    if rate is None and not request.content_type.startswith("audio/") and request.content_type not in FILE_TYPES:
        raise ApiError(
            415,
            "unsupported_media_type",
            "Send the audio as multipart/form-data with a file, or as the body with its type: audio/wav, "
            "audio/pcm;rate=16000 (s16le, mono), audio/mpeg, audio/flac, audio/ogg, audio/webm, audio/mp4",
        )
    return Upload(await read_body(request, MAX_UPLOAD), rate, MultiDict(request.query))


async def _read_form(request: web.Request) -> Upload:
    if request.content_length is not None and request.content_length > MAX_UPLOAD + MAX_PARTS * MAX_FIELD:
        raise _too_large()
    fields: MultiDict[str] = MultiDict(request.query)
    data: bytes | None = None
    rate: int | None = None

    def limit_of(name: str) -> int:
        if name not in FILE_FIELDS:
            return MAX_FIELD
        if data is not None:
            raise ApiError(400, "invalid_form", "The form may have one file only")
        return MAX_UPLOAD

    async with aclosing(form_parts(request, limit_of, _field_too_large)) as parts:
        async for part in parts:
            if part.name in FILE_FIELDS:
                data, rate = part.data, raw_rate(part.headers)
                continue
            try:
                fields.add(part.name, part.data.decode("utf-8"))
            except UnicodeDecodeError:
                raise ApiError(400, "invalid_form", f"{part.name[:64]}: not UTF-8 text") from None
    if data is None:
        details = [{"field": "file", "message": "Field required"}]
        raise ApiError(422, "invalid_body", "file: the form has no field named file with the audio", details)
    return Upload(data, rate, fields)


def _field_too_large(name: str, limit: int) -> ApiError:
    return _too_large() if name in FILE_FIELDS else field_too_large(name, limit)


def _too_large() -> ApiError:
    return ApiError(413, "audio_too_large", f"A file may have at most {MAX_UPLOAD // 1024 // 1024} MiB")


def raw_rate(headers: "CIMultiDictProxy[str]") -> int | None:
    """The sample rate of a body or part of plain samples; None where the type says that it is a file.

    Raises:
        ApiError: 400, the type's parameters do not fit.
    """
    mime, _, rest = headers.get("Content-Type", "").partition(";")
    if mime.strip().lower() not in RAW_TYPES:
        return None
    given = dict(part.strip().lower().partition("=")[::2] for part in rest.split(";") if "=" in part)
    rate, channels = given.get("rate", str(HEARING_RATE)), given.get("channels", "1")
    if not rate.isascii() or not rate.isdigit() or not MIN_PCM_RATE <= int(rate[:9]) <= MAX_PCM_RATE or channels != "1":
        raise ApiError(
            400,
            "unsupported_pcm",
            f"audio/pcm is 16-bit little-endian mono with a rate of {MIN_PCM_RATE} to {MAX_PCM_RATE} Hz, as in "
            "audio/pcm;rate=16000",
        )
    return int(rate)
