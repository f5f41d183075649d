"""A loudspeaker beside the microphone, in virtual time: real speech, real voice activity, the real playout."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from media.playout import Playout
from media.values import PlayoutEvent
from pipeline.audio import HEARING_RATE, SPEECH_RATE, Pcm
from pipeline.call.effects import AskTurnModel, Synthesize, Transcribe
from pipeline.call.events import PlaybackCleared, ReplyDone
from pipeline.call.inputs import PieceEnded, PieceSpoken, UserTyped, VoiceHeard
from pipeline.call.state import State
from pipeline.call.user.audio_buffer import AudioBuffer
from pipeline.engines.protocols import SpeechChunk, Transcript, VoiceActivityDetector
from pipeline.engines.vad.silero import SileroVad
from server.testing.virtual_call import VirtualCall

FRAME = SPEECH_RATE // 50


class Loudspeaker(Playout):
    """A playout that keeps what went out."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[Pcm] = []

    def next_frame(self, now: float) -> tuple[Pcm | None, list[PlayoutEvent]]:
        pcm, changes = super().next_frame(now)
        self.frames.append(np.zeros(FRAME, np.int16) if pcm is None else pcm)
        return pcm, changes


@dataclass(kw_only=True)
class LeakingCall(VirtualCall):
    """A call in which the user types, and hears the answer from a loudspeaker beside the microphone.

    Attributes:
        vad: the real one.
        voice: what every reply sounds like, 24 kHz.
        gain_db: of the echo.
        delay_frames: from a frame's going out to its echo.
    """

    vad: VoiceActivityDetector
    voice: Pcm
    gain_db: float = -25.0
    delay_frames: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        self.loudspeaker = Loudspeaker()
        self.playout = self.loudspeaker
        self._hearing = AudioBuffer(self.vad.open_stream())
        self._resampler = soxr.ResampleStream(SPEECH_RATE, HEARING_RATE, 1, dtype="int16")
        self._room = np.random.default_rng(1)

    def hear(self, end: int) -> list[VoiceHeard]:
        frames = self.loudspeaker.frames
        late = frames[-self.delay_frames] if len(frames) >= self.delay_frames else np.zeros(FRAME, np.int16)
        leak = late * 10 ** (self.gain_db / 20) + self._room.normal(0, 4, FRAME)
        return self._hearing.add(
            self._resampler.resample_chunk(leak.astype(np.int16)), self.now, echo=self.machine.state is State.SPEAKING
        )

    def transcript(self, work: Transcribe) -> Transcript:
        return Transcript("words that were meant", "en", duration=(work.end - work.start) / HEARING_RATE)

    def score(self, work: AskTurnModel) -> float:
        return 0.95

    def _synthesize(self, work: Synthesize) -> None:
        self._at(0.05, PieceSpoken(work.reply, work.piece, SpeechChunk(self.voice)), work.group)
        self._at(0.05, PieceEnded(work.reply, work.piece), work.group)


@pytest.fixture
def voice(repository: Path) -> Pcm:
    clips = [
        soundfile.read(repository / "tests" / "clips" / f"{name}.wav", dtype="int16")
        for name in ("order", "question", "interruption")
    ]
    return np.concatenate([soxr.resample(samples, rate, SPEECH_RATE) for samples, rate in clips])


@pytest.mark.parametrize("delay_frames", [3, 5, 15])
def test_a_reply_is_not_disturbed_by_its_echo(models_dir: Path, voice: Pcm, delay_frames: int) -> None:
    vad = SileroVad(models_dir / "silero-vad-v6")
    call = LeakingCall(vad=vad, voice=voice, reply="Words.", delay_frames=delay_frames)
    call.connect()
    for _ in range(2):
        call.post(UserTyped("Speak."))
        call.advance(len(voice) / SPEECH_RATE + 2)
    assert [event.status for event in call.all(ReplyDone)] == ["completed"] * 2
    assert call.all(PlaybackCleared) == []
    assert call.machine.counts["ducked"] == 0
    assert call.machine.counts["turns"] == 2
