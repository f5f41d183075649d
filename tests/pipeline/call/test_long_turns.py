"""Long turns with pauses: no stretch is transcribed twice, however slow speech to text is, and no word is lost."""

import itertools

import pytest

from pipeline.audio import HEARING_RATE
from pipeline.call.effects import Transcribe
from pipeline.call.events import CallFault, ReplyDone, TranscriptCompleted
from pipeline.call.inputs import Transcribed
from pipeline.call.options import CallOptions
from tests.pipeline.call.simulation import Delays, Say, Simulation

STRETCHES = ("one two three four five six", "seven eight nine ten eleven", "twelve thirteen fourteen fifteen")
LONG = [Say(1 + 4 * n, 4.5 + 4 * n, text, score=0.05) for n, text in enumerate(STRETCHES)]


def transcriptions(call: Simulation) -> list[Transcribe]:
    """Those that were asked for at silences."""
    return [work for work in call.effects(Transcribe) if not work.optional]


@pytest.mark.parametrize("stt", [0.1, 0.8, 3.0])
def test_each_stretch_is_transcribed_once_and_no_word_is_lost(stt: float) -> None:
    call = Simulation(LONG, delays=Delays(stt=stt)).run(30)
    assert call.all(TranscriptCompleted)[-1].text == " ".join(STRETCHES)
    work = transcriptions(call)
    assert len(work) == len(STRETCHES)
    for one, next_one in itertools.pairwise(work):
        assert next_one.start == one.end


def test_a_turn_that_goes_on_before_its_words_are_known_loses_none() -> None:
    """The policy took the first stretch as over; its transcript comes long after the second has begun."""
    script = [Say(1.0, 4.5, STRETCHES[0]), Say(6.4, 9.1, STRETCHES[1])]
    call = Simulation(script, delays=Delays(stt=3.0)).run(24)
    assert call.counts()["reopened"] == 1
    assert call.all(TranscriptCompleted)[-1].text == " ".join(STRETCHES[:2])
    assert max(work.end - work.start for work in transcriptions(call)) < 5 * HEARING_RATE


def test_a_stretch_in_a_short_pause_is_transcribed_with_what_follows() -> None:
    script = [Say(1.0, 4.5, STRETCHES[0], score=0.05), Say(4.65, 8.0, STRETCHES[1])]
    call = Simulation(script, delays=Delays(stt=0.5)).run(24)
    assert call.all(TranscriptCompleted)[-1].text == " ".join(STRETCHES[:2])
    assert transcriptions(call)[-1].start == transcriptions(call)[0].start


def test_a_stretch_that_cannot_be_transcribed_fails_the_turn_instead_of_leaving_a_hole() -> None:
    call = Simulation(LONG[:2], delays=Delays(stt=None)).run(8.0)
    first = transcriptions(call)[0]
    call.post(Transcribed(first.job, None))
    call.delays.stt = 0.1
    call.run(16)
    second = transcriptions(call)[-1]
    call.post(Transcribed(second.job, call.transcript(second)))
    call.run(8)
    assert any(event.code == "stt_failed" for event in call.all(CallFault))
    assert call.all(TranscriptCompleted) == []
    assert call.sounding(10, 26) > 0
    assert call.all(ReplyDone)


def test_without_speculation_the_whole_turn_is_transcribed_at_its_end() -> None:
    call = Simulation(LONG, options=CallOptions(speculate=False), delays=Delays(stt=0.5)).run(30)
    assert call.all(TranscriptCompleted)[-1].text == " ".join(STRETCHES)
    assert len(transcriptions(call)) == 1
