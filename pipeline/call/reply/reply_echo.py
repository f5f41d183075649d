"""The echo of a reply in the user's audio: what was played when a window was said, and whether that is all there is."""

import math

from pipeline.audio import SPEECH_RATE
from pipeline.call.clocks import CaptureClock, PlayoutLine
from pipeline.call.inputs import VoiceHeard
from pipeline.call.reply.echo import EchoGuard
from pipeline.call.reply.playback import Playback
from pipeline.call.reply.reply import Reply
from pipeline.call.turn_taking.config import WINDOW_S


class ReplyEcho:
    """Finds the echo of one call.

    Args:
        playback: the outgoing audio.
    """

    def __init__(self, playback: Playback) -> None:
        self._playback = playback
        self._guard = EchoGuard()
        self._clock = CaptureClock()
        self._line = PlayoutLine()

    def note(self, now: float) -> None:
        """Take in where the playout is now; called every 20 to 30 ms."""
        self._line.note(now, self._playback.position)

    def hear(self, voice: VoiceHeard, reply: Reply | None, now: float) -> bool:
        """Take in a window of the user's audio; whether there is only the echo of the reply in it.

        Args:
            voice: the window; every one has to be shown.
            reply: the one in hand.
            now: monotonic time.
        """
        self.note(now)
        end = self._clock.time(voice.end, voice.at)
        begin, until = self._line.position(end - WINDOW_S), self._line.position(end)
        played = 0.0 if reply is None else reply.sound.energy(begin, until) / (WINDOW_S * SPEECH_RATE)
        return self._guard.hear(voice.loudness, self._playback.gain * math.sqrt(played))
