"""`/v1/audio/speech`: speech as OpenAI's clients ask for it (https://platform.openai.com/docs/api-reference/audio)."""

import base64
from contextlib import aclosing
from typing import Annotated, Literal

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from server.bounds import MAX_SPEECH_BODY
from server.http.operation import Answer, operation
from server.http.sse import EVENT_STREAM, event, open_events
from server.speech.formats import CONTENT_TYPES, AudioFormat
from server.speech.requests import FAILED, Speed, VoiceName, stream_audio
from server.speech.speech import DESK, Speech, SpeechOrder
from server.v1.model_name import ModelName

routes = web.RouteTableDef()

log = structlog.get_logger(__name__)


class CustomVoice(BaseModel):
    """A voice by its id, as OpenAI writes those that users have made."""

    model_config = ConfigDict(extra="forbid")

    id: VoiceName


class SpeechRequest(BaseModel):
    """A text to say."""

    model_config = ConfigDict(extra="ignore")

    model: ModelName = None
    input: Annotated[str, Field(min_length=1)]
    voice: VoiceName | CustomVoice | None = Field(None, description="The default voice, where none is named.")
    instructions: Annotated[
        str | None, Field(max_length=8_000, description="Accepted; the loaded voices follow none.")
    ] = None
    response_format: AudioFormat | None = "mp3"
    speed: Speed | None = 1.0
    stream_format: Literal["audio", "sse"] | None = "audio"

    def order(self) -> SpeechOrder:
        """What the desk is asked for."""
        voice = self.voice.id if isinstance(self.voice, CustomVoice) else self.voice
        return SpeechOrder(self.input, voice, self.response_format or "mp3", self.speed or 1.0)


@routes.post("/v1/audio/speech")
@operation(
    "openai",
    scope="speech",
    cost="work",
    body=SpeechRequest,
    body_limit=MAX_SPEECH_BODY,
    answers={200: Answer("The speech, as it is spoken", content=(*CONTENT_TYPES.values(), EVENT_STREAM))},
    errors=(400, 413, 422, 503),
)
async def create_speech(request: web.Request, body: SpeechRequest) -> web.StreamResponse:
    """Say a text, as audio or as server-sent events with audio in them, from the first clause on."""
    speech = await request.app[DESK].open(body.order())
    if body.stream_format == "sse":
        return await _stream_events(request, speech, body)
    return await stream_audio(request, speech)


async def _stream_events(request: web.Request, speech: Speech, body: SpeechRequest) -> web.StreamResponse:
    response = await open_events(request)
    try:
        async with aclosing(speech.pieces()) as pieces:
            async for piece in pieces:
                await response.write(event({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()}))
        await response.write(event({"type": "speech.audio.done", "usage": _usage(speech, body)}))
        await response.write_eof()
    except ConnectionError:
        log.info("the client left before the speech was over")
    except FAILED as error:
        log.warning("speech broken off", problem=str(error))
        failure = {"code": "tts_failed", "message": "The voice failed in the middle", "type": "server_error"}
        await response.write(event({"type": "error", "error": failure}))
    return response


def _usage(speech: Speech, body: SpeechRequest) -> dict[str, int]:
    """There are no tokens here: words in, and tenths of a second of audio out."""
    words, tenths = len(body.input.split()), round(speech.duration_s * 10)
    return {"input_tokens": words, "output_tokens": tenths, "total_tokens": words + tenths}
