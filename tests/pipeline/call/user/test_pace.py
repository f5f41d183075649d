"""How far ahead of the listener a reply is written and spoken."""

import pytest

from pipeline.call.effects import Generate, Synthesize
from pipeline.call.events import PlaybackStarted, PlaybackStopped, ReplyDone
from pipeline.call.reply.reply import TEXT_AHEAD_S
from pipeline.scheduling.lanes import Urgency
from pipeline.text.chunker import TextChunker
from server.testing.virtual_call import Delays
from tests.pipeline.call.simulation import Say, Simulation

QUESTION = Say(1.0, 2.5, "What is the weather like?")
LONG = "The wind blows from the west, and it will stay warm until the evening comes. " * 12
RATE = 1 / 0.06
"""Characters a second of the simulated voice."""


def test_a_long_reply_is_written_only_some_seconds_ahead_of_what_is_heard() -> None:
    call = Simulation([QUESTION], reply=LONG).run(90)
    started = call.when(PlaybackStarted)
    assert call.when(PlaybackStopped) == pytest.approx(started + len(LONG) / RATE, abs=3.0), "it was heard to its end"
    for second in range(1, 40):
        written = max(count for at, count in call.written if at <= started + second)
        # A piece may take it beyond, by as much as a long clause.
        assert written / RATE - second <= TEXT_AHEAD_S + 4.5, f"at {second} s"
    assert call.counts()["starved"] == 0
    (done,) = call.all(ReplyDone)
    assert done.text == LONG.strip()


def test_a_language_model_hardly_faster_than_speech_never_rests_itself_into_silence() -> None:
    call = Simulation([QUESTION], reply=LONG, delays=Delays(llm_token=0.12)).run(6)
    before = call.counts()["starved"]
    call.run(94)
    assert call.counts()["starved"] == before, "only behind the first words, where it could not be ahead yet"
    assert call.all(ReplyDone)[0].status == "completed"


def test_an_interrupted_reply_was_not_written_to_its_end() -> None:
    barge = Say(5.0, 7.0, "Stop, I want to know something else.")
    call = Simulation([QUESTION, barge], reply=LONG).run(7)
    first = call.effects(Generate)[0]
    assert first.ticket.cancelled
    assert call.written[-1][1] < len(LONG) * 0.5


def test_a_reply_that_may_never_be_released_is_written_no_further_than_its_first_clauses() -> None:
    hesitating = Say(1.0, 2.5, "What is the weather like", score=0.02)
    call = Simulation([hesitating], reply=LONG).run(3.6)
    assert not call.all(PlaybackStarted), "the turn is not over yet"
    assert 0 < call.written[-1][1] < 120
    call.run(60)
    assert call.counts()["starved"] == 0
    assert call.all(ReplyDone)[0].text == LONG.strip()


def test_while_a_reply_rests_its_sentence_is_not_broken_off() -> None:
    call = Simulation([QUESTION], reply=LONG).run(60)
    pieces = [work.text for work in call.effects(Synthesize)]
    chunker = TextChunker()
    assert pieces == [piece.strip() for piece in (*chunker.push(LONG), *chunker.finish())]


def test_a_piece_in_the_making_becomes_urgent_when_the_audio_runs_out() -> None:
    call = Simulation([QUESTION], reply=LONG, delays=Delays(tts=1.5)).run(1)
    seen: dict[int, set[Urgency]] = {}
    for _ in range(300):
        call.run(0.05)
        for work in call.effects(Synthesize):
            seen.setdefault(work.piece, set()).add(work.ticket.urgency)
    assert any({Urgency.LOOK_AHEAD, Urgency.RUNNING_DRY} <= urgencies for urgencies in seen.values())
