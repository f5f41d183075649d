"""`/api/audio`: a conversation in recordings, over the same engines and memory as calls."""

import base64
import json
import time
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from media.audio_file import FORMATS
from persistence.conversation_log import ConversationLog
from pipeline.audio import SPEECH_RATE
from pipeline.call.context import SPOKEN_RULES
from server.bounds import MAX_HEADER_TEXT, MAX_INSTRUCTIONS, MAX_TURN_S, MAX_UPLOAD
from server.calls.requests import registry, wanted_call
from server.conversations.beginnings import Beginning, circumstances
from server.conversations.spoken_turn import SpokenReply, answer, heard, keep, speak
from server.conversations.written_turn import WrittenTurn
from server.http.accept import preferred_form
from server.http.acting import named_user
from server.http.errors import parse_json
from server.http.fields import ConversationId, UserId
from server.http.held_bytes import hold_of
from server.http.operation import Answer, operation
from server.memory.door import MEMORY
from server.speech.formats import CONTENT_TYPES, AudioFormat
from server.speech.requests import speech_headers
from server.speech.speech import DESK
from server.transcription.fields import LanguageWanted
from server.transcription.transcriber import AUTO, TRANSCRIBER, Transcription
from server.transcription.uploads import UPLOADS, Upload, read_upload

JSON_FORM = "json"

FORMS = {
    "application/json": JSON_FORM,
    "audio/*": "wav",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/ogg": "opus",
    "audio/flac": "flac",
    "audio/aac": "aac",
}
"""What the reply may come as, by media type; in JSON the audio is a wav."""

UPLOAD_SCHEMA = {
    "type": "object",
    "required": ["file", "user_id"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": FORMATS},
        "user_id": {"type": "string"},
        "conversation_id": {"type": "string", "description": 'a uuid, or "last"; a new conversation without'},
        "language": {"type": "string", "description": "ISO 639-1 code, or auto"},
        "voice": {"type": "string"},
        "instructions": {"type": "string"},
    },
}

routes = web.RouteTableDef()


class AudioTurn(BaseModel):
    """What comes with the audio."""

    model_config = ConfigDict(extra="forbid")

    user_id: UserId
    conversation_id: ConversationId | None = None
    language: LanguageWanted | None = None
    voice: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    instructions: Annotated[str, Field(max_length=MAX_INSTRUCTIONS)] | None = None


class AudioReply(BaseModel):
    """What was heard, and the reply; `audio` is base64 of a file. Stages in milliseconds."""

    transcript: str
    language: str | None
    text: str
    audio: str
    format: str
    sample_rate: int
    duration_s: float
    user_id: str
    conversation_id: str
    message_id: str
    latency_ms: float
    stages: dict[str, float]


@routes.post("/api/audio")
@operation(
    "conversations",
    scope="calls",
    cost="work",
    body_limit=MAX_UPLOAD,
    uploads=UPLOADS,
    upload_schema=UPLOAD_SCHEMA,
    answers={
        200: Answer(
            "The reply; the audio alone where Accept asks for a type of audio",
            AudioReply,
            tuple(CONTENT_TYPES[each] for each in ("wav", "mp3", "opus", "flac", "aac")),
            headers={
                "X-Morgan-Conversation-Id": "Of an answer that is audio; so are the others",
                "X-Morgan-Message-Id": "Of the reply in the conversation",
                "X-Morgan-Transcript": "What was heard, percent-encoded UTF-8; left out when it is long",
                "X-Morgan-Text": "What the audio says, percent-encoded UTF-8; left out when it is long",
            },
        )
    },
    errors=(400, 404, 413, 415, 422, 503),
)
async def answer_audio(request: web.Request) -> web.Response:
    """Answer a recording of what the user said.

    A multipart form with `file` and `user_id`, or the audio as the body and the rest in the query. The turn is kept in
    the conversation as others are. Hanging up stops the work.
    """
    began = time.monotonic()
    form = preferred_form(request.headers.get("Accept", ""), FORMS, JSON_FORM)
    transcriber = request.app[TRANSCRIBER]
    upload = await read_upload(request)
    wanted = _wanted(upload)
    wanted.user_id = named_user(request, wanted.user_id)
    if wanted.language:
        wanted.language = await transcriber.language(wanted.language) or ""
    beginning, options = await wanted_call(request, wanted.user_id, wanted.conversation_id, wanted)
    # "" is to listen, whatever the server takes for spoken.
    asked = options.get("language")
    language = await transcriber.language(AUTO if asked == "" else asked)
    expected = options.get("expected_language")
    begun = await transcriber.begin(upload, language=language, expected=expected, longest_s=MAX_TURN_S)
    done = await begun.finish()
    # The answer takes its time, and needs no more than the words.
    del upload
    hold_of(request).give_back()
    transcriber.done += 1
    stages = {"stt": _ms(began)}
    turn, writer = _turn(request, wanted, beginning, heard(done), done.language, options)
    try:
        await answer(turn)
    finally:
        if turn.text:
            keep(writer, turn, done, transcriber.engines.stt.model)
    stages |= {"llm_first_token": turn.first_word_ms, "llm": turn.latency_ms}
    audio_format: AudioFormat = "wav" if form == JSON_FORM else form  # type: ignore[assignment]
    reply = await speak(turn, request.app[DESK], options.get("voice"), audio_format)
    stages |= reply.stages
    return _as_json(turn, done, reply, stages, began) if form == JSON_FORM else _as_audio(turn, done, reply)


def _wanted(upload: Upload) -> AudioTurn:
    """The fields of the form.

    Raises:
        ApiError: 422, naming the field.
    """
    return parse_json(json.dumps(dict(upload.fields)).encode(), AudioTurn)


def _turn(
    request: web.Request,
    wanted: AudioTurn,
    beginning: Beginning,
    said: str,
    language: str | None,
    options: Mapping[str, Any],
) -> tuple[WrittenTurn, ConversationLog | None]:
    memory, calls = request.app[MEMORY].memory, registry(request)
    writer = None
    if memory is not None:
        writer = memory.conversation(wanted.user_id, beginning.conversation_id, channel="audio", new=beginning.new)
    turn = WrittenTurn(
        calls.engines.llm,
        calls.defaults,
        beginning,
        said,
        user_id=wanted.user_id,
        instructions=options.get("instructions"),
        language=language,
        rules=SPOKEN_RULES,
        circumstances=circumstances(options, hourly=True),
        writer=writer,
        remind_by=request.app[MEMORY].reminder,
    )
    return turn, writer


def _as_json(
    turn: WrittenTurn, done: Transcription, reply: SpokenReply, stages: dict[str, float], began: float
) -> web.Response:
    told = AudioReply(
        transcript=done.text.strip(),
        language=done.language,
        text=turn.text,
        audio=base64.b64encode(reply.audio).decode(),
        format=reply.speech.format,
        sample_rate=SPEECH_RATE,
        duration_s=round(reply.speech.duration_s, 3),
        user_id=turn.user_id,
        conversation_id=turn.conversation_id,
        message_id=turn.message_id,
        latency_ms=_ms(began),
        stages=stages,
    )
    return web.json_response(told.model_dump())


def _as_audio(turn: WrittenTurn, done: Transcription, reply: SpokenReply) -> web.Response:
    texts = {"X-Morgan-Transcript": quote(done.text.strip()), "X-Morgan-Text": quote(turn.text)}
    headers = {
        "Content-Type": CONTENT_TYPES[reply.speech.format],
        "X-Morgan-Conversation-Id": turn.conversation_id,
        "X-Morgan-Message-Id": turn.message_id,
        **{name: text for name, text in texts.items() if len(text) <= MAX_HEADER_TEXT},
        **speech_headers(reply.speech),
    }
    return web.Response(body=reply.audio, headers=headers)


def _ms(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 1)
