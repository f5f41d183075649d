"""A language model that thinks before it speaks."""

from pipeline.call.events import CallFault, PlaybackStarted, ReplyDone, ReplyTextDelta
from pipeline.call.options import CallOptions
from pipeline.call.state import State
from tests.pipeline.call.simulation import Delays, Say, Simulation

QUESTION = Say(1.0, 2.8, "What is the weather in Paris?")
NEXT = Say(40.0, 41.8, "And what is it like in Rome?")
FILLER = "One moment."


def call(thinking: float, seconds: float = 40, filler: str = FILLER, **more: object) -> Simulation:
    options = CallOptions(tool_filler=filler, filler_after_s=1.0)
    return Simulation([QUESTION, NEXT], options=options, delays=Delays(thinking=thinking, **more)).run(seconds)  # type: ignore[arg-type]


def test_a_short_thought_is_not_heard_of() -> None:
    done = call(0.8)
    assert [event.text for event in done.all(ReplyDone)] == [done.reply]


def test_a_long_thought_gets_a_filler_within_two_seconds_of_the_last_word() -> None:
    done = call(6.0)
    assert done.when(PlaybackStarted) < QUESTION.end + 2.0
    assert [event.text for event in done.all(ReplyDone)] == [f"{FILLER} {done.reply}"]
    assert not done.all(CallFault)


def test_a_thought_of_half_a_minute_is_waited_for() -> None:
    done = call(30.0, seconds=39)
    assert not done.all(CallFault)
    assert "".join(event.delta for event in done.all(ReplyTextDelta)).startswith(f"{FILLER} It is sunny")


def test_a_thought_without_end_is_given_up_and_the_next_turn_works() -> None:
    done = call(300.0, seconds=70)
    assert done.machine.state in (State.LISTENING, State.SPEAKING, State.THINKING)
    assert len(done.asked) > 1
    assert done.asked[-1].request.asked == NEXT.text


def test_without_a_filler_a_thought_is_waited_for_in_silence() -> None:
    done = call(10.0, filler="")
    assert done.when(PlaybackStarted) > QUESTION.end + 9.0
    assert not done.all(CallFault)
