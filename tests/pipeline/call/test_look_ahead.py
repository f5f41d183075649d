"""Answers that are begun while the user still speaks, from transcripts that may already have all words."""

import statistics

from pipeline.call.effects import Cancel, Generate, Transcribe
from pipeline.call.events import PlaybackStarted, ReplyCreated, TranscriptCompleted, TurnLatency
from pipeline.call.options import CallOptions
from server.testing.virtual_call import Delays
from tests.pipeline.call.simulation import Say, Simulation

TEXT = "Could you please tell me how the weather will be in Paris tomorrow?"
AHEAD = CallOptions(look_ahead=True, transcript_s=0.2)
DELAYS = Delays(stt=0.2, llm_first=0.15, tts=0.08)


def _gaps(options: CallOptions) -> list[float]:
    gaps = []
    for hundredths in range(380, 420, 3):
        call = Simulation([Say(1.0, hundredths / 100, TEXT)], options=options, delays=DELAYS).run(12)
        assert [event.text for event in call.all(TranscriptCompleted)] == [TEXT]
        assert len(call.all(ReplyCreated)) == len(call.all(PlaybackStarted)) == 1
        gaps += [event.voice_to_voice_ms for event in call.all(TurnLatency)]
    return gaps


def test_an_answer_that_was_begun_from_the_last_look_sounds_as_soon_as_the_words_are_sure() -> None:
    plain, ahead = _gaps(CallOptions(transcript_s=0.2)), _gaps(AHEAD)
    assert statistics.mean(ahead) <= statistics.mean(plain) - 30


def test_no_answer_is_begun_to_two_words_of_somebody_who_speaks_on() -> None:
    said = Say(1.0, 5.0, "Go on. Then tell me what happened to the old man and his boat.")
    call = Simulation([said], options=AHEAD, delays=DELAYS).run(12)
    assert any(work.optional and call.transcript(work).text == "Go on." for work in call.effects(Transcribe))  # type: ignore[union-attr]
    assert "Go on." not in [work.request.messages[-1].content for work in call.effects(Generate)]


def test_what_was_begun_in_vain_is_given_up_and_no_client_hears_of_it() -> None:
    first, both = "I would like a coffee.", "I would like a coffee. And a large piece of cake with cream."
    said = [Say(1.0, 2.4, first), Say(2.42, 4.4, both.removeprefix(first).strip())]
    call = Simulation(said, options=AHEAD, delays=DELAYS).run(12)
    begun = call.effects(Generate)
    told = {event.reply_id for event in call.all(ReplyCreated)}
    in_vain = [work for work in begun if work.reply not in told]
    assert in_vain
    assert {work.group for work in in_vain} <= {effect.group for effect in call.effects(Cancel)}
    assert [event.text for event in call.all(TranscriptCompleted)] == [both]


def test_where_transcripts_are_slow_nothing_is_looked_for_ahead() -> None:
    slow = Delays(stt=0.6)
    asked = []
    for look_ahead in (False, True):
        options = CallOptions(look_ahead=look_ahead, transcript_s=0.6)
        call = Simulation([Say(1.0, 4.2, TEXT)], options=options, delays=slow).run(12)
        asked.append(len(call.effects(Generate)))
    assert asked[0] == asked[1]
