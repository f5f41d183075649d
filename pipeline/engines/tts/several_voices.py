"""Several engines of speech as one: each voice is spoken by the engine that has it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

from pipeline.engines.protocols import SpeechChunk, TextToSpeech, Voice
from pipeline.scheduling.lanes import Ticket


class SeveralVoices:
    """Engines of speech behind `pipeline.engines.protocols.TextToSpeech`; closes them with itself.

    Args:
        first: its default voice is the default of all; name, model and load shown are its.
        others: their voices can be asked for by id. Of two voices with one id the first wins.
    """

    def __init__(self, first: TextToSpeech, *others: TextToSpeech) -> None:
        self.name = first.name
        self.kind: Literal["in-process", "remote"] = first.kind
        self.model = first.model
        self.default_voice = first.default_voice
        self._first = first
        self._engines = (first, *others)
        self._speakers: dict[str, TextToSpeech] = {}
        for engine in self._engines:
            for voice in engine.voices:
                self._speakers.setdefault(voice.id, engine)
        self.voices: Sequence[Voice] = tuple(
            voice for engine in self._engines for voice in engine.voices if self._speakers[voice.id] is engine
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._first, name)

    def synthesize(
        self, text: str, ticket: Ticket, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncIterator[SpeechChunk]:
        """Say a clause or a sentence in any of the voices.

        Raises:
            ValueError: unknown voice, or a speed that the engine cannot.
        """
        engine = self._first if voice is None else self._speakers.get(voice)
        if engine is None:
            raise ValueError(f"unknown voice {voice!r}; known are {', '.join(self._speakers)}")
        return engine.synthesize(text, ticket, voice=voice, speed=speed)

    async def warm_up(self) -> None:
        """Warm every engine up."""
        await asyncio.gather(*(engine.warm_up() for engine in self._engines))

    async def close(self) -> None:
        """Close every engine."""
        await asyncio.gather(*(engine.close() for engine in self._engines))
