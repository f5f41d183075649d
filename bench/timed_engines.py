"""A server whose transcription, language model and voice take a set time and no processor.

    python -m bench.timed_engines serve --port 8000 ...

Takes what `morgan serve` takes. With real models on two cores, how long an answer takes varies by more than what is
asked of it: here everything else is real (media, turn-taking, routes, memory), and what remains is what that costs.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Literal
from unittest.mock import patch

import numpy as np

from pipeline.audio import SPEECH_RATE, Waveform
from pipeline.engines.protocols import ChatDelta, ChatRequest, Engines, SpeechChunk, Transcript, Voice
from pipeline.scheduling.lanes import Ticket
from server.cli.main import app
from server.engines.factory import build_engines
from server.settings import Settings

STT_S = 0.08
FIRST_TOKEN_S = 0.06
TOKEN_S = 0.01
FIRST_SOUND_S = 0.05

QUESTION = "What is the weather like today?"
REPLY = "{} is the number of this answer, and the sky cannot be seen from here."
"""Never the same, or the voice's cache would spare memory what it costs."""


class _Timed:
    kind: Literal["in-process", "remote"] = "in-process"
    model = "timed"

    def __init__(self, name: str) -> None:
        self.name = name

    async def warm_up(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to give back."""


class TimedStt(_Timed):
    """Hears the same question in everything."""

    async def transcribe(
        self,
        audio: Waveform,
        ticket: Ticket,
        *,
        language: str | None = None,
        prior: str | None = None,
        prompt: str = "",
        word_timestamps: bool = False,
        retry: bool = True,
    ) -> Transcript:
        """See `pipeline.engines.protocols.SpeechToText`."""
        await asyncio.sleep(STT_S)
        return Transcript(QUESTION, language or "en", duration=len(audio) / 16_000)


class TimedLlm(_Timed):
    """Counts its answers."""

    calls_tools = False

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._answers = itertools.count(1)

    async def stream(self, request: ChatRequest, ticket: Ticket) -> AsyncIterator[ChatDelta]:
        """See `pipeline.engines.protocols.LanguageModel`."""
        await asyncio.sleep(FIRST_TOKEN_S)
        words = REPLY.format(next(self._answers)).split(" ")
        for number, word in enumerate(words):
            yield ChatDelta(word if number == 0 else f" {word}")
            await asyncio.sleep(TOKEN_S)
        yield ChatDelta("", finish_reason="stop", completion_tokens=len(words))

    async def prefill(self, request: ChatRequest, ticket: Ticket) -> None:
        """Nothing to read."""


class TimedTts(_Timed):
    """Hums for as long as the words would take."""

    voices: Sequence[Voice] = (Voice("timed", "Timed", "en", "timed"),)
    default_voice = "timed"

    async def synthesize(
        self, text: str, ticket: Ticket, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncIterator[SpeechChunk]:
        """See `pipeline.engines.protocols.TextToSpeech`."""
        await asyncio.sleep(FIRST_SOUND_S)
        seconds = 0.06 * len(text) / speed
        at = np.arange(round(seconds * SPEECH_RATE)) / SPEECH_RATE
        yield SpeechChunk((3000 * np.sin(2 * np.pi * 220 * at)).astype(np.int16))


def build_timed_engines(settings: Settings, loaded: Callable[[str], None] = lambda role: None) -> Engines:
    """The real engines, with the three slow ones replaced."""
    return replace(
        build_engines(settings, loaded),
        stt=TimedStt("timed-stt"),
        llm=TimedLlm("timed-llm"),
        tts=TimedTts("timed-tts"),
    )


def main() -> None:
    """Command line: that of `morgan`."""
    with patch("server.cli.serve.build_engines", build_timed_engines):
        app()


if __name__ == "__main__":
    main()
