"""The transcript of a recording: its speech, in windows as long as the model takes, as segments with times."""

from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial

from pipeline.audio import HEARING_RATE, Pcm, Waveform
from pipeline.call.user.audio_buffer import AudioBuffer
from pipeline.call.user.voice_meter import SPOKEN_S, VoiceMeter
from pipeline.engines.protocols import SpeechToText, Transcript, VoiceActivityDetector
from pipeline.scheduling.lanes import Lane, Ticket
from pipeline.transcription.segmenter import RECORDING, Segmenter, Span
from pipeline.transcription.segments import Segment, SpokenLanguage, prompt_after, sentences, translates

PIECE_S = 10
"""Audio that is heard at once: each piece is a job of its own, so that long recordings leave room for others."""

PART_S = 3.0
"""Shortest part of a window that may have a language of its own. Parts cost whisper-base 0.77 to 0.91
of the CPU of whole windows (four recordings, 5 s of padding): several short ones are cheaper than one long one."""

ONE_LANGUAGE_PART_S = 8.0
"""The same once there was only one language for long."""

_KEPT_S = 48
"""Longer than a window, its pause and a piece together."""


class RecordingTranscription:
    """Transcribes one recording, holding no more of it than a window.

    Args:
        stt: the engine.
        vad: finds the speech; stretches without it are never transcribed.
        lane: where voice activity is computed.
        ticket: place in all lanes; cancelling it ends the work at the next window.
        language: ISO 639-1 code that all of it is in; None to detect, for each part between two pauses by itself.
        expected: what it is likely to be in; None for no idea.
        prompt: text that came before, for names and style.

    Attributes:
        segments: found until now.
        unclear: whether there was speech whose words could not be made out.
    """

    def __init__(
        self,
        stt: SpeechToText,
        vad: VoiceActivityDetector,
        lane: Lane,
        ticket: Ticket,
        *,
        language: str | None = None,
        expected: str | None = None,
        prompt: str = "",
    ) -> None:
        self.segments: list[Segment] = []
        self.unclear = False
        self._stt = stt
        self._lane = lane
        self._ticket = ticket
        self._prompt = prompt
        self._language = SpokenLanguage(language, expected)
        self._meter = VoiceMeter()
        self._hearing = AudioBuffer(vad.open_stream(), kept_s=_KEPT_S)
        self._segmenter = Segmenter(RECORDING)

    @property
    def duration_s(self) -> float:
        """Audio heard until now, seconds."""
        return self._hearing.end / HEARING_RATE

    @property
    def language(self) -> str | None:
        """The language that most of it is in, as far as known."""
        return self._language.best

    async def run(self, pieces: AsyncIterator[Pcm]) -> AsyncGenerator[Segment, None]:
        """Transcribe; yields segments as their windows are done.

        Args:
            pieces: 16 kHz, shape (n,), at most `PIECE_S` each.

        Raises:
            EngineError, LaneFullError, LaneClosedError: the engine could not.
        """
        async for pcm in pieces:
            for window in await self._lane.run(partial(self._hear, pcm), self._ticket):
                async for segment in self._transcribe(window):
                    yield segment
        last = self._segmenter.finish()
        if last is not None:
            async for segment in self._transcribe(last):
                yield segment

    def _hear(self, pcm: Pcm) -> list[Span]:
        windows = self._hearing.add(pcm, 0.0)
        for window in windows:
            self._meter.hear(window, window.probability)
        return [span for span in map(self._segmenter.hear, windows) if span is not None]

    async def _transcribe(self, window: Span) -> AsyncGenerator[Segment, None]:
        """A window in parts that may each have their language; whole, where the language was asked for."""
        shortest_s = ONE_LANGUAGE_PART_S if self._language.one else PART_S
        for span in [window] if self._language.wanted else window.parted(shortest_s):
            for segment in await self._transcribe_part(span):
                yield segment

    async def _transcribe_part(self, span: Span) -> list[Segment]:
        audio, prior = self._hearing.slice(span.start, span.end), self._language.prior
        prompt = prompt_after(self.segments, self._prompt)
        transcript = await self._ask(audio, self._language.wanted, prior, prompt)
        if self._language.wanted is None and translates(transcript, prior, prompt):
            transcript = await self._ask(audio, transcript.language, None, "")
        found = sentences(transcript, span.start / HEARING_RATE)
        self.segments += found
        self._language.heard(found)
        self.unclear = self.unclear or (not found and self._meter.seconds(span.start, span.end) >= SPOKEN_S)
        return found

    async def _ask(self, audio: Waveform, language: str | None, prior: str | None, prompt: str) -> Transcript:
        return await self._stt.transcribe(
            audio, self._ticket, language=language, prior=prior, prompt=prompt, word_timestamps=True
        )
