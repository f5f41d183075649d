"""A voice behind an OpenAI-compatible server."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import soxr

from pipeline.audio import SPEECH_RATE, Pcm
from pipeline.engines.protocols import SpeechChunk, Voice
from pipeline.engines.remote.openai_connection import LOADING_S, Endpoint, OpenAiConnection, next_piece
from pipeline.scheduling.lanes import Ticket

_SMALLEST_CHUNK = 960


class OpenAiSpeech(OpenAiConnection):
    """A voice behind `pipeline.engines.protocols.TextToSpeech`.

    Args:
        endpoint: where the server is.
        model: its name there.
        voices: ids that the server knows; the first is the default.
        language: of the voices, ISO 639-1, for their description.
        rate: of the server's PCM, Hz (OpenAI's is 24 kHz); resampled where it differs from `SPEECH_RATE`.

    Raises:
        ValueError: no voice is named.
    """

    def __init__(
        self, endpoint: Endpoint, model: str, voices: Sequence[str], *, language: str = "en", rate: int = SPEECH_RATE
    ) -> None:
        if not voices:
            raise ValueError("name one voice at least")
        super().__init__(endpoint, model)
        self.voices: Sequence[Voice] = tuple(Voice(voice, voice, language, self.name) for voice in voices)
        self.default_voice = voices[0]
        self._rate = rate

    def synthesize(
        self, text: str, ticket: Ticket, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncIterator[SpeechChunk]:
        """Say a clause or a sentence; chunks come as the server sends them, without word times.

        Raises:
            ValueError: unknown voice.
            EngineError: the server cannot be reached, refuses, falls silent, breaks off or sends something else.
        """
        known = [each.id for each in self.voices]
        if voice is not None and voice not in known:
            raise ValueError(f"unknown voice {voice!r}; known are {', '.join(known)}")
        return self._chunks(text, ticket, voice or self.default_voice, speed)

    async def warm_up(self) -> None:
        """Say a word; a server that has to load the model first is given two minutes."""
        async for _ in self._chunks("Ready.", Ticket(), self.default_voice, 1.0, patience_s=LOADING_S):
            pass

    async def _chunks(
        self, text: str, ticket: Ticket, voice: str, speed: float, patience_s: float | None = None
    ) -> AsyncIterator[SpeechChunk]:
        if ticket.cancelled or not any(character.isalnum() for character in text):
            return
        wait = patience_s or self.endpoint.first_timeout_s
        speech = self.client.audio.speech.with_streaming_response
        options: dict[str, Any] = {"model": self.model, "voice": voice, "input": text, "speed": speed}
        with self.place():
            async with contextlib.AsyncExitStack() as stack:
                response = await self.opened(
                    lambda: stack.enter_async_context(speech.create(**options, response_format="pcm")), wait, ticket
                )
                if response is None:
                    return
                assembler = _PcmAssembler(self._rate)
                pieces = aiter(response.iter_bytes())
                while (piece := await next_piece(pieces, wait, ticket)) is not None and not ticket.cancelled:
                    wait = self.endpoint.next_timeout_s
                    pcm = assembler.feed(piece)
                    if pcm.size:
                        yield SpeechChunk(pcm)
                if not ticket.cancelled and (rest := assembler.finish()).size:
                    yield SpeechChunk(rest)


class _PcmAssembler:
    """Turns network pieces, which may end in the middle of a sample, into samples at `SPEECH_RATE`."""

    def __init__(self, rate: int) -> None:
        self._bytes = bytearray()
        self._seen = False
        self._resampler = None if rate == SPEECH_RATE else soxr.ResampleStream(rate, SPEECH_RATE, 1, dtype="int16")

    def feed(self, piece: bytes) -> Pcm:
        """The samples that are ready now; nothing until 20 ms have come together."""
        self._bytes += piece
        if len(self._bytes) < _SMALLEST_CHUNK:
            return np.zeros(0, np.int16)
        return self._take(last=False)

    def finish(self) -> Pcm:
        """What is left; half a sample at the very end is dropped."""
        return self._take(last=True)

    def _take(self, *, last: bool) -> Pcm:
        if not self._seen and bytes(self._bytes[:4]) in (b"RIFF", b"OggS", b"fLaC", b"ID3\x03", b"ID3\x04"):
            raise ValueError("the server ignores response_format: it sends an audio file, not PCM")
        self._seen = True
        whole = len(self._bytes) // 2 * 2
        samples = np.frombuffer(bytes(self._bytes[:whole]), "<i2").astype(np.int16)
        del self._bytes[:whole]
        if self._resampler is None:
            return samples
        return np.asarray(self._resampler.resample_chunk(samples, last=last), np.int16)
