"""What was said once is not synthesised again: a cache in front of the voice, behind the same protocol.

A call looks only into process memory, for a database may take longer than the voice; work that nobody hears live (a
request of a service) asks the database too. What is new is handed to the journal behind the call's back.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Literal
from uuid import UUID

import numpy as np
import structlog

from persistence.cache.tts_cache import TtsCache, tts_key
from persistence.values import TtsGeneration
from pipeline.audio import SPEECH_RATE
from pipeline.call.reply.voice_choice import VoiceChoice
from pipeline.engines.protocols import EngineError, SpeechChunk, TextToSpeech, Voice, Word
from pipeline.scheduling.lanes import LaneClosedError, LaneFullError, Ticket, Urgency
from server.memory.door import MemoryDoor
from server.settings import Settings
from server.speech.clauses import clauses
from server.version import version

FORMAT = "clause"
"""`tts_generations.format` of a clause: s16le mono at `SPEECH_RATE`, as an engine gave it."""

PREFETCH_S = 120.0
"""Most seconds that a clause which is made ahead is waited for; everything else goes before it."""

log = structlog.get_logger(__name__)


class CachedSpeech:
    """A voice that remembers, behind `pipeline.engines.protocols.TextToSpeech`.

    Args:
        engine: the voice.
        version: of the engine and its weights: speech of another version is not found.
        cache: the cache of speech, None while there is no memory (everything is then made anew).
        conversation_id: whose replies are said, so that they go when the conversation goes; None for what belongs to
            nobody.
        keeps: whether what is new is kept.
        own: what is at hand whatever becomes of the voice and the memory, by key: the clauses of `prefetch`.
    """

    def __init__(
        self,
        engine: TextToSpeech,
        version: str,
        cache: Callable[[], TtsCache | None],
        conversation_id: UUID | None = None,
        keeps: bool = True,
        own: dict[str, SpeechChunk] | None = None,
    ) -> None:
        self.name = engine.name
        self.kind: Literal["in-process", "remote"] = engine.kind
        self.model = engine.model
        self.voices: Sequence[Voice] = engine.voices
        self.default_voice = engine.default_voice
        self.engine = engine
        self.version = version
        self._cache = cache
        self._conversation_id = conversation_id
        self._keeps = keeps
        self._own = {} if own is None else own

    def __getattr__(self, name: str) -> Any:
        # What else an engine offers, such as its lane, is seen through the cache.
        return getattr(self.engine, name)

    async def warm_up(self) -> None:
        """Warm the voice up, past the cache."""
        await self.engine.warm_up()

    async def close(self) -> None:
        """Close the voice."""
        await self.engine.close()

    def of(self, conversation_id: str) -> "CachedSpeech":
        """The same voice and cache, for the replies of one conversation."""
        return CachedSpeech(self.engine, self.version, self._cache, UUID(conversation_id), own=self._own)

    def without_keeping(self) -> "CachedSpeech":
        """The same voice and cache for who keeps the whole of what is said, and not each clause."""
        return CachedSpeech(self.engine, self.version, self._cache, keeps=False, own=self._own)

    @property
    def cache(self) -> TtsCache | None:
        """Where speech is kept; None while there is no memory."""
        return self._cache()

    def key(self, text: str, voice: str, audio_format: str, speed: float) -> str:
        """The key under which a piece of speech is kept."""
        return tts_key(text, voice, audio_format, speed, self.version)

    def synthesize(
        self, text: str, ticket: Ticket, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncIterator[SpeechChunk]:
        """Say a clause or a sentence, from memory where it was said before; word times come with it either way.

        Raises:
            ValueError: unknown voice or speed.
        """
        own = self._own.get(self.key(text, voice or self.default_voice, FORMAT, speed))
        if own is not None:
            return _one(own)
        cache = self._cache()
        if cache is None:
            return self.engine.synthesize(text, ticket, voice=voice, speed=speed)
        return self._from(cache, text, ticket, voice or self.default_voice, speed)

    async def prefetch(self, texts: Iterable[str | tuple[str, str | None]]) -> None:
        """Have the clauses of some texts at hand from now on, be the voice or the memory gone by then.

        What fails here is made when it is needed.

        Args:
            texts: as they are written, such as the greeting; with a language (ISO 639-1), in a voice of that.
        """
        cache = self._cache()
        recalled = 0 if cache is None else await cache.recall_most_used()
        voices = VoiceChoice(self.voices, self.default_voice)
        asked = [(each, None) if isinstance(each, str) else each for each in texts]
        said = [
            (spoken, voice)
            for text, language in asked
            for voice in (voices.speaking(language),)
            for spoken in clauses(text, voices.prepared_in(voice, language))
        ]
        try:
            for spoken, voice in said:
                async with asyncio.timeout(PREFETCH_S):
                    speech = self.synthesize(spoken, Ticket(Urgency.BACKGROUND), voice=voice)
                    chunks = [chunk async for chunk in speech]
                if chunks:
                    key = self.key(spoken, voice or self.default_voice, FORMAT, 1.0)
                    self._own[key] = _chunk(_generation(key, spoken, voice or self.default_voice, chunks))
        except (EngineError, LaneFullError, LaneClosedError, TimeoutError) as error:
            log.warning("speech not prefetched", problem=str(error) or "the voice gives no sign")
        log.info("speech at hand", recalled=recalled, prefetched=len(said))

    async def _from(
        self, cache: TtsCache, text: str, ticket: Ticket, voice: str, speed: float
    ) -> AsyncGenerator[SpeechChunk, None]:
        key = self.key(text, voice, FORMAT, speed)
        waits = ticket.urgency is Urgency.BACKGROUND
        found = await cache.get(key) if waits else cache.remembered(key)
        if found is not None:
            yield _chunk(found)
            return
        chunks: list[SpeechChunk] = []
        async with aclosing(self.engine.synthesize(text, ticket, voice=voice, speed=speed)) as speech:  # type: ignore[type-var]
            async for chunk in speech:
                chunks.append(chunk)
                yield chunk
        if chunks and self._keeps and not ticket.cancelled:
            cache.put(_generation(key, text, voice, chunks), self._conversation_id)


def cached_speech(settings: Settings, tts: TextToSpeech, memory: MemoryDoor) -> CachedSpeech:
    """The voice with the cache in front of it."""
    made_by = f"{tts.name} {tts.model} {settings.tts_base_url or ''} morgan {version()}"
    return CachedSpeech(tts, made_by, lambda: memory.memory.tts if memory.memory else None)


async def _one(chunk: SpeechChunk) -> AsyncGenerator[SpeechChunk, None]:
    yield chunk


def _chunk(kept: TtsGeneration) -> SpeechChunk:
    return SpeechChunk(np.frombuffer(kept.audio, "<i2"), tuple(Word(*word) for word in kept.words))


def _generation(key: str, text: str, voice: str, chunks: Sequence[SpeechChunk]) -> TtsGeneration:
    """The chunks as one piece, words counted from its start."""
    words: list[tuple[str, float, float]] = []
    at = 0.0
    for chunk in chunks:
        words += [(word.text, at + word.start, at + word.end) for word in chunk.words]
        at += len(chunk.pcm) / SPEECH_RATE
    audio = np.concatenate([chunk.pcm for chunk in chunks]).astype("<i2").tobytes()
    return TtsGeneration(key, text, voice, FORMAT, SPEECH_RATE, round(at * 1000), audio, tuple(words))
