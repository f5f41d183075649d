"""Engines with somebody who looks at how they do: each behind its own protocol, so that every door is counted."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Generic, Literal, TypeVar

from pipeline.audio import Waveform
from pipeline.engines.llm.words_only import WordsOnly
from pipeline.engines.protocols import (
    ChatDelta,
    ChatRequest,
    Engine,
    Engines,
    LanguageModel,
    SpeechChunk,
    SpeechToText,
    TextEmbedder,
    TextToSpeech,
    Transcript,
    TurnDetector,
    VoiceActivityDetector,
    VoiceStream,
    asked_of_tools,
)
from pipeline.scheduling.lanes import Ticket
from server.engines.watch import EngineWatch, Watches

E = TypeVar("E", bound=Engine)


class _Watched(Generic[E]):
    """What all have in common; anything else that an engine offers is handed through."""

    def __init__(self, engine: E, watch: EngineWatch) -> None:
        self._engine = engine
        self._watch = watch

    @property
    def name(self) -> str:
        """Of the engine; another one may take its place (`ReplaceableLanguageModel`)."""
        return self._engine.name

    @property
    def kind(self) -> Literal["in-process", "remote"]:
        """Where it works."""
        return self._engine.kind

    @property
    def model(self) -> str:
        """Name of its model."""
        return self._engine.model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def warm_up(self) -> None:
        """Warm the engine up: its first piece of work."""
        began = time.monotonic()
        with self._watch.working():
            await self._engine.warm_up()
        self._watch.warmed_up(time.monotonic() - began)

    async def close(self) -> None:
        """Close the engine."""
        await self._engine.close()


class _WatchedStream:
    def __init__(self, stream: VoiceStream, watch: EngineWatch) -> None:
        self._stream = stream
        self._watch = watch

    def probability(self, window: Waveform) -> float:
        with self._watch.working() as work:
            found = self._stream.probability(window)
            work.result()
        return found

    def reset(self) -> None:
        self._stream.reset()


class WatchedVad(_Watched[VoiceActivityDetector]):
    """Times each window."""

    def open_stream(self) -> VoiceStream:
        """See `VoiceActivityDetector`."""
        return _WatchedStream(self._engine.open_stream(), self._watch)


class WatchedTurnDetector(_Watched[TurnDetector]):
    """Times each question."""

    async def completeness(self, audio: Waveform, ticket: Ticket) -> float:
        """See `TurnDetector`."""
        with self._watch.working(ticket) as work:
            score = await self._engine.completeness(audio, ticket)
            work.result()
        return score


class WatchedSpeechToText(_Watched[SpeechToText]):
    """Times each transcription."""

    async def transcribe(self, audio: Waveform, ticket: Ticket, **options: Any) -> Transcript:
        """See `SpeechToText`."""
        with self._watch.working(ticket) as work:
            transcript = await self._engine.transcribe(audio, ticket, **options)
            work.result()
        return transcript


class WatchedLanguageModel(_Watched[LanguageModel]):
    """Times each reply to its first token, and lets nothing out of it but words and the tools that it may ask for."""

    def __init__(self, engine: LanguageModel, watch: EngineWatch) -> None:
        super().__init__(engine, watch)
        self._words = WordsOnly()

    async def stream(self, request: ChatRequest, ticket: Ticket) -> AsyncIterator[ChatDelta]:
        """See `LanguageModel`."""
        with self._watch.working(ticket) as work:
            async with aclosing(self._engine.stream(request, ticket)) as deltas:  # type: ignore[type-var]
                async for delta in self._words.of(deltas):
                    work.result()
                    yield replace(delta, tool_calls=asked_of_tools(request, delta.tool_calls))

    async def prefill(self, request: ChatRequest, ticket: Ticket) -> None:
        """See `LanguageModel`."""
        with self._watch.working(ticket):
            await self._engine.prefill(request, ticket)


class WatchedTextToSpeech(_Watched[TextToSpeech]):
    """Times each clause to its first audio."""

    def __init__(self, engine: TextToSpeech, watch: EngineWatch) -> None:
        super().__init__(engine, watch)
        self.voices = engine.voices
        self.default_voice = engine.default_voice

    async def synthesize(self, text: str, ticket: Ticket, **options: Any) -> AsyncIterator[SpeechChunk]:
        """See `TextToSpeech`."""
        with self._watch.working(ticket) as work:
            async with aclosing(self._engine.synthesize(text, ticket, **options)) as chunks:  # type: ignore[type-var]
                async for chunk in chunks:
                    work.result()
                    yield chunk


class WatchedEmbedder(_Watched[TextEmbedder]):
    """Times each batch."""

    def __init__(self, engine: TextEmbedder, watch: EngineWatch) -> None:
        super().__init__(engine, watch)
        self.dimensions = engine.dimensions

    async def embed(self, texts: Sequence[str], ticket: Ticket) -> list[list[float]]:
        """See `TextEmbedder`."""
        with self._watch.working(ticket) as work:
            vectors = await self._engine.embed(texts, ticket)
            work.result()
        return vectors


_WRAPPERS: dict[str, Callable[[Any, EngineWatch], Engine]] = {
    "vad": WatchedVad,
    "turn": WatchedTurnDetector,
    "stt": WatchedSpeechToText,
    "llm": WatchedLanguageModel,
    "tts": WatchedTextToSpeech,
    "embedder": WatchedEmbedder,
}


def watched(engines: Engines) -> tuple[Engines, Watches]:
    """The same engines, watched, and who watches each."""
    there = engines.all()
    watches = {role: EngineWatch() for role in there}
    wrapped: dict[str, Any] = {
        role: wrap(there[role], watches[role]) for role, wrap in _WRAPPERS.items() if role in there
    }
    return replace(engines, **wrapped), watches
