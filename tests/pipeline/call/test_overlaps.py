"""What stops a reply and what does not, in virtual time: words decide, and the level of the caller's speech."""

import pytest

from pipeline.call.events import PlaybackCleared, PlaybackStarted, ReplyDone, TranscriptCompleted
from tests.pipeline.call.simulation import Delays, Say, Simulation

QUESTION = Say(1.0, 2.8, "What is the weather in Paris?")
LONG = "It is sunny in Paris today. The wind blows from the west, and it will stay warm. " * 3


def call_with(over: Say, **kind: object) -> Simulation:
    """A call in which something is said over a long reply."""
    return Simulation([QUESTION, over], reply=LONG, **kind).run(40)  # type: ignore[arg-type]


@pytest.mark.parametrize("stt", [0.12, 0.5])
@pytest.mark.parametrize(("text", "seconds"), [("Mm-hmm, okay, yeah.", 1.4), ("Ha ha ha ha ha ha ha.", 2.8), ("", 2.6)])
def test_a_long_murmur_or_laughter_does_not_cost_the_reply(text: str, seconds: float, stt: float) -> None:
    call = call_with(Say(7.0, 7.0 + seconds, text), delays=Delays(stt=stt))
    assert call.all(PlaybackCleared) == []
    assert [event.text for event in call.all(TranscriptCompleted)] == [QUESTION.text]
    assert call.all(ReplyDone)[-1].status == "completed"


def test_an_interruption_is_recognised_while_it_goes_on_and_none_of_its_words_is_lost() -> None:
    call = call_with(Say(7.0, 10.0, "wait I meant the weather in Berlin."))
    assert call.when(PlaybackCleared) < 8.0
    assert call.all(TranscriptCompleted)[-1].text == "wait I meant the weather in Berlin."


@pytest.mark.parametrize("seconds", [0.4, 0.9, 1.1, 1.4, 2.2])
def test_an_interruption_is_answered_as_soon_as_a_question(seconds: float) -> None:
    over = Say(7.0, 7.0 + seconds, "no tell me about Rome instead.")
    call = call_with(over)
    question = Simulation([QUESTION], reply=LONG).run(10)
    as_question = question.when(PlaybackStarted) - QUESTION.end
    assert call.when(PlaybackStarted, 1) - over.end < as_question + 0.12


def test_who_speaks_on_without_a_clear_word_gets_the_floor_in_the_end() -> None:
    call = call_with(Say(7.0, 10.5, "the weather in some other town", confidence=0.4))
    assert 8.9 < call.when(PlaybackCleared) < 9.4


def test_words_that_never_come_do_not_keep_the_reply_paused() -> None:
    call = Simulation([QUESTION, Say(7.0, 7.8, "Stop.")], reply=LONG).run(6.9)
    call.delays.stt = None
    call.run(33)
    assert call.counts()["overlap_words_late"] == 0
    assert call.counts()["healed"] == 1
    assert call.all(ReplyDone)[-1].status == "completed"


@pytest.mark.parametrize("text", ["Stop the weather in Paris.", "heavy rain from the north west"])
def test_a_television_far_below_the_callers_voice_is_not_even_noticed(text: str) -> None:
    call = call_with(Say(6.0, 12.0, text, level_db=QUESTION.level_db - 15))
    assert call.counts()["ducked"] == 0
    assert call.all(ReplyDone)[-1].status == "completed"


def test_a_caller_who_speaks_more_softly_than_before_is_heard() -> None:
    call = call_with(Say(7.0, 8.4, "No, tell me about Rome.", level_db=QUESTION.level_db - 8))
    assert call.all(TranscriptCompleted)[-1].text == "No, tell me about Rome."
    assert call.sounding(7.3, 8.4) == 0


def test_who_once_spoke_softly_is_heard_softly_again() -> None:
    soft = Say(40.0, 41.0, "And in Rome?", level_db=-34.0)
    over = Say(45.0, 46.4, "No, stop it please now.", level_db=-36.0)
    call = Simulation([QUESTION, soft, over], reply=LONG).run(60)
    assert call.all(TranscriptCompleted)[-1].text == over.text


def test_who_speaks_on_and_is_heard_as_a_murmur_gets_the_floor_in_the_end() -> None:
    """German is heard as "Oh." where English is expected; over three seconds nobody says no more than that."""
    call = call_with(Say(7.0, 14.0, "Oh. Okay.", voice=0.95))
    assert call.when(PlaybackCleared) < 14.0
