"""A voice that hangs, from the start or in the middle: told of within five seconds, given up, heard again later."""

import pytest

from pipeline.call.effects import Synthesize
from pipeline.call.events import CallFault, PlaybackStarted, ReplyDone, StateChanged
from pipeline.call.options import CallOptions
from pipeline.call.state import State
from pipeline.engines.protocols import Voice
from pipeline.text.phrases import APOLOGIES
from tests.pipeline.call.simulation import Delays, Say, Simulation

QUESTION = Say(1.0, 2.8, "What is the weather in Paris?")
NEXT = Say(40.0, 41.8, "And what is it like in Rome?")
WAIT = "Sorry, this is taking me a moment."
WITHIN_S = 5.0
QUICK_S, SLOW_S = 0.08, 1.5


def call(seconds: float = 38, *, at_hand: bool = True, tts: float | None = None, **options: object) -> Simulation:
    known: dict[str, object] = {"delay_apology": WAIT, "known_sound_s": QUICK_S}
    made = CallOptions(**{**known, **options})  # type: ignore[arg-type]
    delays = Delays(tts=tts)
    return Simulation([QUESTION, NEXT], options=made, delays=delays, phrases_at_hand=at_hand).run(seconds)


def works_again(done: Simulation) -> bool:
    """Whether the next turn is answered once the voice is there."""
    done.delays, done.fail = Delays(), frozenset()
    done.run(20)
    return done.all(ReplyDone)[-1].text == done.reply


def test_one_that_hangs_is_apologised_for_with_what_is_at_hand_and_given_up_and_the_next_turn_works() -> None:
    done = call()
    assert done.when(PlaybackStarted) < QUESTION.end + WITHIN_S
    assert [event.text for event in done.all(ReplyDone)] == [WAIT, done.options.apology]
    assert done.when(ReplyDone, 1) < QUESTION.end + 15.0
    assert "tts_failed" in [event.code for event in done.all(CallFault)]
    assert done.machine.state is State.LISTENING
    (hung,) = [work.ticket for work in done.effects(Synthesize) if work.text in done.reply]
    assert hung.given_up
    assert works_again(done)


def test_with_nothing_at_hand_clients_are_told_within_five_seconds_and_the_next_turn_works() -> None:
    done = call(at_hand=False)
    assert not done.all(PlaybackStarted)
    assert done.when(CallFault) < QUESTION.end + WITHIN_S
    assert [event.code for event in done.all(CallFault)] == ["tts_late", "tts_failed"]
    listening = [at for at, event in done.events if event == StateChanged(State.LISTENING)][-1]
    assert listening < QUESTION.end + 10.0
    assert works_again(done)


@pytest.mark.parametrize("tts", [4.5, 7.5])
def test_one_that_is_slow_answers_behind_the_apology(tts: float) -> None:
    done = call(tts=tts, known_sound_s=SLOW_S, seconds=36)
    assert done.when(PlaybackStarted) < QUESTION.end + WITHIN_S
    assert done.all(ReplyDone)[0].text == done.reply
    assert [event.code for event in done.all(CallFault)] == ["tts_late"]


def test_one_that_is_in_time_is_not_apologised_for() -> None:
    done = call(tts=2.5)
    assert not [work for work in done.effects(Synthesize) if work.text in WAIT]
    assert not done.all(CallFault)


def test_sound_that_comes_before_that_of_the_apology_is_not_talked_over() -> None:
    done = call(tts=4.0, at_hand=False, known_sound_s=SLOW_S, seconds=30)
    assert done.all(ReplyDone)[0].text == done.reply
    assert done.sounding(7.1, 7.5) == 1.0
    spoken_s = done.heard_samples / 24_000
    assert spoken_s == pytest.approx(len(done.reply) * done.speech_s_per_char, rel=0.05)


def test_one_that_hangs_in_mid_clause_is_apologised_for_and_only_what_was_heard_counts_as_said() -> None:
    done = call(tts=0.05)
    hung = Simulation([QUESTION, NEXT], options=done.options, fail=frozenset({"tts_midway"}), phrases_at_hand=True).run(
        38
    )
    first, second = hung.all(ReplyDone)[:2]
    assert first.status == "cancelled"
    assert first.text
    assert hung.reply.startswith(first.text)
    assert len(first.text) < len(hung.reply)
    assert second.text == hung.options.apology
    dry = hung.when(PlaybackStarted) + first.heard_s
    assert hung.when(PlaybackStarted, 1) < dry + WITHIN_S
    assert [entry.text for entry in hung.context.entries][1:] == [first.text, second.text]
    assert hung.machine.state is State.LISTENING
    assert works_again(hung)


def test_a_greeting_that_hangs_leaves_the_floor_to_the_user_and_their_turn_works() -> None:
    options = CallOptions(greeting="Hello, this is Morgan.", delay_apology=WAIT, known_sound_s=QUICK_S)
    done = Simulation([Say(12.0, 13.8, QUESTION.text)], options=options, delays=Delays(tts=None)).run(9)
    assert done.machine.state is State.LISTENING
    assert [event.code for event in done.all(CallFault)] == ["tts_failed"]
    done.delays = Delays()
    done.run(15)
    assert done.all(ReplyDone)[-1].text == done.reply


def test_a_voice_whose_words_were_late_is_not_late_itself() -> None:
    done = Simulation([QUESTION], options=CallOptions(known_sound_s=QUICK_S), delays=Delays(llm_first=6.0)).run(20)
    assert not done.all(CallFault)


def test_what_the_user_says_while_the_voice_hangs_is_answered() -> None:
    done = call(seconds=7.0)
    done.script.append(Say(7.5, 9.0, "Are you still there, hello?"))
    done.delays = Delays()
    done.run(15)
    assert done.all(ReplyDone)[-1].text == done.reply


def test_what_a_hung_voice_has_cost_the_language_model_is_not_held_against_it() -> None:
    done = call()
    assert not any(work.ticket.given_up for work in done.asked)


@pytest.mark.parametrize("fault", ["hangs", "fails"])
def test_apologies_for_a_voice_are_said_as_they_were_made_ahead_whatever_voice_and_speed_the_caller_has(
    fault: str,
) -> None:
    voices = (Voice("joe", "Joe", "en", "test"), Voice("ada", "Ada", "en", "test"))
    done = Simulation(
        [QUESTION],
        options=CallOptions(delay_apology=WAIT, known_sound_s=QUICK_S, voice="ada", speed=1.3),
        delays=Delays(tts=None if fault == "hangs" else 0.05),
        fail=frozenset() if fault == "hangs" else frozenset({"tts_but_apology"}),
        voices=voices,
        phrases_at_hand=True,
    ).run(30)
    made = {(work.voice, work.speed) for work in done.effects(Synthesize) if work.text in f"{WAIT} {APOLOGIES['en']}"}
    assert made == {("joe", 1.0)}
    assert {(work.voice, work.speed) for work in done.effects(Synthesize) if work.text in done.reply} == {("ada", 1.3)}
    assert done.all(ReplyDone)[-1].text == done.options.apology
