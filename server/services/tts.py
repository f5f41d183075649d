"""The speech synthesis as a service of its own: texts in, audio out, as it is spoken or whole."""

import base64
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from pipeline.audio import SPEECH_RATE
from server.bounds import MAX_SPEECH_BODY, MAX_TEXT
from server.http.operation import Answer, operation
from server.http.tickets import asked_ticket
from server.services.health import HEALTH, service_health
from server.speech.clause_stream import NDJSON, stream_clause
from server.speech.formats import CONTENT_TYPES, AudioFormat
from server.speech.requests import Speed, VoiceName, speech_headers, stream_audio
from server.speech.speech import DESK, Speech, SpeechOrder
from server.speech.voices import ALIASES

AUDIO = tuple(CONTENT_TYPES.values())

ERRORS = (400, 413, 422, 503)

routes = web.RouteTableDef()


class AudioWanted(BaseModel):
    """A text to say."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1)]
    voice: VoiceName | None = None
    format: AudioFormat = "wav"
    speed: Speed = 1.0

    def order(self) -> SpeechOrder:
        """What the desk is asked for."""
        return SpeechOrder(self.text, self.voice, self.format, self.speed)


class SpeechWanted(AudioWanted):
    """A text to say, and whether the audio comes as it is spoken."""

    stream: bool = False


class ClauseWanted(BaseModel):
    """A clause to say: plain words, already made speakable."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
    voice: VoiceName | None = None
    speed: Speed = 1.0


class Generated(BaseModel):
    """Speech; `audio` is base64 of the whole file."""

    audio: str
    format: AudioFormat
    sample_rate: int
    duration_s: float
    voice: str
    cached: bool


class VoiceShown(BaseModel):
    """A voice that can be asked for."""

    id: str
    name: str
    language: str
    engine: str


class Voices(BaseModel):
    """The voices that are loaded, the one that speaks unasked, and further names that are understood."""

    voices: list[VoiceShown]
    default: str
    aliases: list[str]


@routes.get("/health")
@HEALTH
async def health(request: web.Request) -> web.Response:
    """200 while the service answers."""
    return service_health(request, "tts")


@routes.get("/voices")
@operation("speech", scope="speech", answers={200: Answer("The voices", Voices)})
async def show_voices(request: web.Request) -> web.Response:
    """The voices."""
    tts = request.app[DESK].tts
    shown = [VoiceShown(id=each.id, name=each.name, language=each.language, engine=each.engine) for each in tts.voices]
    return web.json_response(Voices(voices=shown, default=tts.default_voice, aliases=sorted(ALIASES)).model_dump())


@routes.post("/generate")
@operation(
    "speech",
    scope="speech",
    cost="work",
    body=SpeechWanted,
    body_limit=MAX_SPEECH_BODY,
    answers={200: Answer("The speech; with `stream` the audio itself, as it is spoken", Generated, AUDIO)},
    errors=ERRORS,
)
async def generate(request: web.Request, body: SpeechWanted) -> web.StreamResponse:
    """Say a text: as JSON when it is whole, or with `stream` as audio from the first clause on."""
    speech = await request.app[DESK].open(body.order())
    if body.stream:
        return await stream_audio(request, speech)
    audio = await speech.whole()
    answer = Generated(
        audio=base64.b64encode(audio).decode(),
        format=body.format,
        sample_rate=SPEECH_RATE,
        duration_s=round(speech.duration_s, 3),
        voice=speech.voice,
        cached=speech.cached,
    )
    return web.json_response(answer.model_dump(), headers=speech_headers(speech))


@routes.post("/generate/audio")
@operation(
    "speech",
    scope="speech",
    cost="work",
    body=AudioWanted,
    body_limit=MAX_SPEECH_BODY,
    answers={200: Answer("The audio file", content=AUDIO)},
    errors=ERRORS,
)
async def generate_audio(request: web.Request, body: AudioWanted) -> web.Response:
    """Say a text: the audio file, when it is whole."""
    speech = await request.app[DESK].open(body.order())
    return whole_file(await speech.whole(), speech)


@routes.post("/speak")
@operation(
    "speech",
    scope="speech",
    cost="work",
    body=ClauseWanted,
    body_limit=MAX_SPEECH_BODY,
    answers={200: Answer("A line of JSON for each piece of audio", content=(NDJSON,))},
    errors=(400, 503),
)
async def speak(request: web.Request, body: ClauseWanted) -> web.StreamResponse:
    """Say one clause as the engine does, with the times of its words: what calls use of a voice in another process.

    Lines: `{"audio": base64 of s16le mono at 24 kHz, "words": [[text, start, end], ...]}` for each piece as it is
    spoken, times in seconds from its start; then `{"done": true}`, or `{"error": {...}}`. Hanging up stops the voice.
    """
    with asked_ticket(request) as ticket:
        return await stream_clause(request, request.app[DESK].voice, body, ticket)


def whole_file(audio: bytes, speech: Speech) -> web.Response:
    """A file with its length and its duration."""
    headers = {
        "Content-Type": CONTENT_TYPES[speech.format],
        "X-Morgan-Duration": f"{speech.duration_s:.3f}",
        **speech_headers(speech),
    }
    return web.Response(body=audio, headers=headers)
