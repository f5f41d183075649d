"""Keys of a telephone in a call, in virtual time: what they end, what they say, and when they are complete."""

from pipeline.call.events import KeyHeard, PlaybackCleared, ReplyDone, TurnCommitted
from pipeline.call.inputs import KeyPressed
from pipeline.call.options import CallOptions
from pipeline.call.state import State
from pipeline.call.user.keypad import MOST, PAUSE_S, Keypad, pressed_turn
from tests.pipeline.call.simulation import Say, Simulation

GREETING = "Welcome. For opening hours press one, for everything else stay on the line and tell us about it."


def call(greeting: str = "", *script: Say) -> Simulation:
    return Simulation(script=list(script), options=CallOptions(greeting=greeting))


def turns(done: Simulation) -> list[str]:
    return [event.typed for event in done.all(TurnCommitted) if event.typed]


def test_keys_are_a_turn_once_nothing_more_comes() -> None:
    done = call().run(1)
    for key in "42":
        done.post(KeyPressed(key))
        done.run(PAUSE_S / 2)
    assert turns(done) == []
    done.run(20)
    assert turns(done) == [pressed_turn("42")]
    assert [event.key for event in done.all(KeyHeard)] == ["4", "2"]
    assert len(done.all(ReplyDone)) == 1


def test_the_hash_key_says_that_they_are_complete() -> None:
    done = call().run(1)
    for key in "42#":
        done.post(KeyPressed(key))
    assert turns(done) == [pressed_turn("42#")]


def test_a_key_silences_the_greeting_of_a_caller_who_knows_the_menu() -> None:
    done = call(GREETING).run(2)
    assert done.machine.state is State.SPEAKING
    done.post(KeyPressed("1"))
    assert done.machine.state is State.LISTENING
    assert len(done.all(PlaybackCleared)) == 1
    done.run(PAUSE_S + 6)
    assert turns(done) == [pressed_turn("1")]


def test_a_key_that_a_tool_waits_for_is_told_and_nothing_else() -> None:
    done = call(GREETING).run(2)
    done.post(KeyPressed("1", taken=True))
    assert done.machine.state is State.SPEAKING
    done.run(PAUSE_S + 6)
    assert [event.key for event in done.all(KeyHeard)] == ["1"]
    assert turns(done) == []


def test_what_is_no_key_and_what_is_too_much_is_not_kept() -> None:
    keypad = Keypad()
    keypad.press("x", 0.0)
    assert keypad.take(99.0) == ""
    for _ in range(MOST + 5):
        keypad.press("1", 0.0)
    assert keypad.take(0.0) == "1" * MOST
    assert keypad.take(99.0) == ""
