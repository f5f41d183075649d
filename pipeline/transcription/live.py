"""The transcript of a stream as it grows: which audio is to be transcribed when, and what is known of the words."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.audio import HEARING_RATE, Pcm, Waveform
from pipeline.call.user.audio_buffer import AudioBuffer
from pipeline.call.user.voice_meter import SPOKEN_S, VoiceMeter
from pipeline.engines.protocols import Transcript, VoiceStream
from pipeline.engines.stt.hallucination import clean_transcript
from pipeline.text.agreement import LocalAgreement
from pipeline.transcription.segmenter import LIVE, Segmenter, Span
from pipeline.transcription.segments import Segment, SpokenLanguage, one_segment, prompt_after, whole_text

KEPT_S = 64
"""Audio that is kept; more than what may wait to be transcribed (`MAX_BACKLOG_S` and a chunk)."""

RELEASED_BEHIND_S = 2
"""Audio that is not needed any more is released so much later: another thread may be reading what was, a moment ago."""

MAX_CHUNK_S = 30
"""Audio that `hear` takes at once."""

MAX_BACKLOG_S = 30
"""With more than this waiting to be transcribed, no more should be taken in."""

INTERIM_EVERY_S = 0.5
"""New audio that makes another interim transcript worth while."""

INTERIM_SHARE = 3
"""The pause between two interim transcripts is so many times what the last one took: they slow down under load."""


@dataclass(frozen=True, slots=True)
class Work:
    """A piece of audio to transcribe.

    Attributes:
        kind: "final" for a stretch that is over, "interim" for one that still grows.
        span: which audio.
        audio: 16 kHz, shape (n,).
        language: ISO 639-1 code, None to detect.
        prior: the one that is expected; None for none.
        prompt: the text before it.
    """

    kind: Literal["final", "interim"]
    span: Span
    audio: Waveform
    language: str | None
    prior: str | None
    prompt: str


class LiveTranscription:
    """One stream. Pure: no clock, no tasks; `hear` costs CPU (0.1 ms for each 32 ms of audio) and may run in a thread.

    Args:
        voice: the stream's voice activity.
        language: ISO 639-1 code, None to detect, for each stretch by itself.
        expected: what the first one is likely to be in; None for no idea.
        begins_at: number of the first sample that will be heard.
        past: segments that are final already, when a stream is taken up again,
        unclear: and whether there was speech that is in none of them.

    Attributes:
        segments: that are final.
        unclear: whether there was speech whose words could not be made out.
    """

    def __init__(
        self,
        voice: VoiceStream,
        *,
        language: str | None = None,
        expected: str | None = None,
        begins_at: int = 0,
        past: Sequence[Segment] = (),
        unclear: bool = False,
    ) -> None:
        self.segments = list(past)
        self.unclear = unclear
        self._meter = VoiceMeter()
        self._hearing = AudioBuffer(voice, kept_s=KEPT_S, begins_at=begins_at)
        self._segmenter = Segmenter(LIVE, begins_at)
        self._language = SpokenLanguage(language, expected)
        self._language.heard(self.segments)
        self._waiting: deque[tuple[Span, str]] = deque()
        self._agreement = LocalAgreement()
        self._interim_until = begins_at
        self._interim_asked = 0.0
        self._next_interim = 0.0

    @property
    def end(self) -> int:
        """Samples heard since the beginning."""
        return self._hearing.end

    @property
    def is_speech(self) -> bool:
        """Whether somebody is speaking."""
        return self._segmenter.speaking

    @property
    def language(self) -> str | None:
        """The language that most of it is in, as far as known."""
        return self._language.best

    @property
    def stable(self) -> str:
        """The text of the whole stream so far: final segments, and what interim transcripts agree on."""
        drafts = [draft for _, draft in self._waiting]
        return " ".join(part for part in (whole_text(self.segments), *drafts, self._confirmed) if part)

    @property
    def unstable(self) -> str:
        """Words behind that which may still change."""
        return " ".join(self._agreement.pending)

    @property
    def memory(self) -> int:
        """Bytes that the audio takes."""
        return self._hearing.memory

    @property
    def needed_from(self) -> int:
        """Audio before this sample is not needed any more."""
        return self._waiting[0][0].start if self._waiting else self._segmenter.needed_from

    @property
    def settled(self) -> bool:
        """Whether nothing waits to be transcribed."""
        return not self._waiting and self._segmenter.open_since is None

    @property
    def backlog_s(self) -> float:
        """Audio of ended stretches that is not transcribed yet, seconds."""
        return (self.end - self._waiting[0][0].start) / HEARING_RATE if self._waiting else 0.0

    def hear(self, pcm: Pcm) -> None:
        """Take in audio: 16 kHz, shape (n,), at most 30 s."""
        for begin in range(0, len(pcm), HEARING_RATE):
            self._hearing.release(self.needed_from - RELEASED_BEHIND_S * HEARING_RATE)
            for window in self._hearing.add(pcm[begin : begin + HEARING_RATE], 0.0):
                self._meter.hear(window, window.probability)
                span = self._segmenter.hear(window)
                if span is not None:
                    self._ended(span)

    def finish(self) -> None:
        """The stream is over: the stretch that is under way ends here."""
        span = self._segmenter.finish()
        if span is not None:
            self._ended(span)

    def kept(self, start: int) -> Pcm:
        """The audio from a sample on, as far as it is kept."""
        return (self._hearing.slice(start, self.end) * np.float32(32768)).astype(np.int16)

    def has_final_work(self) -> bool:
        """Whether a stretch that is over waits."""
        return bool(self._waiting)

    def next_work(self, now: float) -> Work | None:
        """What is to be transcribed next; ended stretches first, in order.

        Args:
            now: monotonic seconds.
        """
        if self._waiting:
            return self._work("final", self._waiting[0][0])
        start = self._segmenter.open_since
        if start is None or now < self._next_interim:
            return None
        if self.end - max(self._interim_until, start) < INTERIM_EVERY_S * HEARING_RATE:
            return None
        self._interim_until, self._interim_asked = self.end, now
        return self._work("interim", Span(start, self.end))

    def settle(self, work: Work, transcript: Transcript | None, now: float) -> None:
        """Take in a transcript; None when an interim one came to nothing."""
        if work.kind == "final":
            if transcript is None or not self._waiting or self._waiting[0][0] != work.span:
                raise ValueError("a final transcript belongs to the first stretch that waits")
            self._waiting.popleft()
            added = one_segment(transcript, round(work.span.start / HEARING_RATE, 3))
            self.segments += added
            spoken = self._meter.seconds(work.span.start, work.span.end) >= SPOKEN_S
            self.unclear = self.unclear or (spoken and not added)
            self._language.heard(added)
            return
        self._next_interim = now + INTERIM_SHARE * (now - self._interim_asked)
        # Interim transcripts are heard once only: what is doubted ("X? X? X?") is not shown, the next one tells.
        if transcript is None or transcript.doubted:
            return
        if work.span.start == self._segmenter.open_since:
            self._agreement.push(clean_transcript(transcript).split())

    @property
    def _confirmed(self) -> str:
        return " ".join(self._agreement.confirmed)

    def _ended(self, span: Span) -> None:
        self._waiting.append((span, self._confirmed))
        self._agreement.reset()

    def _work(self, kind: Literal["final", "interim"], span: Span) -> Work:
        audio = self._hearing.slice(span.start, span.end)
        return Work(kind, span, audio, self._language.wanted, self._language.prior, prompt_after(self.segments))
