"""A text to speech engine of a package of its own: every word is a tone, the longer the word the longer the tone.

Morgan finds it by the entry point in pyproject.toml, and loads it with `MORGAN_TTS_ENGINE=chime`. An engine keeps one
of the protocols in `pipeline.engines.protocols`: its methods run on the event loop and never block it; work is done in
a `pipeline.scheduling.lanes.Lane`, which orders it by who waits for it, over all engines.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Literal

import numpy as np

from pipeline.audio import SPEECH_RATE
from pipeline.engines.protocols import SpeechChunk, Voice, Word
from pipeline.plugins.engine_plugin import EngineHost, EngineOptions, EnginePlugin
from pipeline.scheduling.lanes import Lane, Ticket

SECONDS_PER_LETTER = 0.06


class ChimeOptions(EngineOptions):
    """Set by `MORGAN_ENGINE_OPTIONS='{"chime": {"pitch_hz": 330}}'`.

    Attributes:
        pitch_hz: of the first word; each further word is a semitone higher.
        lanes: clauses at once; None: as many as cores. Filled from `MORGAN_TTS_LANES`.
    """

    pitch_hz: float = 440.0
    lanes: int | None = None


class Chime:
    """Chimes behind `pipeline.engines.protocols.TextToSpeech`.

    Args:
        pitch_hz: of the first word.
        lanes: clauses that are spoken at the same time.
    """

    name = "chime"
    kind: Literal["in-process", "remote"] = "in-process"
    model = "tones"
    voices = (Voice("chime", "Chime", "en", "chime"),)
    default_voice = "chime"

    def __init__(self, pitch_hz: float, lanes: int) -> None:
        self._pitch_hz = pitch_hz
        self.lane = Lane(self.name, workers=lanes)

    def synthesize(
        self, text: str, ticket: Ticket, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncIterator[SpeechChunk]:
        """One chunk for each word.

        Raises:
            ValueError: unknown voice.
        """
        if voice not in (None, "chime"):
            raise ValueError(f"unknown voice {voice!r}; known is chime")
        return self.lane.stream(lambda: self._chunks(text, speed), ticket)

    def _chunks(self, text: str, speed: float) -> Iterator[SpeechChunk]:
        for number, word in enumerate(text.split()):
            seconds = (len(word) + 1) * SECONDS_PER_LETTER / speed
            times = np.arange(int(seconds * SPEECH_RATE)) / SPEECH_RATE
            tone = np.sin(2 * np.pi * self._pitch_hz * 2 ** (number / 12) * times) * np.exp(-4 * times / seconds)
            yield SpeechChunk((tone * 8000).astype(np.int16), (Word(word, 0.0, seconds),))

    async def warm_up(self) -> None:
        """Nothing is loaded late."""

    async def close(self) -> None:
        """Stop the lane."""
        await self.lane.aclose()


def _build(options: ChimeOptions, host: EngineHost) -> Chime:
    return Chime(options.pitch_hz, options.lanes or host.lanes)


PLUGIN = EnginePlugin("chime", "tts", ChimeOptions, _build)
