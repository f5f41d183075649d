"""How often the models are asked in a turn: as eagerly as they are fast, and never at the cost of the answer."""

from dataclasses import replace

import pytest

from pipeline.call.effects import AskTurnModel, Transcribe
from pipeline.call.events import CallFault, PlaybackStarted, ReplyDone, TranscriptCompleted
from pipeline.call.options import CallOptions
from tests.pipeline.call.simulation import Delays, Say, Simulation

SLOW = Delays(stt=0.5, turn=0.16, llm_first=0.2, tts=0.12)
SLOW_CALL = CallOptions(transcript_s=0.5)
QUESTION = Say(1.0, 2.4, "What is the weather in Paris?")


def stumbling(gap_s: float) -> list[Say]:
    """A sentence with a moment of silence behind each word."""
    words = ["What", "is", "the", "weather", "in", "Paris?"]
    return [Say(1.0 + index * (0.3 + gap_s), 1.3 + index * (0.3 + gap_s), word) for index, word in enumerate(words)]


def test_a_short_turn_is_transcribed_once_and_judged_once() -> None:
    for options, delays in ((CallOptions(), Delays()), (SLOW_CALL, SLOW)):
        call = Simulation([QUESTION], options=options, delays=delays).run(12)
        assert len(call.effects(Transcribe)) == 1
        assert len(call.effects(AskTurnModel)) == 1


def test_a_dip_is_worth_a_transcript_only_where_transcripts_are_quick() -> None:
    """40 ms: the closure of a "p" or "t"."""
    eager = Simulation(stumbling(0.04)).run(12)
    thrifty = Simulation(stumbling(0.04), options=SLOW_CALL, delays=SLOW).run(12)
    assert len(eager.effects(Transcribe)) >= 3
    assert len(thrifty.effects(Transcribe)) == 1
    assert thrifty.all(TranscriptCompleted)[-1].text == "What is the weather in Paris?"


@pytest.mark.parametrize(("stt", "eager"), [(0.1, True), (0.5, False)])
def test_a_call_learns_what_transcripts_take(stt: float, eager: bool) -> None:
    call = Simulation([QUESTION], delays=replace(SLOW, stt=stt)).run(12)
    assert call.machine._listening.pace.eager is eager


@pytest.mark.parametrize("options", [CallOptions(), SLOW_CALL], ids=["fast", "slow"])
def test_somebody_who_stumbles_is_transcribed_less_often_than_they_pause(options: CallOptions) -> None:
    delays = SLOW if options.transcript_s > 0.2 else Delays()
    call = Simulation([replace(say, score=0.1) for say in stumbling(0.14)], options=options, delays=delays).run(14)
    assert call.all(TranscriptCompleted)[-1].text == "What is the weather in Paris?"
    if options is SLOW_CALL:
        assert len(call.effects(Transcribe)) <= 4


def test_the_turn_model_is_not_asked_about_a_pause_that_is_over_before_the_words_are_known() -> None:
    script = [Say(1.0, 2.4, "What is the weather"), Say(2.55, 3.4, "in Paris?")]
    call = Simulation(script, options=SLOW_CALL, delays=SLOW).run(12)
    assert len(call.effects(AskTurnModel)) == 1


def test_the_turn_model_is_not_asked_again_where_the_words_decide() -> None:
    call = Simulation([Say(1.0, 2.4, "I would like to", score=0.3)]).run(2.5 + 1.5)
    assert len(call.effects(AskTurnModel)) == 1


def test_an_answer_is_no_later_for_it() -> None:
    """Slow engines: 0.5 s for the words, 0.2 for the first token and 0.12 for the first clause."""
    call = Simulation([QUESTION], options=SLOW_CALL, delays=SLOW).run(12)
    assert call.when(PlaybackStarted) - QUESTION.end < 0.5 + 0.2 + 0.12 + 0.15


def test_a_turn_whose_late_transcript_fails_is_answered_with_an_apology() -> None:
    script = [replace(say, score=0.95) for say in stumbling(0.14)]
    call = Simulation(script, options=SLOW_CALL, delays=SLOW, fail=frozenset({"stt"})).run(14)
    assert any(event.code == "stt_failed" for event in call.all(CallFault))
    assert call.all(ReplyDone)[-1].status == "completed"


def test_the_language_model_begins_with_the_words_of_a_moment_ago_where_they_are_all() -> None:
    """A breath behind the last word: its dip was transcribed, and nothing was said since."""
    breath = Say(2.46, 2.6, "")
    plain = Simulation([QUESTION, breath], delays=Delays(llm_first=0.3)).run(12)
    assert len(plain.asked) == 1
    assert plain.asked[0].request.messages[-1].content == QUESTION.text
    assert plain.when(PlaybackStarted) - breath.end < 0.52
