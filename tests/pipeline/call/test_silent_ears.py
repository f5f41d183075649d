"""Speech to text that hangs, or is slow: nobody waits in silence for more than five seconds, and nothing is lost."""

import pytest

from pipeline.call.effects import Transcribe
from pipeline.call.events import (
    CallFault,
    PlaybackStarted,
    ReplyDone,
    TranscriptCompleted,
    TranscriptFailed,
    TurnCommitted,
    TurnLatency,
    TurnUnclear,
)
from pipeline.call.inputs import Connected
from pipeline.call.options import CallOptions
from pipeline.call.requests import CommitAudio, Respond
from pipeline.call.state import State
from pipeline.call.wish import AS_ALWAYS
from tests.pipeline.call.simulation import Delays, Say, Simulation

QUESTION = Say(1.0, 2.8, "What is the weather in Paris?")
HESITANT = Say(1.0, 2.8, "What is the weather in Paris?", score=0.05)
NEXT = Say(30.0, 31.8, "And what is it like in Rome?")
WAIT = "Sorry, this is taking me a moment."
WITHIN_S = 5.0
QUICK_S, SLOW_S = 0.12, 1.5


def call(*said: Say, stt: float | None = None, seconds: float = 28, **options: object) -> Simulation:
    known: dict[str, object] = {"delay_apology": WAIT, "known_transcript_s": QUICK_S}
    made = CallOptions(**{**known, **options})  # type: ignore[arg-type]
    return Simulation([*said], options=made, delays=Delays(stt=stt)).run(seconds)


@pytest.mark.parametrize("question", [QUESTION, HESITANT])
def test_one_that_hangs_is_apologised_for_and_given_up_and_the_next_turn_works(question: Say) -> None:
    done = call(question, NEXT)
    assert done.when(PlaybackStarted) < question.end + WITHIN_S
    assert [event.text for event in done.all(ReplyDone)] == [f"{WAIT} {done.options.apology}"]
    assert done.when(ReplyDone) < question.end + 15.0
    assert "stt_failed" in [event.code for event in done.all(CallFault)]
    assert len(done.all(TranscriptFailed)) == 1
    assert done.machine.state is State.LISTENING
    asked = [work.ticket for work in done.effects(Transcribe) if work.end / 16_000 > question.end]
    assert asked
    assert all(ticket.given_up for ticket in asked)
    done.delays = Delays()
    done.run(20)
    assert done.all(TranscriptCompleted)[-1].text == NEXT.text
    assert done.all(ReplyDone)[-1].text == done.reply


def test_without_words_for_a_delay_one_that_hangs_is_given_up_all_the_same() -> None:
    done = call(QUESTION, NEXT, delay_apology="")
    assert [event.text for event in done.all(ReplyDone)] == [done.options.apology]
    assert done.when(PlaybackStarted) < QUESTION.end + 10.0
    assert done.machine.state is State.LISTENING


@pytest.mark.parametrize("stt", [4.5, 9.0, 13.0])
def test_one_that_is_slow_answers_behind_the_apology_in_the_same_reply(stt: float) -> None:
    done = call(QUESTION, stt=stt, known_transcript_s=SLOW_S)
    assert done.when(PlaybackStarted) < QUESTION.end + WITHIN_S
    assert [event.text for event in done.all(ReplyDone)] == [f"{WAIT} {done.reply}"]
    assert not done.all(CallFault)
    said = [(entry.role, entry.text) for entry in done.context.entries]
    assert said == [("user", QUESTION.text), ("assistant", f"{WAIT} {done.reply}")]
    (latency,) = done.all(TurnLatency)
    assert latency.voice_to_voice_ms == pytest.approx((done.when(PlaybackStarted) - QUESTION.end) * 1000, abs=50)
    assert done.when(TurnLatency) >= done.when(TurnCommitted), "it is of a turn that clients know"


def test_how_long_transcripts_took_in_this_call_counts_as_well_as_what_was_measured() -> None:
    done = call(QUESTION, NEXT, stt=2.0)
    done.delays = Delays(stt=9.0)
    done.run(30)
    assert [event.text for event in done.all(ReplyDone)] == [done.reply, f"{WAIT} {done.reply}"]
    assert not done.all(CallFault)


def test_one_that_is_in_time_is_not_apologised_for() -> None:
    done = call(QUESTION, stt=2.5)
    assert [event.text for event in done.all(ReplyDone)] == [done.reply]


def test_words_that_come_while_the_apology_sounds_do_not_cut_it() -> None:
    done = call(QUESTION, stt=4.8)
    assert [(event.status, event.text) for event in done.all(ReplyDone)] == [("completed", f"{WAIT} {done.reply}")]


def test_what_the_user_says_over_the_apology_belongs_to_what_they_have_said() -> None:
    more = Say(7.5, 9.0, "Are you still there, hello?")
    hung = call(QUESTION, more, seconds=7.2)
    hung.delays = Delays()
    hung.run(20)
    assert hung.all(TranscriptCompleted)[-1].text == f"{QUESTION.text} {more.text}"
    assert hung.all(ReplyDone)[-1].text == hung.reply
    assert [entry.role for entry in hung.context.entries] == ["user", "assistant"]
    (latency,) = hung.all(TurnLatency)
    assert 0 < latency.voice_to_voice_ms < 2_000, "of the answer, not of the apology before it"


def test_what_is_asked_again_is_heard_whole_where_only_its_first_part_hangs() -> None:
    long = Say(1.0, 5.5, "Tell me please what the weather will be like in Paris today")
    more = Say(10.5, 12.0, "Are you still there, hello?")
    hung = call(long, more, seconds=9.8)
    hung.delays = Delays()
    hung.run(20)
    assert hung.all(TranscriptCompleted)[-1].text == f"{long.text} {more.text}"
    assert not [event for event in hung.all(CallFault) if event.code == "stt_failed"]


def test_words_that_cannot_be_made_out_after_the_apology_are_asked_for_in_the_same_breath() -> None:
    silent = Simulation(
        [Say(1.0, 2.8, "", voice=0.95)],
        options=CallOptions(delay_apology=WAIT, known_transcript_s=QUICK_S),
        delays=Delays(stt=4.5),
    ).run(20)
    assert len(silent.all(TurnUnclear)) == 1
    assert [event.text for event in silent.all(ReplyDone)] == [f"{WAIT} {silent.options.unclear_prompt}"]
    assert silent.machine.state is State.LISTENING


def test_a_noise_that_hangs_ends_with_the_apology_alone() -> None:
    noise = Simulation(
        [Say(1.0, 1.6, "")],
        options=CallOptions(delay_apology=WAIT, known_transcript_s=QUICK_S),
        delays=Delays(stt=4.5),
    ).run(20)
    assert [event.text for event in noise.all(ReplyDone)] == [WAIT]
    assert noise.machine.state is State.LISTENING


def test_who_asks_for_replies_is_told_of_one_that_hangs_and_gets_the_next_reply() -> None:
    done = call(QUESTION, answers_turns=False, hears_turns=False, seconds=3.0)
    done.post(CommitAudio())
    done.post(Respond(AS_ALWAYS))
    done.run(20)
    assert len(done.all(TranscriptFailed)) == 1
    assert done.all(ReplyDone), "the reply that was asked for waits no longer"
    assert done.machine.state is State.LISTENING
    done.delays = Delays()
    done.post(Connected())
    done.post(Respond(AS_ALWAYS))
    done.run(15)
    assert done.all(ReplyDone)[-1].text == done.reply


@pytest.mark.parametrize("stt", [5.0, None])
def test_a_turn_that_the_client_has_ended_is_excused_and_answered_or_given_up_like_any_other(stt: float | None) -> None:
    done = call(QUESTION, stt=stt, hears_turns=False, seconds=3.0)
    done.post(CommitAudio())
    done.run(25)
    assert done.when(PlaybackStarted) < QUESTION.end + WITHIN_S
    assert [event.text for event in done.all(ReplyDone)] == [f"{WAIT} {done.reply if stt else done.options.apology}"]
    assert done.machine.state is State.LISTENING


def test_a_process_that_stood_still_gives_up_nothing() -> None:
    done = call(QUESTION, stt=1.0, seconds=3.4)
    done.now += 12.0
    done.run(20)
    assert "stt_failed" not in [event.code for event in done.all(CallFault)]
    assert done.all(TranscriptCompleted)[-1].text == QUESTION.text
