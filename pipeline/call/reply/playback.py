"""The outgoing audio of one call as its machine knows it: what it has written, and how much of that has gone out.

The one place that knows whether a reply is paused or ducked. What is to be done to the speaker leaves as effects;
where the playout is comes in with every input (`Playhead`). Sans-I/O.
"""

from typing import assert_never

from pipeline.audio import SPEECH_RATE, Pcm
from pipeline.call.effect_queue import EffectQueue
from pipeline.call.effects import (
    AudioEffect,
    DuckAudio,
    FinishAudio,
    FlushAudio,
    PauseAudio,
    ResumeAudio,
    WriteAudio,
)
from pipeline.call.inputs import Playhead
from pipeline.call.ports import Speaker


class Playback:
    """Positions count samples at 24 kHz of written audio since the call began.

    Args:
        outbox: takes the effects.

    Attributes:
        written: position at which the next written sample will lie.
        paused: the queue is held, ready to go on.
        gain: loudness, 1 being full.
    """

    def __init__(self, outbox: EffectQueue) -> None:
        self.written = 0
        self.paused = False
        self.gain = 1.0
        self._out = outbox
        self._head = Playhead()

    def follow(self, head: Playhead) -> None:
        """Take in where the playout is now."""
        self._head, self.written = head, head.written

    @property
    def position(self) -> int:
        """Samples that have gone out."""
        return self._head.position

    @property
    def waiting(self) -> int:
        """Samples that have not gone out yet."""
        return self.written - self.position

    @property
    def dry(self) -> bool:
        """Whether all that was written has gone out."""
        return self.waiting <= 0

    @property
    def cut(self) -> int:
        """Position at which the sound ends if it is flushed now."""
        return self.position + min(self._head.tail, self.waiting)

    def reached(self, position: int) -> int:
        """What has reached the user's ear when the playout is at a position: all of it while the audio is paused."""
        return position if self.paused else position - int(self._head.delay_s * SPEECH_RATE)

    def write(self, pcm: Pcm) -> int:
        """Queue audio; returns the position of its first sample."""
        start = self.written
        self._out.do(WriteAudio(pcm, start))
        self.written += len(pcm)
        return start

    def finish(self) -> None:
        """Say that the utterance is complete."""
        self._out.do(FinishAudio())

    def flush(self) -> None:
        """Drop what waits; what comes next is neither paused nor ducked."""
        self._out.do(FlushAudio())
        self.written = self.cut
        self._head = self._head._replace(tail=self.waiting)
        self.paused = False
        self.duck(1.0)

    def pause(self) -> None:
        """Hold the queue where it is."""
        self.paused = True
        self._out.do(PauseAudio())

    def resume(self, at: int | None = None) -> None:
        """Go on after a pause, from there or from a position up to 2 s before it, to which the playout falls back."""
        self._out.do(ResumeAudio(at))
        if at is not None:
            self._head = self._head._replace(position=min(at, self.position))
        self.paused = False

    def duck(self, gain: float) -> None:
        """Change the loudness."""
        if gain != self.gain:
            self.gain = gain
            self._out.do(DuckAudio(gain))


def playhead(speaker: Speaker, delay_s: float) -> Playhead:
    """Where a speaker is now; see `Playhead` for the delay."""
    return Playhead(speaker.position, speaker.written, speaker.tail, delay_s)


def play(effect: AudioEffect, speaker: Speaker) -> None:
    """Do to a speaker what a call wants done to it."""
    match effect:
        case WriteAudio():
            speaker.write(effect.pcm)
        case FinishAudio():
            speaker.finish()
        case FlushAudio():
            speaker.flush()
        case PauseAudio():
            speaker.pause()
        case ResumeAudio():
            speaker.resume(effect.at)
        case DuckAudio():
            speaker.duck(effect.gain)
        case _:
            assert_never(effect)
