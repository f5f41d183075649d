"""Plain samples both ways: sound begins at once and goes on by the clock."""

from collections.abc import Callable

import numpy as np

from media.audio_sender import Due
from media.pcm_link import PcmLink
from media.values import AudioFrame, Pcm, PlayoutChange, PlayoutEvent

FRAME = 480


class Listener:
    def __init__(self) -> None:
        self.changes: list[PlayoutChange] = []

    def on_audio(self, frame: AudioFrame) -> None:
        pass

    def on_playout(self, event: PlayoutEvent) -> None:
        self.changes.append(event.change)


class Line:
    """A link without a clock or a loop of its own."""

    def __init__(self, lead_frames: int = 0) -> None:
        self.sent: list[Pcm] = []
        self.soon: list[Callable[[], None]] = []
        self.listener = Listener()
        self.link = PcmLink(self.listener, self.sent.append, self.soon.append, 0.0, lead_frames=lead_frames)

    def say(self, frames: int) -> None:
        self.link.playout.write(np.full(frames * FRAME, 1000, np.int16))
        self.link.playout.finish()

    def loop(self) -> None:
        while self.soon:
            self.soon.pop(0)()

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self.link.tick(Due(frames=1, skipped=0), 0.0)


def test_sound_that_begins_does_not_wait_for_the_clock_and_goes_on_by_it() -> None:
    line = Line()
    line.ticks(3)
    line.say(6)
    assert line.sent == [], "who writes may not be called back in the midst of it"
    line.loop()
    assert len(line.sent) == 1
    assert line.listener.changes == [PlayoutChange.STARTED]
    line.ticks(3)
    assert len(line.sent) == 4
    line.say(2)
    line.loop()
    assert len(line.sent) == 4, "what follows other sound is not sent ahead of it"
    line.ticks(10)
    assert sum(len(pcm) for pcm in line.sent) == 8 * FRAME
    line.say(1)
    line.loop()
    assert line.listener.changes.count(PlayoutChange.STARTED) == 2


def test_a_lead_is_taken_with_the_first_frame_alone() -> None:
    line = Line(lead_frames=5)
    line.say(20)
    line.loop()
    assert len(line.sent) == 6
    line.ticks(2)
    assert len(line.sent) == 8


def test_nothing_begins_on_a_line_that_was_closed() -> None:
    line = Line()
    line.say(6)
    line.link.close()
    line.loop()
    assert line.sent == []
