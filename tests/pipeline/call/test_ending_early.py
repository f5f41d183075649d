"""Replies that end before they are over because the server goes: between clauses or words, and what follows later."""

import pytest

from pipeline.audio import SPEECH_RATE
from pipeline.call.context import Entry
from pipeline.call.events import PlaybackStarted, ReplyDone, ReplyTruncated
from pipeline.call.inputs import UserTyped
from pipeline.call.options import CallOptions
from pipeline.call.requests import EndReply, SayText
from pipeline.call.state import State
from tests.pipeline.call.simulation import Simulation

LONG = "The weather is sunny in Paris today. The wind blows from the west. It will stay warm until the evening."


def speaking(seconds: float) -> Simulation:
    """A call in which a reply has sounded for some seconds."""
    call = Simulation([], reply=LONG).run(0.5)
    call.post(UserTyped("How is the weather?"))
    while not call.all(PlaybackStarted):
        call.advance(0.02)
    call.advance(seconds)
    return call


@pytest.mark.parametrize("seconds", [0.3, 1.1, 2.5, 3.7])
def test_a_reply_that_is_to_end_soon_ends_with_its_clause(seconds: float) -> None:
    call = speaking(seconds)
    call.post(EndReply(by=call.now + 60))
    call.advance(8)
    (done,) = call.all(ReplyDone)
    assert done.status == "cancelled"
    # Whole clauses, all of them heard.
    assert LONG.startswith(done.text)
    assert done.text[-1] in ".,"
    assert call.machine.state is State.LISTENING
    assert call.context.entries[-1].text == done.text


@pytest.mark.parametrize("seconds", [0.3, 0.77, 1.13, 1.9, 2.34, 3.31])
def test_one_that_has_no_time_left_ends_with_its_word(seconds: float) -> None:
    call = speaking(seconds)
    answering = call.machine._floor.answering
    assert answering.reply is not None
    before, begin = answering.heard(), answering.reply.start_position() or 0
    word_end = answering.reply.heard_text().word_end(answering.playback.cut)
    call.post(EndReply(by=call.now))
    asked = call.now
    call.advance(2)
    (cut,) = call.all(ReplyTruncated)
    words, whole = cut.text.split(), LONG.split()
    assert words == whole[: len(words)]
    assert len(words) - len(before.split()) <= 2
    # A word of eight letters is said in half a second.
    assert call.when(ReplyTruncated) - (asked - call.began) <= 0.7
    # The sound is over within 30 ms behind the word that was under way.
    assert -0.001 <= (begin - word_end) / SPEECH_RATE + cut.audio_end_ms / 1000 <= 0.03


def test_a_reply_of_one_clause_is_said_to_its_end() -> None:
    call = Simulation([], reply="It is sunny.").run(0.5)
    call.post(UserTyped("How is the weather?"))
    while not call.all(PlaybackStarted):
        call.advance(0.02)
    call.post(EndReply(by=call.now + 60))
    call.advance(4)
    (done,) = call.all(ReplyDone)
    assert done.text == "It is sunny."


def test_what_is_to_be_said_is_said_where_nobody_speaks_and_else_not() -> None:
    call = Simulation([]).run(1)
    call.post(SayText("I have to restart now."))
    call.advance(4)
    assert [done.text for done in call.all(ReplyDone)] == ["I have to restart now."]
    busy = speaking(0.5)
    busy.post(SayText("I have to restart now."))
    busy.advance(12)
    assert [done.text for done in busy.all(ReplyDone)] == [LONG]


@pytest.mark.parametrize(("last", "owed", "replies"), [("user", True, 1), ("assistant", True, 0), ("user", False, 0)])
def test_words_that_a_restart_left_unanswered_are_answered_when_the_call_stands(
    last: str, owed: bool, replies: int
) -> None:
    call = Simulation([], options=CallOptions(owed_reply=owed))
    call.context.entries.append(Entry("item_before", last, "What is the weather in Paris?"))  # type: ignore[arg-type]
    call.run(12)
    assert [done.text for done in call.all(ReplyDone)] == [call.reply] * replies
    if replies:
        assert call.asked[0].request.messages[-1].content == "What is the weather in Paris?"
