"""One turn in recordings: what the user said goes through transcription, language model and voice."""

import time
from dataclasses import dataclass
from uuid import UUID

import structlog

from persistence.conversation_log import ConversationLog
from persistence.errors import InvalidTextError
from persistence.values import AudioTranscription
from pipeline.call.reply.voice_choice import VoiceChoice
from server.conversations.generation import FAILURES, no_answer
from server.conversations.written_turn import WrittenTurn
from server.http.errors import ApiError
from server.speech.formats import AudioFormat
from server.speech.speech import Speech, SpeechDesk, SpeechOrder
from server.transcription.transcriber import Transcription, segment_json

log = structlog.get_logger(__name__)

SESSION = "audio"
"""Transcriptions of turns that came as files belong to this session, which is none that streams."""


@dataclass(slots=True)
class SpokenReply:
    """What came of a turn.

    Attributes:
        audio: the reply as a file.
        speech: how it was spoken.
        stages: milliseconds of each, in order.
    """

    audio: bytes
    speech: Speech
    stages: dict[str, float]


def heard(done: Transcription) -> str:
    """The words of a recording.

    Raises:
        ApiError: 422, there are none.
    """
    text = done.text.strip()
    if not text:
        message = f"No words were heard in these {done.duration_s:.1f} s of audio; nothing was answered or kept"
        if done.unclear:
            message = f"Somebody speaks in these {done.duration_s:.1f} s of audio, but no words could be made out"
        raise ApiError(422, "nothing_heard", message, {"unclear": done.unclear})
    return text


async def answer(turn: WrittenTurn) -> None:
    """Let the language model answer.

    Raises:
        ApiError: 400 more than it can read, 503 it cannot.
    """
    try:
        async for _ in turn.reply():
            pass
    except FAILURES as error:
        raise no_answer(error) from None


async def speak(turn: WrittenTurn, desk: SpeechDesk, voice: str | None, audio_format: AudioFormat) -> SpokenReply:
    """Say the reply.

    Raises:
        ApiError: 503, the voice cannot, or there is nothing to say; the details hold what was written.
    """
    began = time.monotonic()
    chosen = VoiceChoice(desk.tts.voices, desk.tts.default_voice, voice).speaking(turn.language)
    order = SpeechOrder(turn.text, chosen, audio_format, 1.0, UUID(turn.conversation_id), turn.language)
    try:
        speech = await desk.open(order)
        first = time.monotonic()
        audio = await speech.whole()
    except ApiError as error:
        written = {"text": turn.text, "conversation_id": turn.conversation_id, "message_id": turn.message_id}
        raise ApiError(503, "not_spoken", f"The reply could not be spoken: {error.message}", written) from None
    stages = {"tts_first_audio": first - began, "tts": time.monotonic() - began}
    return SpokenReply(audio, speech, {name: round(seconds * 1000, 1) for name, seconds in stages.items()})


def keep(writer: ConversationLog | None, turn: WrittenTurn, done: Transcription, model: str) -> None:
    """Write down where the words of a turn came from."""
    if writer is None:
        return
    try:
        writer.transcription(
            AudioTranscription(
                SESSION,
                done.text,
                done.language,
                done.confidence,
                round(done.duration_s * 1000),
                model,
                turn.turn_id,
                done.sha256,
                tuple(segment_json(segment) for segment in done.segments),
            )
        )
    except InvalidTextError as error:
        log.warning("a transcription is not kept", problem=str(error), conversation_id=turn.conversation_id)
