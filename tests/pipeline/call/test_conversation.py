"""Whole conversations in virtual time: who speaks when, what is answered, what is remembered."""

from dataclasses import replace

import pytest

from pipeline.audio import SPEECH_RATE
from pipeline.call.effects import Transcribe
from pipeline.call.events import (
    CallEnded,
    CallFault,
    PlaybackCleared,
    PlaybackStarted,
    PlaybackStopped,
    ReplyCreated,
    ReplyDone,
    ReplyTruncated,
    SpeechStarted,
    StateChanged,
    TranscriptCompleted,
    TranscriptFailed,
    TurnCommitted,
    TurnDropped,
    TurnLatency,
)
from pipeline.call.inputs import Connected, HangUp, StopReply, UserTyped
from pipeline.call.options import CallOptions
from pipeline.call.state import State
from pipeline.call.turn_taking.config import TurnTakingConfig
from tests.pipeline.call.simulation import Delays, Say, Simulation

QUESTION = Say(1.0, 2.8, "What is the weather in Paris?")


def test_a_question_is_answered_and_both_sides_are_remembered() -> None:
    call = Simulation([QUESTION]).run(12)
    assert [event.text for event in call.all(TranscriptCompleted)] == ["What is the weather in Paris?"]
    assert [event.status for event in call.all(ReplyDone)] == ["completed"]
    assert [(entry.role, entry.text) for entry in call.context.entries] == [
        ("user", "What is the weather in Paris?"),
        ("assistant", call.reply),
    ]
    assert call.machine.state is State.LISTENING


def test_the_states_follow_the_turn() -> None:
    call = Simulation([QUESTION]).run(12)
    assert [event.state for event in call.all(StateChanged)] == [
        State.LISTENING,
        State.USER_SPEAKING,
        State.THINKING,
        State.SPEAKING,
        State.LISTENING,
    ]


@pytest.mark.parametrize("stt", [0.05, 0.6])
def test_the_model_is_asked_once_and_sees_the_words_once(stt: float) -> None:
    """Whether the words are known before the commit or after it."""
    call = Simulation([QUESTION], delays=Delays(stt=stt)).run(12)
    asked = [message.content for message in call.asked[-1].request.messages]
    assert len(call.asked) == 1
    assert asked.count(QUESTION.text) == 1


def test_the_answer_comes_within_400_ms_of_the_last_word_when_the_engines_take_270() -> None:
    call = Simulation([QUESTION]).run(12)
    assert call.when(PlaybackStarted) - QUESTION.end <= 0.4


def test_work_begins_at_the_early_silence_and_not_at_the_commit() -> None:
    guess = Simulation([QUESTION]).run(12)
    wait = Simulation([QUESTION], options=CallOptions(speculate=False)).run(12)
    assert wait.when(PlaybackStarted) - guess.when(PlaybackStarted) >= 0.08


@pytest.mark.parametrize("text", [QUESTION.text, ""])
@pytest.mark.parametrize("stt", [16.5, 18.0, 21.0, 30.0])
def test_words_that_come_after_the_apology_for_their_lateness_lead_to_nothing(stt: float, text: str) -> None:
    call = Simulation([replace(QUESTION, text=text, voice=0.97)], delays=Delays(stt=stt)).run(60)
    assert [event.message for event in call.all(TranscriptFailed)] == ["no words came in time"]
    assert [event.status for event in call.all(ReplyDone)] == ["completed"]
    assert len(call.all(ReplyCreated)) == 1
    assert call.machine.state is State.LISTENING


def test_who_goes_on_after_such_an_apology_is_heard_whole() -> None:
    call = Simulation([QUESTION, Say(22.0, 23.0, "Please."), Say(40.0, 42.0, "Hello?")], delays=Delays(stt=16.5))
    call.run(22).delays.stt = 0.1
    call.run(40)
    assert call.all(TranscriptCompleted)[-1].text == "Hello?"
    created, done = call.all(ReplyCreated), call.all(ReplyDone)
    assert [event.reply_id for event in created] == [event.reply_id for event in done]


def test_a_pause_in_a_sentence_is_waited_out() -> None:
    call = Simulation(
        [Say(1.0, 2.0, "I would like to know", score=0.05), Say(3.2, 4.4, "what the time is in Rome.")]
    ).run(14)
    assert [event.text for event in call.all(TranscriptCompleted)] == ["I would like to know what the time is in Rome."]
    assert call.sounding(1.0, 4.4) == 0


def test_a_guess_that_was_wrong_leaves_no_trace() -> None:
    call = Simulation([Say(1.0, 2.0, "Tell me", score=0.05), Say(2.6, 3.6, "about Rome.")]).run(14)
    assert len(call.asked) == 2
    assert len(call.all(ReplyCreated)) == 1
    assert [entry.role for entry in call.context.entries] == ["user", "assistant"]


def test_speech_soon_after_a_commit_continues_the_turn() -> None:
    call = Simulation([Say(1.0, 2.0, "What is the weather"), Say(2.5, 3.4, "in Paris tomorrow?")]).run(14)
    transcripts = call.all(TranscriptCompleted)
    assert transcripts[-1].text == "What is the weather in Paris tomorrow?"
    assert {event.item_id for event in transcripts} == {transcripts[0].item_id}
    assert [entry.text for entry in call.context.entries if entry.role == "user"] == [transcripts[-1].text]
    assert call.asked[-1].request.messages[-1].content == transcripts[-1].text


def test_speech_while_the_transcript_is_on_its_way_loses_no_word() -> None:
    call = Simulation(
        [Say(1.0, 2.0, "What is the weather"), Say(2.4, 3.4, "in Paris tomorrow?")], delays=Delays(stt=0.9)
    ).run(14)
    assert call.all(TranscriptCompleted)[-1].text == "What is the weather in Paris tomorrow?"
    assert len(call.all(TurnCommitted)) == 1


def test_an_interruption_cuts_the_reply_and_keeps_what_was_heard() -> None:
    call = Simulation([QUESTION, Say(6.0, 7.2, "No, stop, tell me about Rome.")]).run(18)
    cut = call.all(ReplyTruncated)
    assert len(cut) == 1
    assert cut[0].text
    assert call.reply.startswith(cut[0].text)
    assert len(cut[0].text) < len(call.reply)
    entries = [(entry.role, entry.interrupted) for entry in call.context.entries]
    assert entries == [("user", False), ("assistant", True), ("user", False), ("assistant", False)]
    assert "—" in call.asked[-1].request.messages[2].content


def test_an_interruption_is_silent_within_300_ms() -> None:
    call = Simulation([QUESTION, Say(6.0, 7.2, "No, stop, tell me about Rome.")]).run(18)
    assert call.sounding(5.5, 6.0) == 1
    assert call.sounding(6.3, 7.2) == 0


def test_after_a_cough_the_reply_goes_on_from_the_word_that_it_broke_off() -> None:
    quiet = Simulation([QUESTION]).run(25)
    cough = Simulation([QUESTION, Say(6.0, 6.3, "")]).run(25)
    assert cough.all(PlaybackCleared) == []
    assert cough.playout.position == quiet.playout.position
    said_again = (cough.heard_samples - quiet.heard_samples) / SPEECH_RATE
    assert 0 < said_again < 0.06 * len("evening.")
    assert cough.counts()["resumed"] == 1


def test_mhm_does_not_cost_a_word() -> None:
    quiet = Simulation([QUESTION]).run(25)
    call = Simulation([QUESTION, Say(6.0, 6.45, "Mhm.")]).run(25)
    assert call.playout.position == quiet.playout.position
    assert len(call.all(TranscriptCompleted)) == 1


def test_what_the_transcript_doubts_is_no_interruption() -> None:
    quiet = Simulation([QUESTION]).run(25)
    call = Simulation([QUESTION, Say(6.0, 6.45, "In a mom.", confidence=0.37)]).run(25)
    assert call.counts()["paused"] == 1
    assert call.playout.position == quiet.playout.position
    assert call.all(PlaybackCleared) == []


def test_a_short_stop_is_an_interruption() -> None:
    call = Simulation([QUESTION, Say(6.0, 6.4, "Stop.")]).run(18)
    assert [event.text for event in call.all(TranscriptCompleted)] == [QUESTION.text, "Stop."]
    assert call.all(ReplyDone)[0].status == "cancelled"


def test_echo_in_the_first_second_of_a_reply_is_not_speech() -> None:
    call = Simulation([QUESTION, Say(3.25, 3.9, "echo echo", level_db=-40.0)]).run(14)
    assert call.all(PlaybackCleared) == []


def test_noise_without_words_is_dropped() -> None:
    call = Simulation([Say(1.0, 1.6, "")]).run(6)
    assert len(call.all(TurnDropped)) == 1
    assert call.all(ReplyCreated) == []
    assert call.machine.state is State.LISTENING


def test_a_noise_after_a_commit_does_not_lose_the_question() -> None:
    call = Simulation([QUESTION, Say(3.05, 3.4, "")], delays=Delays(llm_first=0.6)).run(16)
    assert call.all(TranscriptCompleted)[-1].text == QUESTION.text
    assert call.all(ReplyDone)[-1].status == "completed"


@pytest.mark.parametrize("broken", ["stt", "llm"])
def test_a_broken_engine_gets_an_apology_and_the_next_turn_works(broken: str) -> None:
    call = Simulation([QUESTION, Say(14.0, 15.5, "And in Rome?")], fail=frozenset({broken})).run(12)
    assert any(event.code == f"{broken}_failed" for event in call.all(CallFault))
    assert call.sounding(3.0, 8.0) > 0.5
    call.fail = frozenset()
    call.run(12)
    assert call.all(ReplyDone)[-1].status == "completed"
    assert call.all(ReplyDone)[-1].text == call.reply


def test_a_broken_voice_leaves_the_floor_to_the_user() -> None:
    call = Simulation([QUESTION], fail=frozenset({"tts"})).run(12)
    assert any(event.code == "tts_failed" for event in call.all(CallFault))
    assert call.machine.state is State.LISTENING


def test_with_a_broken_voice_the_apology_that_is_at_hand_is_heard_and_the_next_turn_works() -> None:
    script = [QUESTION, Say(14.0, 15.5, "And in Rome?")]
    call = Simulation(script, fail=frozenset({"tts_but_apology"})).run(12)
    assert [event.code for event in call.all(CallFault)] == ["tts_failed"]
    assert call.when(PlaybackStarted) < QUESTION.end + 5.0
    assert [event.text for event in call.all(ReplyDone)][-1] == call.options.apology
    call.fail = frozenset()
    call.run(12)
    assert call.all(ReplyDone)[-1].text == call.reply


def test_a_turn_model_that_fails_costs_only_time() -> None:
    order = replace(QUESTION, text="Tell me about the weather in Paris.")
    call = Simulation([order], fail=frozenset({"turn"})).run(12)
    assert 0.9 <= call.when(PlaybackStarted) - order.end <= 1.3


def test_a_whole_question_is_answered_although_the_turn_model_expects_more() -> None:
    call = Simulation([replace(QUESTION, score=0.02)]).run(12)
    assert call.when(PlaybackStarted) - QUESTION.end <= 0.8
    call = Simulation([replace(QUESTION, text="The weather in Paris.", score=0.02)]).run(12)
    assert call.when(PlaybackStarted) - QUESTION.end >= 1.0


def test_a_language_model_that_hangs_is_given_up() -> None:
    call = Simulation([QUESTION], delays=Delays(llm_first=None)).run(40)
    assert any(event.code == "no_reply" for event in call.all(CallFault))
    assert call.machine.state is State.LISTENING


def test_a_voice_that_hangs_is_given_up() -> None:
    call = Simulation([QUESTION], delays=Delays(tts=None)).run(60)
    assert call.machine.state is State.LISTENING


def test_the_greeting_comes_first_and_is_remembered() -> None:
    call = Simulation([Say(5.0, 6.0, "Hello there.")], options=CallOptions(greeting="Hello, this is Morgan.")).run(15)
    assert call.when(PlaybackStarted) < 0.3
    assert [entry.role for entry in call.context.entries] == ["assistant", "user", "assistant"]


def test_silence_is_broken_once_and_then_ended() -> None:
    patience = TurnTakingConfig(idle_prompt_s=5, idle_hangup_s=12)
    call = Simulation([], options=CallOptions(turn_taking=patience)).run(40)
    assert len(call.all(PlaybackStarted)) == 1
    assert call.all(CallEnded)[0].reason == "idle"


def test_a_client_that_asks_for_silence_gets_it() -> None:
    call = Simulation([QUESTION]).run(5)
    call.post(StopReply())
    call.run(5)
    assert call.sounding(5.1, 10.0) == 0
    assert call.all(ReplyDone)[0].reason == "client_cancelled"
    assert call.machine.state is State.LISTENING


def test_typed_words_are_answered_by_voice() -> None:
    call = Simulation([]).run(1)
    call.post(UserTyped("What is the weather in Paris?"))
    call.run(12)
    assert call.all(TurnCommitted)[0].typed == "What is the weather in Paris?"
    assert call.all(ReplyDone)[0].text == call.reply


def test_nothing_happens_after_the_end() -> None:
    call = Simulation([QUESTION]).run(5)
    call.post(HangUp("hangup"))
    told = len(call.events)
    call.run(5)
    call.post(Connected())
    assert len(call.events) == told
    assert call.machine.state is State.ENDED


def test_the_stages_of_a_turn_sum_to_its_gap() -> None:
    call = Simulation([QUESTION]).run(12)
    latency = call.all(TurnLatency)[0]
    assert sum(latency.stages.values()) == pytest.approx(latency.voice_to_voice_ms, abs=0.01)
    assert latency.voice_to_voice_ms == pytest.approx((call.when(PlaybackStarted) - QUESTION.end) * 1000, abs=35)


def test_transcription_begins_as_the_sound_drops_and_not_again_at_the_early_silence() -> None:
    call = Simulation([QUESTION]).run(12)
    assert call.all(TurnLatency)[0].stages["silence_wait"] < 50
    drafts = [work for work in call.work if isinstance(work, Transcribe) and work.end / 16_000 > QUESTION.end]
    assert len(drafts) == 1


def test_a_reply_that_is_ready_before_the_turn_is_over_waits_in_the_stage_release() -> None:
    call = Simulation([replace(QUESTION, score=0.3)]).run(12)
    stages = call.all(TurnLatency)[0].stages
    assert stages["release"] > 100
    assert stages["first_packet"] < 30


def test_a_long_turn_is_transcribed_in_stretches_and_loses_no_word() -> None:
    first, second = "one two three four five six seven eight", "nine ten eleven twelve thirteen fourteen"
    call = Simulation([Say(1.0, 5.0, first, score=0.1), Say(5.6, 9.0, second)]).run(20)
    assert call.all(TranscriptCompleted)[-1].text == f"{first} {second}"
    last = [work for work in call.work if type(work).__name__ == "Transcribe" and not work.optional][-1]
    assert (last.end - last.start) / 16_000 < 4.5


def test_the_user_who_goes_on_twice_is_given_more_time() -> None:
    script = [Say(1.0, 2.0, "What is"), Say(2.5, 3.4, "the weather"), Say(4.0, 5.0, "in Paris?")]
    call = Simulation(script).run(16)
    assert call.all(TranscriptCompleted)[-1].text == "What is the weather in Paris?"
    assert call.counts()["reopened"] >= 1
    assert len(call.all(SpeechStarted)) >= 2


def test_options_of_a_call_reach_the_voice() -> None:
    call = Simulation([QUESTION], options=replace(CallOptions(), voice="joe", speed=1.2)).run(8)
    spoken = [work for work in call.work if type(work).__name__ == "Synthesize"]
    assert {(work.voice, work.speed) for work in spoken} == {("joe", 1.2)}


def test_look_ahead_is_bounded() -> None:
    call = Simulation(
        [QUESTION], reply="This is one more sentence of a long answer. " * 20, delays=Delays(llm_token=0.001)
    )
    call.run(6)
    assert (call.playout.written - call.playout.position) / 24_000 < 7


def test_playback_ends_with_the_event() -> None:
    call = Simulation([QUESTION]).run(14)
    assert len(call.all(PlaybackStopped)) == 1
    assert call.sounding(call.when(PlaybackStopped) + 0.04, 14) == 0
