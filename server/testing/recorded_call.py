"""A recording in a call in virtual time: what is heard comes from the real models, when from the clock of the call.

The models run ahead of the call, so that a minute of it takes a few seconds and the same comes out on a busy machine.
What they said is kept by what they were asked, and a second call over the same recording asks little that is new.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import soundfile
import soxr

from pipeline.audio import HEARING_RATE, Pcm, Waveform, to_pcm
from pipeline.call.effects import AskTurnModel, Transcribe
from pipeline.call.inputs import VoiceHeard
from pipeline.call.user.audio_buffer import KEPT_S, AudioBuffer
from pipeline.engines.protocols import SpeechToText, Transcript, TurnDetector, VoiceActivityDetector
from pipeline.scheduling.lanes import Ticket
from server.testing.virtual_call import FRAME_SAMPLES, Delays, VirtualCall

LEAD_S = 0.5
"""Quiet before a recording begins."""

TAIL_S = 4.0
"""Quiet after its end, longer than the policy ever waits."""

LONGEST_S = KEPT_S - LEAD_S - TAIL_S
"""Longer recordings do not fit into what a call keeps."""

NOISE = 4.0
"""Standard deviation of the quiet in 16-bit steps, as in `server.client.caller_audio.Microphone`."""

JUDGED_S = 8
"""The turn model hears no more than this."""

MEASURED = Delays(stt=0.07, stt_per_s=0.033, turn=0.05, llm_first=0.06, llm_token=0.008, tts=0.05)
"""Of whisper-base (105 ms for 1.9 s of speech, 311 ms for 7.6 s), Smart Turn, SmolLM2 and Piper in a call, rounded."""

Result = TypeVar("Result")


class RecordingError(Exception):
    """A recording cannot be read; the message says what to do."""


def read_recording(path: Path) -> Waveform:
    """A recording at 16 kHz mono, shape (n,).

    Raises:
        RecordingError: it is not there, or not audio.
    """
    if not path.is_file():
        raise RecordingError(
            f"There is no {path.name} in {path.parent}. Name the folder with the recordings: --audio FOLDER, or "
            "MORGAN_SHARED_AUDIO."
        )
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise RecordingError(f"{path} cannot be read as audio: {error}") from None
    return np.asarray(soxr.resample(samples.mean(axis=1), rate, HEARING_RATE), np.float32)


class Recording:
    """A recording, and what the models say about it when asked from outside of any event loop.

    Args:
        audio: at 16 kHz, shape (n,).
        vad: voice activity.
        turn: end of turn.
        stt: speech to text.

    Attributes:
        length_s: its seconds.

    Raises:
        RecordingError: it is too long.
    """

    def __init__(self, audio: Waveform, vad: VoiceActivityDetector, turn: TurnDetector, stt: SpeechToText) -> None:
        self.length_s = len(audio) / HEARING_RATE
        if self.length_s > LONGEST_S:
            raise RecordingError(f"The recording takes {self.length_s:.0f} s; at most {LONGEST_S:.0f} s are played.")
        self._turn, self._stt = turn, stt
        self._runner = asyncio.Runner()
        self._hearing = AudioBuffer(vad.open_stream())
        self._windows = self._listen(_with_quiet(audio))
        self._scores: dict[tuple[int, int], float] = {}
        self._transcripts: dict[tuple[int, int, str | None, str], Transcript] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.close()

    def _listen(self, pcm: Pcm) -> dict[int, list[VoiceHeard]]:
        frames = range(FRAME_SAMPLES, len(pcm) + 1, FRAME_SAMPLES)
        return {end: self._hearing.add(pcm[end - FRAME_SAMPLES : end], end / HEARING_RATE) for end in frames}

    def windows(self, end: int) -> list[VoiceHeard]:
        """The windows that were complete when sample `end` had come; times in seconds of the call."""
        return self._windows.get(end, [])

    def all_windows(self) -> list[VoiceHeard]:
        """Every window, in order."""
        return [window for windows in self._windows.values() for window in windows]

    @staticmethod
    def second(at: float) -> float:
        """Second of the recording at a second of the call."""
        return at - LEAD_S

    def score(self, start: int, end: int) -> float:
        """What the turn model says of these samples."""
        key = (max(start, end - JUDGED_S * HEARING_RATE), end)
        if key not in self._scores:
            self._scores[key] = self._ask(self._turn.completeness(self._hearing.slice(*key), Ticket()))
        return self._scores[key]

    def transcript(self, start: int, end: int, language: str | None, prior: str | None, prompt: str) -> Transcript:
        """What is said in these samples."""
        key = (start, end, prior, prompt)
        if key not in self._transcripts:
            audio = self._hearing.slice(start, end)
            asked = self._stt.transcribe(audio, Ticket(), language=language, prior=prior, prompt=prompt)
            self._transcripts[key] = self._ask(asked)
        return self._transcripts[key]

    def _ask(self, question: Coroutine[Any, Any, Result]) -> Result:
        return self._runner.run(question)


def _with_quiet(audio: Waveform) -> Pcm:
    """The recording with quiet around it."""
    noise = np.random.default_rng(1)
    lead, tail = (noise.normal(0, NOISE / 32768, round(s * HEARING_RATE)) for s in (LEAD_S, TAIL_S))
    return to_pcm(np.concatenate([lead, audio, tail]).astype(np.float32))


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer of the turn model.

    Attributes:
        at: second of the recording up to which it was to judge.
        score: completeness, 0 to 1.
    """

    at: float
    score: float


@dataclass
class RecordedCall(VirtualCall):
    """A call in which a recording is played to the machine.

    Attributes:
        judged: what the turn model said, in order.
    """

    recording: Recording

    def __post_init__(self) -> None:
        super().__post_init__()
        self.judged: list[Judged] = []

    def play(self) -> Self:
        """The whole recording, and the quiet after it."""
        self.connect()
        self.advance(LEAD_S + self.recording.length_s + TAIL_S)
        return self

    def hear(self, end: int) -> list[VoiceHeard]:
        return [window._replace(at=self.began + window.at) for window in self.recording.windows(end)]

    def score(self, work: AskTurnModel) -> float | None:
        score = self.recording.score(work.start, work.end)
        self.judged.append(Judged(self.recording.second(self.now - self.began), score))
        return score

    def transcript(self, work: Transcribe) -> Transcript | None:
        return self.recording.transcript(work.start, work.end, work.language, work.prior, work.prompt)
