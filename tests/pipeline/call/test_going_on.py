"""A user who speaks on: over the reply to their half sentence, or before anybody has answered."""

from pipeline.call.events import ReplyDone, TranscriptCompleted, TurnCommitted
from tests.pipeline.call.simulation import Delays, Say, Simulation

FIRST = Say(1.0, 2.4, "And so my fellow Americans,")


def test_words_that_follow_those_which_stopped_the_reply_are_transcribed_too() -> None:
    """ "Ask" was transcribed to judge the overlap; "not" came while that was under way."""
    script = [
        FIRST,
        Say(3.5, 3.75, "ask"),
        Say(4.0, 4.3, "not", score=0.02),
        Say(5.0, 6.5, "what your country can do."),
    ]
    call = Simulation(script, delays=Delays(stt=0.3)).run(16)
    assert call.all(TranscriptCompleted)[-1].text == "And so my fellow Americans, ask not what your country can do."


def test_a_sentence_with_a_pause_behind_the_comma_is_not_answered_in_it() -> None:
    script = [Say(1.0, 2.4, "When I think about it,", score=0.95), Say(3.2, 4.4, "it is fine.")]
    call = Simulation(script, delays=Delays(stt=0.25)).run(14)
    assert [event.text for event in call.all(TranscriptCompleted)] == ["When I think about it, it is fine."]
    assert call.sounding(1.0, 4.4) == 0


def test_who_was_answered_too_early_is_not_answered_in_a_second_pause_of_that_length() -> None:
    script = [
        Say(1.0, 2.0, "I went to Dublin."),
        Say(2.55, 4.0, "There I took no account"),
        Say(4.55, 5.5, "of the weather."),
    ]
    call = Simulation(script).run(16)
    assert call.counts()["reopened"] == 1
    assert len(call.all(TurnCommitted)) == 2
    assert call.all(TranscriptCompleted)[-1].text == "I went to Dublin. There I took no account of the weather."
    assert [reply.status for reply in call.all(ReplyDone)][-1] == "completed"


def test_an_unclear_word_soon_after_the_turn_belongs_to_it() -> None:
    """Whisper is unsure of a single short word; over a running reply that would be taken for a hum."""
    script = [FIRST, Say(3.5, 3.8, "ask", confidence=0.45), Say(4.5, 6.5, "not what your country can do.")]
    call = Simulation(script).run(16)
    assert call.all(TranscriptCompleted)[-1].text == "And so my fellow Americans, ask not what your country can do."


def test_a_hum_soon_after_the_turn_is_no_more_of_it() -> None:
    """Whisper makes words of a hum, with a confidence of 0.5 at most."""
    asked = Say(1.0, 2.0, "What is the weather?", score=0.95)
    call = Simulation([asked, Say(3.4, 3.7, "in a month", confidence=0.49)]).run(16)
    assert [event.text for event in call.all(TranscriptCompleted)] == [asked.text]
    assert call.counts()["paused"] == 1
    assert call.all(ReplyDone)[-1].status == "completed"


def test_an_unclear_word_later_in_the_reply_does_not_cost_a_word_of_it() -> None:
    call = Simulation([FIRST, Say(7.5, 7.8, "ask", confidence=0.45)]).run(16)
    assert [event.text for event in call.all(TranscriptCompleted)] == [FIRST.text]
    assert call.all(ReplyDone)[-1].status == "completed"


def test_a_word_taken_for_a_murmur_of_agreement_is_kept_when_the_user_goes_on() -> None:
    """ "Ask" alone is heard as "yes", over which the reply goes on; with what follows it is understood."""
    script = [FIRST, Say(4.4, 4.65, "yes"), Say(5.3, 7.0, "not what your country can do.")]
    call = Simulation(script).run(16)
    assert call.all(TranscriptCompleted)[-1].text == "And so my fellow Americans, yes not what your country can do."


def test_two_bursts_over_the_reply_are_both_in_the_turn() -> None:
    call = Simulation([FIRST, Say(4.4, 4.65, "yes"), Say(5.3, 5.55, "tomorrow")]).run(16)
    assert call.all(TranscriptCompleted)[-1].text == "And so my fellow Americans, yes tomorrow"


def test_words_said_one_by_one_over_the_reply_are_all_in_the_turn() -> None:
    """Each burst is so short that it is taken for nothing; what ends them comes over 2 s after the commit."""
    call = Simulation([FIRST, Say(4.4, 4.65, "yes"), Say(5.3, 5.5, "mhm"), Say(6.6, 8.0, "your country.")]).run(18)
    assert call.all(TranscriptCompleted)[-1].text == "And so my fellow Americans, yes mhm your country."


def test_a_murmur_long_after_the_turn_is_no_part_of_what_interrupts() -> None:
    call = Simulation([FIRST, Say(7.0, 7.25, "yes"), Say(8.0, 9.5, "stop, tell me more.")]).run(20)
    assert call.all(TranscriptCompleted)[-1].text == "stop, tell me more."
    assert call.counts()["interruptions"] == 1


def test_a_letter_right_behind_the_turn_is_heard_with_it() -> None:
    """By itself an "O" over the reply is heard as "oh", which nobody means."""
    call = Simulation([Say(1.0, 1.4, "M"), Say(1.85, 2.2, "oh"), Say(2.6, 2.9, "R")]).run(10)
    assert call.all(TranscriptCompleted)[-1].text == "M oh R"
    over_the_reply = Simulation([Say(1.0, 1.4, "M"), Say(6.0, 6.3, "oh")]).run(10)
    assert over_the_reply.all(TranscriptCompleted)[-1].text == "M"


def test_a_cough_right_behind_the_turn_is_no_more_of_it() -> None:
    asked = Say(1.0, 2.0, "What is the weather?", score=0.95)
    call = Simulation([asked, Say(2.5, 2.75, "", voice=0.9)]).run(16)
    assert [event.text for event in call.all(TranscriptCompleted)] == [asked.text]
    assert call.all(ReplyDone)[-1].status == "completed"


def test_a_sentence_that_is_heard_in_a_hum_right_behind_the_turn_is_none() -> None:
    """Whisper went on with "a brave little dog" for nine words, over a hum of 0.6 s."""
    asked = Say(1.0, 2.0, "Tell me of a brave dog.", score=0.95)
    hum = Say(2.5, 3.1, "that was lost for three weeks and was looking forward to meet him")
    call = Simulation([asked, hum]).run(16)
    assert [event.text for event in call.all(TranscriptCompleted)] == [asked.text]
    assert call.all(ReplyDone)[-1].status == "completed"
