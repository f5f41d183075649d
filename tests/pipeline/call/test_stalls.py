"""Audio that does not come for a while, and then all at once: what the call makes of it, in virtual time."""

import random
from dataclasses import dataclass

import pytest

from pipeline.audio import HEARING_RATE
from pipeline.call.events import PlaybackStarted, ReplyDone, TranscriptCompleted, TurnCommitted
from pipeline.call.inputs import VoiceHeard
from pipeline.call.turn_taking.config import WINDOW_S
from tests.pipeline.call.simulation import WINDOW, Say, Simulation
from tests.pipeline.call.stalling_call import StallingCall
from tests.thorough import share

QUESTION = Say(1.0, 3.0, "What will the weather be like in Paris tomorrow?")
HALVES = [Say(1.0, 2.0, "What will the weather", score=0.9), Say(2.12, 3.0, "be like in Paris tomorrow?")]


def said(call: Simulation) -> list[str]:
    """The turns as they stand in the end."""
    return [entry.text for entry in call.context.entries if entry.role == "user"]


@pytest.mark.parametrize("seed", range(share(40)))
def test_no_word_of_a_question_is_lost_or_doubled_by_a_stall_of_up_to_two_seconds(seed: int) -> None:
    rng = random.Random(seed)
    begins = rng.uniform(1.0, 3.2)
    call = StallingCall(HALVES, stalls=[(begins, begins + rng.uniform(0.1, 2.0))]).run(14)
    assert said(call) == ["What will the weather be like in Paris tomorrow?"]
    assert call.all(ReplyDone)[-1].status == "completed"


@pytest.mark.parametrize("begins", [1.2, 1.9, 2.06, 2.5])
def test_nobody_is_answered_while_their_audio_stalls(begins: float) -> None:
    call = StallingCall(HALVES, stalls=[(begins, begins + 2.0)]).run(14)
    assert call.sounding(0.0, begins + 2.0) == 0
    assert len(call.all(TurnCommitted)) == 1


def test_a_turn_that_was_over_before_the_stall_ended_is_answered_at_once_behind_it() -> None:
    call = StallingCall([QUESTION], stalls=[(3.05, 4.5)]).run(14)
    assert said(call) == [QUESTION.text]
    assert 4.5 <= call.when(PlaybackStarted) <= 5.0


def test_a_caller_whose_audio_never_comes_again_is_answered_after_a_while() -> None:
    call = StallingCall([QUESTION], stalls=[(3.01, 60.0)]).run(14)
    assert said(call) == [QUESTION.text]
    assert call.when(PlaybackStarted) <= 3.0 + 2.5 + 1.5


@pytest.mark.parametrize("length", [3.5, 5.0, 8.0])
def test_who_was_answered_in_a_long_stall_is_heard_whole_when_it_is_over(length: float) -> None:
    script = [HALVES[0], Say(2.3, 4.3, "be like in Paris tomorrow?")]
    call = StallingCall(script, stalls=[(2.1, 2.1 + length)]).run(30)
    words = " ".join(text for text in said(call))
    assert words == "What will the weather be like in Paris tomorrow?"
    assert call.all(ReplyDone)[-1].status == "completed"


@pytest.mark.parametrize("length", [0.3, 1.0, 2.0])
def test_time_that_a_stall_swallowed_is_not_the_callers_silence(length: float) -> None:
    """The speaker paused before it for long enough that the turn model was asked, and goes on right behind it."""
    until = 2.07 + length
    script = [HALVES[0], Say(until, until + 1.2, "be like in Paris tomorrow?")]
    call = StallingCall(script, swallowed=[(2.08, until)]).run(16)
    assert len(call.all(TurnCommitted)) == 1
    assert [event.text for event in call.all(TranscriptCompleted)] == [
        "What will the weather be like in Paris tomorrow?"
    ]


def test_bursts_of_a_fifth_of_a_second_are_heard_as_steady_speech_is() -> None:
    bursts = [(number * 0.2 + 0.01, number * 0.2 + 0.19) for number in range(80)]
    call = StallingCall(HALVES, stalls=bursts).run(14)
    assert said(call) == ["What will the weather be like in Paris tomorrow?"]
    assert len(call.all(TurnCommitted)) == 1


@dataclass
class FilledCall(Simulation):
    """A WebSocket's stall (from, to): after half a second silence takes the place of what does not come.

    Then all that was held back is heard on top of it, as `media.pcm_intake` hands it on.
    """

    stall: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._held: list[VoiceHeard] = []
        self._line: list[float | None] = []
        self._last_at = 0.0

    def hear(self, end: int) -> list[VoiceHeard]:
        self._held += super().hear(end)
        second = self.now - self.began
        if not self.stall[0] < second < self.stall[1]:
            held, self._held = self._held, []
            return [self._deliver(window, window.end / HEARING_RATE - WINDOW_S / 2) for window in held]
        given = sum(second is None for second in self._line)
        due = [window for window in self._held if window.at <= self.now - 0.5][given:]
        return [self._deliver(window._replace(probability=0.02, levels_db=(-90.0,) * 4), None) for window in due]

    def _deliver(self, window: VoiceHeard, second: float | None) -> VoiceHeard:
        self._line.append(second)
        self._last_at = max(self._last_at, window.at)
        return window._replace(end=len(self._line) * WINDOW, at=self._last_at)

    def _words(self, start: int, end: int) -> str:
        seconds = [second for second in self._line[start // WINDOW : end // WINDOW] if second is not None]
        if not seconds:
            return ""
        return super()._words(
            int((seconds[0] - WINDOW_S / 2) * HEARING_RATE), int((seconds[-1] + WINDOW_S / 2) * HEARING_RATE)
        )


@pytest.mark.parametrize("seed", range(share(40)))
def test_no_word_is_lost_or_doubled_where_silence_stood_in_for_what_came_later(seed: int) -> None:
    rng = random.Random(seed)
    begins = rng.uniform(1.0, 3.2)
    call = FilledCall(HALVES, stall=(begins, begins + rng.uniform(0.3, 2.0))).run(16)
    assert " ".join(said(call)) == "What will the weather be like in Paris tomorrow?"
    assert call.all(ReplyDone)[-1].status == "completed"
