"""The transcript of a recording: its speech, in windows as long as the model takes, as segments with times."""

from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial

from pipeline.audio import HEARING_RATE, Pcm
from pipeline.call.hearing import Hearing
from pipeline.engines.protocols import SpeechToText, VoiceActivityDetector
from pipeline.lanes import Lane, Ticket
from pipeline.transcription.segmenter import RECORDING, Segmenter, Span
from pipeline.transcription.segments import Segment, SpokenLanguage, prompt_after, sentences

PIECE_S = 10
"""Audio that is heard at once: each piece is a job of its own, so that long recordings leave room for others."""

_KEPT_S = 48
"""Longer than a window, its pause and a piece together."""


class RecordingTranscription:
    """Transcribes one recording, holding no more of it than a window.

    Args:
        stt: the engine.
        vad: finds the speech; stretches without it are never transcribed.
        lane: where voice activity is computed.
        ticket: place in all lanes; cancelling it ends the work at the next window.
        language: ISO 639-1 code, None to detect.
        prompt: text that came before, for names and style.

    Attributes:
        segments: found until now.
    """

    def __init__(
        self,
        stt: SpeechToText,
        vad: VoiceActivityDetector,
        lane: Lane,
        ticket: Ticket,
        *,
        language: str | None = None,
        prompt: str = "",
    ) -> None:
        self.segments: list[Segment] = []
        self._stt = stt
        self._lane = lane
        self._ticket = ticket
        self._prompt = prompt
        self._language = SpokenLanguage(language)
        self._hearing = Hearing(vad.open_stream(), kept_s=_KEPT_S)
        self._segmenter = Segmenter(RECORDING)

    @property
    def duration_s(self) -> float:
        """Audio heard until now, seconds."""
        return self._hearing.end / HEARING_RATE

    @property
    def language(self) -> str | None:
        """The language as far as known."""
        return self._language.best

    async def run(self, pieces: AsyncIterator[Pcm]) -> AsyncGenerator[Segment, None]:
        """Transcribe; yields segments as their windows are done.

        Args:
            pieces: 16 kHz, shape (n,), at most `PIECE_S` each.

        Raises:
            EngineError, LaneFullError, LaneClosedError: the engine could not.
        """
        async for pcm in pieces:
            for span in await self._lane.run(partial(self._hear, pcm), self._ticket):
                for segment in await self._transcribe(span):
                    yield segment
        last = self._segmenter.finish()
        if last is not None:
            for segment in await self._transcribe(last):
                yield segment

    def _hear(self, pcm: Pcm) -> list[Span]:
        windows = self._hearing.add(pcm, 0.0)
        return [span for span in map(self._segmenter.hear, windows) if span is not None]

    async def _transcribe(self, span: Span) -> list[Segment]:
        transcript = await self._stt.transcribe(
            self._hearing.slice(span.start, span.end),
            self._ticket,
            language=self._language.for_engine,
            prompt=prompt_after(self.segments, self._prompt),
            word_timestamps=True,
        )
        found = sentences(transcript, span.start / HEARING_RATE)
        self.segments += found
        self._language.heard(found)
        return found
