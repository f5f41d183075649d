"""A language model that hangs, or gives a word now and then: nobody waits in silence for more than five seconds."""

import pytest

from pipeline.call.events import CallFault, PlaybackStarted, ReplyDone
from pipeline.call.options import CallOptions
from tests.pipeline.call.simulation import Delays, Say, Simulation

QUESTION = Say(1.0, 2.8, "What is the weather in Paris?")
NEXT = Say(40.0, 41.8, "And what is it like in Rome?")
WAIT = "Sorry, this is taking me a moment."
WITHIN_S = 5.0


def call(seconds: float = 38, **delays: float | None) -> Simulation:
    options = CallOptions(delay_apology=WAIT)
    return Simulation([QUESTION, NEXT], options=options, delays=Delays(**delays)).run(seconds)  # type: ignore[arg-type]


def test_one_that_hangs_is_apologised_for_and_given_up_and_the_next_turn_works() -> None:
    done = call(llm_first=None)
    assert done.when(PlaybackStarted) < QUESTION.end + WITHIN_S
    said = [event.text for event in done.all(ReplyDone)]
    assert said == [f"{WAIT} {done.options.apology}"]
    assert [event.code for event in done.all(CallFault)] == ["healed", "no_reply"]
    done.delays = Delays()
    done.run(20)
    assert done.all(ReplyDone)[-1].text == done.reply


def test_one_that_fails_after_a_while_says_so_in_the_same_reply() -> None:
    late = Simulation(
        [QUESTION], options=CallOptions(delay_apology=WAIT), delays=Delays(llm_first=8.0), fail=frozenset({"llm"})
    ).run(38)
    assert late.when(PlaybackStarted) < QUESTION.end + WITHIN_S
    assert [event.text for event in late.all(ReplyDone)] == [f"{WAIT} {late.options.apology}"]


def test_one_that_is_late_answers_behind_the_apology() -> None:
    done = call(llm_first=7.0)
    assert done.when(PlaybackStarted) < QUESTION.end + WITHIN_S
    assert [event.text for event in done.all(ReplyDone)] == [f"{WAIT} {done.reply}"]
    assert not done.all(CallFault)


@pytest.mark.parametrize("pause_s", [1.4, 2.0, 3.0])
def test_words_that_come_one_by_one_are_said_one_by_one(pause_s: float) -> None:
    done = call(llm_first=pause_s, llm_token=pause_s, seconds=39)
    assert done.when(PlaybackStarted) < QUESTION.end + WITHIN_S
    assert done.all(ReplyDone)[0].text.startswith("It")
    done.delays = Delays()
    done.run(20)
    assert done.all(ReplyDone)[-1].text == done.reply


def test_one_that_is_in_time_is_not_apologised_for() -> None:
    done = call(llm_first=2.5)
    assert [event.text for event in done.all(ReplyDone)] == [done.reply]
