"""Speech for HTTP routes: clause by clause as it is spoken, or out of the cache as a whole."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import structlog
from aiohttp import web

from persistence.values import TtsGeneration
from pipeline.audio import SPEECH_RATE, Pcm
from pipeline.call.reply.voice_choice import VoiceChoice
from pipeline.engines.protocols import EngineError, TextToSpeech
from pipeline.scheduling.lanes import Lane, LaneClosedError, LaneFullError, Ticket, Urgency
from pipeline.text.scripts import unspoken
from server.bounds import MAX_KEPT_SPEECH, MAX_TEXT
from server.http.errors import ApiError
from server.speech.cache import CachedSpeech
from server.speech.clauses import clauses
from server.speech.formats import AudioFormat, AvEncoder, Encoder, RawEncoder, wav_header
from server.speech.voices import resolve_voice

CHUNK = 16 * 1024
"""Bytes of a piece at most."""

AHEAD = 4
"""Pieces of speech that are synthesised ahead of a client that reads slowly; then the voice waits."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SpeechOrder:
    """What is to be said.

    Attributes:
        text: as it is written.
        voice: an id or a known name, None for the default.
        format: of the audio.
        speed: 1 is natural; 0.25 to 4.
        conversation_id: whose words they are, so that they go from the cache when it goes; None for those of none.
        language: of the text, ISO 639-1; asked for only where the voice tells none of its own.
    """

    text: str
    voice: str | None
    format: AudioFormat
    speed: float
    conversation_id: UUID | None = None
    language: str | None = None


@dataclass(slots=True)
class Speech:
    """A text that is being said, or was said before.

    Attributes:
        voice: id of the voice that speaks.
        format: of the file.
        cached: whether it comes from the cache.
        samples: at `SPEECH_RATE`; known once `pieces` is through, or from the start when cached.
        source: the file in pieces of any size.
        size: bytes of the file, known when cached.
    """

    voice: str
    format: AudioFormat
    cached: bool
    samples: int = 0
    source: AsyncGenerator[bytes, None] | None = None
    size: int | None = None

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The audio file in pieces of at most `CHUNK` bytes; closing it, or cancelling the task, stops the voice.

        Raises:
            EngineError, LaneFullError, LaneClosedError: the voice failed in the middle.
        """
        assert self.source is not None
        async with aclosing(self.source) as source:
            async for piece in source:
                for start in range(0, len(piece), CHUNK):
                    yield piece[start : start + CHUNK]

    async def whole(self) -> bytes:
        """The audio file.

        Raises:
            ApiError: 503, the voice failed in the middle.
        """
        try:
            file = b"".join([piece async for piece in self.pieces()])
        except (EngineError, LaneFullError, LaneClosedError) as error:
            raise _cannot(error) from None
        if self.format != "wav":
            return file
        # How long it is was not known when its header was made.
        samples = file[len(wav_header(None)) :]
        return wav_header(len(samples)) + samples

    @property
    def duration_s(self) -> float:
        """Seconds of speech so far."""
        return self.samples / SPEECH_RATE


class SpeechDesk:
    """Takes orders for speech.

    Its work is `Urgency.BACKGROUND`: a call's words always go first.

    Args:
        tts: the voice; with a cache in front of it, repeated texts come from there.

    Attributes:
        voice: the same for clauses of texts that are kept as a whole, or not at all.
    """

    def __init__(self, tts: TextToSpeech) -> None:
        self.tts = tts
        self._cached = tts if isinstance(tts, CachedSpeech) else None
        self.voice: TextToSpeech = self._cached.without_keeping() if self._cached else tts
        self._lane = Lane("encode", capacity=256)

    async def close(self) -> None:
        """Stop the thread that encodes."""
        await self._lane.aclose()

    async def open(self, order: SpeechOrder) -> Speech:
        """Begin to say a text; returns when its first audio is there.

        Raises:
            ApiError: 400 unknown voice, 413 too long, 422 nothing to say, 503 the voice cannot.
        """
        if len(order.text) > MAX_TEXT:
            raise ApiError(413, "text_too_long", f"The text has {len(order.text)} characters; {MAX_TEXT} are possible")
        voice = resolve_voice(order.voice, self.tts.voices, self.tts.default_voice)
        kept = await self._kept(order, voice)
        if kept is not None:
            return kept
        voices = VoiceChoice(self.tts.voices, self.tts.default_voice)
        language = voices.prepared_in(voice, order.language)
        said = clauses(order.text, language)
        speech = Speech(voice, order.format, cached=False)
        try:
            first = await self._next(said)
            if first is None:
                message = "There is nothing in this text that can be spoken; write some words"
                foreign = unspoken(language)
                if foreign and foreign.search(order.text):
                    message = f"The voice {voice!r} speaks {language!r} and has no sounds for the letters of this text"
                raise ApiError(422, "nothing_to_say", message)
            pieces = self._spoken(order, speech, first, said)
            begin = await anext(pieces, b"")
        except (EngineError, LaneFullError, LaneClosedError) as error:
            raise _cannot(error) from None
        if not begin:
            raise ApiError(422, "nothing_to_say", "The voice has no sounds for this text; write some words")
        speech.source = _after(begin, pieces)
        return speech

    # The cache ---------------------------------------------------------------------------------------------------

    async def _kept(self, order: SpeechOrder, voice: str) -> Speech | None:
        """The whole of it, if it was said before."""
        if self._cached is None or self._cached.cache is None:
            return None
        found = await self._cached.cache.get(self._key(self._cached, order, voice))
        if found is None:
            return None
        audio = found.audio if order.format != "wav" else wav_header(len(found.audio)) + found.audio
        return Speech(voice, order.format, True, round(found.duration_ms * SPEECH_RATE / 1000), _one(audio), len(audio))

    def _keep(self, order: SpeechOrder, speech: Speech, audio: bytes) -> None:
        if self._cached is None or self._cached.cache is None:
            return
        self._cached.cache.put(
            TtsGeneration(
                self._key(self._cached, order, speech.voice),
                order.text,
                speech.voice,
                _stored(order.format),
                SPEECH_RATE,
                round(speech.duration_s * 1000),
                audio,
            ),
            order.conversation_id,
        )

    def _key(self, cached: CachedSpeech, order: SpeechOrder, voice: str) -> str:
        return cached.key(order.text, voice, _stored(order.format), order.speed)

    # The voice ---------------------------------------------------------------------------------------------------

    async def _spoken(
        self, order: SpeechOrder, speech: Speech, first: str, said: Iterator[str]
    ) -> AsyncGenerator[bytes, None]:
        """The file, piece by piece as it is spoken and encoded; kept once it is whole."""
        encoder = RawEncoder() if _raw(order.format) else await self._run(lambda: AvEncoder(order.format))
        whole: bytearray | None = bytearray()
        pending = wav_header(None) if order.format == "wav" else b""
        async with aclosing(self._ahead(order, speech.voice, first, said)) as speaking:
            async for pcm in speaking:
                speech.samples += pcm.size
                encoded = await self._encode(encoder, pcm)
                whole = _grown(whole, encoded)
                if encoded:
                    yield pending + encoded
                    pending = b""
        if not speech.samples:
            return
        rest = await self._finish(encoder)
        whole = _grown(whole, rest)
        if whole is not None:
            self._keep(order, speech, bytes(whole))
        if pending + rest:
            yield pending + rest

    async def _ahead(
        self, order: SpeechOrder, voice: str, first: str, said: Iterator[str]
    ) -> AsyncGenerator[Pcm, None]:
        """Samples of the clauses, a few ahead of the response that sends them."""
        ready: asyncio.Queue[Pcm | None] = asyncio.Queue(AHEAD)
        ticket = Ticket(Urgency.BACKGROUND)

        async def say_all() -> None:
            try:
                clause: str | None = first
                while clause is not None:
                    speech = self.voice.synthesize(clause, ticket, voice=voice, speed=order.speed)
                    async with aclosing(speech) as chunks:  # type: ignore[type-var]
                        async for chunk in chunks:
                            await ready.put(chunk.pcm)
                    clause = await self._next(said)
            finally:
                if not ticket.cancelled:
                    await ready.put(None)

        speaking = asyncio.create_task(say_all(), name="speech for a request")
        try:
            while (pcm := await ready.get()) is not None:
                yield pcm
            await speaking
        finally:
            ticket.cancel()
            speaking.cancel()
            with suppress(asyncio.CancelledError, EngineError, LaneFullError, LaneClosedError):
                await speaking

    async def _next(self, said: Iterator[str]) -> str | None:
        """The next clause, cut off the event loop: before one is found, all of a long text may have to be read."""
        return await self._run(lambda: next(said, None))

    async def _encode(self, encoder: Encoder, pcm: Pcm) -> bytes:
        if isinstance(encoder, RawEncoder):
            return encoder.feed(pcm)
        return await self._run(lambda: encoder.feed(pcm))

    async def _finish(self, encoder: Encoder) -> bytes:
        return encoder.finish() if isinstance(encoder, RawEncoder) else await self._run(encoder.finish)

    async def _run(self, work: Callable[[], T]) -> T:
        return await self._lane.run(work, Ticket(Urgency.BACKGROUND))


DESK: web.AppKey[SpeechDesk] = web.AppKey("speech_desk", SpeechDesk)


def _raw(audio_format: AudioFormat) -> bool:
    return audio_format in ("wav", "pcm")


def _stored(audio_format: AudioFormat) -> str:
    """The format under which a file is kept: a wav is pcm with a header that says how long it is."""
    return "pcm" if _raw(audio_format) else audio_format


def _grown(whole: bytearray | None, more: bytes) -> bytearray | None:
    """The file so far; None once it is too long to be kept."""
    if whole is None or len(whole) + len(more) > MAX_KEPT_SPEECH:
        return None
    whole += more
    return whole


async def _after(begin: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        if begin:
            yield begin
        async for piece in rest:
            yield piece


async def _one(whole: bytes) -> AsyncGenerator[bytes, None]:
    yield whole


def _cannot(error: Exception) -> ApiError:
    if isinstance(error, LaneFullError):
        return ApiError(503, "busy", "Too many texts wait to be said already", headers={"Retry-After": "2"})
    log.error("no speech for a request", problem=str(error))
    return ApiError(503, "tts_failed", "The voice could not say this", headers={"Retry-After": "2"})
