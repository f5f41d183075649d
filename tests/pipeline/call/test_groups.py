"""Numbers and spellings said in groups, as answers to Morgan's own questions, in virtual time."""

import pytest

from pipeline.call.context import Entry
from pipeline.call.events import PlaybackStarted, TranscriptCompleted, TurnCommitted
from pipeline.call.options import CallOptions
from tests.pipeline.call.simulation import Delays, Say, Simulation

SLOW = Delays(stt=0.5, turn=0.16, llm_first=0.2, tts=0.12)


def asked(question: str, script: list[Say], delays: Delays | None = None) -> Simulation:
    """A call in which Morgan has just asked something."""
    call = Simulation(script, delays=delays or Delays(), options=CallOptions(greeting=question), speech_s_per_char=0.01)
    return call.run(16)


@pytest.mark.parametrize("delays", [Delays(), SLOW], ids=["fast", "slow"])
@pytest.mark.parametrize("pause_s", [1.0, 1.5])
def test_a_telephone_number_in_groups_is_one_turn(delays: Delays, pause_s: float) -> None:
    """The turn model hears an end behind every group."""
    first, second = Say(2.0, 3.0, "5 5 5"), Say(3.0 + pause_s, 4.2 + pause_s, "1 2 3 4 5 6 7")
    call = asked("What is your number?", [first, second], delays)
    assert [event.text for event in call.all(TranscriptCompleted)] == ["5 5 5 1 2 3 4 5 6 7"]
    assert call.sounding(2.0, second.end) == 0


def test_a_spelled_name_in_groups_is_one_turn() -> None:
    call = asked("How do you spell that?", [Say(2.0, 3.0, "K A"), Say(4.3, 5.2, "T E")])
    assert [event.text for event in call.all(TranscriptCompleted)] == ["K A T E"]
    assert len(call.all(TurnCommitted)) == 1


def test_a_whole_number_is_answered_at_once() -> None:
    call = asked("What is your number?", [Say(2.0, 4.5, "5 5 5 1 2 3 4 5 6 7")])
    assert call.when(PlaybackStarted, 1) - 4.5 < 0.45


@pytest.mark.parametrize("question", ["How many people?", "Pick a number between one and ten."])
def test_a_number_with_a_natural_end_is_answered_at_once(question: str) -> None:
    call = asked(question, [Say(2.0, 2.5, "nine.")])
    assert call.when(PlaybackStarted, 1) - 2.5 < 0.45


def test_letters_that_spell_what_was_said_before_are_all_of_it() -> None:
    script = [Say(2.0, 3.5, "K A T E")]
    call = Simulation(script, options=CallOptions(greeting="How do you spell Kate?"), speech_s_per_char=0.01).run(10)
    assert call.when(PlaybackStarted, 1) - 3.5 < 0.45


def test_a_question_of_long_ago_does_not_make_an_answer_slow() -> None:
    call = Simulation([Say(2.0, 2.5, "5 5")])
    call.context.add(Entry("a", "assistant", "What is your number?"))
    call.context.add(Entry("b", "user", "555 123 4567"))
    call.context.add(Entry("c", "assistant", "Thank you. How many people?"))
    call.run(10)
    assert call.when(PlaybackStarted) - 2.5 < 0.45
