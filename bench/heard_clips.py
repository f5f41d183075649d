"""Each clip through the engine as it lies, and through the reference: beam 5 on full 30 s windows of the same model."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.real_clips import RealClip
from pipeline.audio import HEARING_RATE, Waveform
from pipeline.engines.protocols import SpeechToText
from pipeline.engines.stt.hallucination import clean_transcript
from pipeline.scheduling.lanes import Ticket, Urgency

SHORT_S: Final = 1.5
"""Shorter clips may leave their language open, so that they are heard a second time with a prior."""

BEAM: Final = 5


@dataclass(slots=True)
class Took:
    """What a piece of work took.

    Attributes:
        wall_s: seconds on the clock.
        cpu_s: seconds of processor time, all threads of this process together; a busy machine disturbs it less.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(slots=True)
class Version:
    """What one way of hearing made of a clip.

    Attributes:
        text: the words, inventions taken out.
        language: that it was taken for.
        took: the time of it.
    """

    text: str = ""
    language: str = ""
    took: Took = field(default_factory=Took)


@dataclass(slots=True)
class Heard:
    """A clip and what was made of it.

    Attributes:
        clip: this one.
        engine: by the engine, without a word about the language.
        reference: by beam 5 on 30 s windows, without a word about the language either.
        with_prior: by the engine, told which language to expect; None for clips that are not short.
    """

    clip: RealClip
    engine: Version
    reference: Version
    with_prior: Version | None = None

    @property
    def versions(self) -> list[Version]:
        """Those of the engine."""
        return [self.engine, *([self.with_prior] if self.with_prior else [])]


@contextmanager
def timed(took: Took) -> Iterator[None]:
    """Measure a block."""
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield
    finally:
        took.wall_s, took.cpu_s = time.perf_counter() - wall, time.process_time() - cpu


class Reference:
    """faster-whisper as published: beam 5, windows of 30 s, one thread.

    Without what only makes it slower: its temperature fallback, its timestamps, and encoding the first window twice,
    once to detect the language and once to hear.

    Args:
        folder: of the model.
        compute_type: of CTranslate2.
    """

    def __init__(self, folder: Path, compute_type: str = "int8") -> None:
        from faster_whisper import WhisperModel

        self._model: Any = WhisperModel(str(folder), device="cpu", compute_type=compute_type, cpu_threads=1)
        self._encode = self._model.encode
        self._encoded: list[Any] = []
        self._model.encode = self._encode_once

    def hear(self, audio: Waveform) -> Version:
        """Transcribe 16 kHz audio, shape (n,)."""
        version = Version()
        with timed(version.took):
            segments, found = self._model.transcribe(
                audio, beam_size=BEAM, temperature=0.0, without_timestamps=True, condition_on_previous_text=False
            )
            version.text = " ".join(segment.text.strip() for segment in segments)
        version.language = found.language
        self._encoded.clear()
        return version

    def _encode_once(self, features: Any) -> Any:
        """The first window comes twice, the second time without its last frame (10 ms)."""
        again = len(self._encoded) == 1
        self._encoded.append(self._encoded[0] if again else self._encode(features))
        return self._encoded[-1]


async def hear_with(engine: SpeechToText, audio: Waveform, prior: str | None = None) -> Version:
    """Transcribe as a committed turn is, and take out what is not believed, as a call does."""
    version = Version()
    with timed(version.took):
        transcript = await engine.transcribe(audio, Ticket(Urgency.FINAL_TRANSCRIPT), prior=prior)
    version.text, version.language = clean_transcript(transcript), transcript.language
    return version


async def hear_all(
    clips: list[RealClip],
    engine: SpeechToText,
    reference: Reference,
    told: Callable[[int, RealClip], None] = lambda _number, _clip: None,
) -> list[Heard]:
    """All clips by both, one after the other, first the one and then the other first, so that noise hits both.

    Args:
        clips: which.
        engine: what hears in calls.
        reference: what it is compared with.
        told: called before each clip.
    """
    await engine.warm_up()
    reference.hear(np.zeros(HEARING_RATE, np.float32))
    heard = []
    for number, clip in enumerate(clips):
        told(number, clip)
        audio = read_clip(clip)
        if number % 2:
            by_reference = reference.hear(audio)
            by_engine = await hear_with(engine, audio)
        else:
            by_engine = await hear_with(engine, audio)
            by_reference = reference.hear(audio)
        each = Heard(clip, by_engine, by_reference)
        if clip.spoken and clip.seconds < SHORT_S:
            each.with_prior = await hear_with(engine, audio, clip.language)
        heard.append(each)
    return heard


def read_clip(clip: RealClip) -> Waveform:
    """The clip at 16 kHz, shape (n,)."""
    from faster_whisper.audio import decode_audio

    return np.asarray(decode_audio(str(clip.path), sampling_rate=HEARING_RATE), np.float32)
