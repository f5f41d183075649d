"""Interim transcripts that came to nothing or are doubted, and the drafts that had taken them as their own."""

from dataclasses import dataclass, replace

import pytest

from pipeline.call.effects import Transcribe
from pipeline.call.events import CallFault, ReplyDone, TranscriptCompleted, TranscriptDelta
from pipeline.call.options import CallOptions
from pipeline.engines.protocols import Transcript
from tests.pipeline.call.simulation import Delays, Say, Simulation

QUESTION = Say(1.0, 4.2, "Could you please tell me how the weather will be in Paris tomorrow?")


SLOW = CallOptions(transcript_s=0.3)
LOOP = "Paris Paris Paris Paris Paris Paris."


@dataclass
class DoubtfulCall(Simulation):
    """Optional transcripts come to nothing, as where the engine doubts its own words."""

    def transcript(self, work: Transcribe) -> Transcript | None:
        return None if work.optional else super().transcript(work)


@dataclass
class LoopingCall(Simulation):
    """Speech to text repeats itself, and says so, wherever it was not asked for the words of a silence."""

    def transcript(self, work: Transcribe) -> Transcript | None:
        heard = super().transcript(work)
        wanted = self.machine._listening.turn
        final = wanted is None or (wanted.draft is not None and wanted.draft.job == work.job)
        return heard if final or heard is None else replace(heard, text=LOOP, doubted=True)


@dataclass
class DoubtedCall(Simulation):
    """The engine doubts every optional transcript, which it was not to hear again."""

    def transcript(self, work: Transcribe) -> Transcript | None:
        heard = super().transcript(work)
        return replace(heard, text=LOOP, doubted=True) if work.optional and heard is not None else heard


def test_a_turn_is_heard_although_every_interim_transcript_came_to_nothing() -> None:
    call = DoubtfulCall([QUESTION]).run(12)
    assert [event.text for event in call.all(TranscriptCompleted)] == [QUESTION.text]
    assert not call.all(CallFault)
    assert call.all(ReplyDone)[-1].status == "completed"


def test_an_adopted_interim_transcript_that_comes_to_nothing_is_asked_for_again() -> None:
    call = DoubtfulCall([QUESTION])
    listening = call.machine._listening
    look = listening._look

    def slow(ticket: object, now: float, *, optional: bool) -> None:
        # As on a slow machine: only an optional look is on its way when the silence comes.
        look(ticket, now, optional=True)  # type: ignore[arg-type]

    listening._look = slow  # type: ignore[method-assign,assignment]
    call.run(12)
    assert [event.text for event in call.all(TranscriptCompleted)] == [QUESTION.text]
    assert not call.all(CallFault)


@pytest.mark.parametrize("kind", [DoubtfulCall, DoubtedCall])
def test_a_silence_hears_again_what_the_interim_transcript_it_adopted_has_not_heard(kind: type[Simulation]) -> None:
    adopted = 0
    for hundredths in range(390, 420, 2):
        said = Say(1.0, hundredths / 100, QUESTION.text)
        call = kind([said], options=SLOW, delays=Delays(stt=0.5)).run(14)
        asked = [(work.start, work.end) for work in call.effects(Transcribe)]
        adopted += len(set(asked)) < len(asked)
        assert [event.text for event in call.all(TranscriptCompleted)] == [QUESTION.text]
        assert not call.all(CallFault)
    assert adopted


@pytest.mark.parametrize("options", [CallOptions(), SLOW], ids=["eager", "slow"])
def test_doubted_interim_transcripts_are_neither_shown_nor_answered(options: CallOptions) -> None:
    # Known before the silence is long enough for a draft, so that it could adopt them or guess from them.
    call = LoopingCall([Say(1.0, 9.0, QUESTION.text)], options=options, delays=Delays(stt=0.02)).run(16)
    assert len(call.effects(Transcribe)) > 2
    assert [event.text for event in call.all(TranscriptCompleted)] == [QUESTION.text]
    assert not [event for event in call.all(TranscriptDelta) if "Paris Paris" in event.delta]
    assert not [asked for asked in call.asked if LOOP in str(asked.request.messages)]
    assert not call.all(CallFault)


def test_no_reply_is_begun_from_a_doubted_transcript_of_just_before_the_silence() -> None:
    for hundredths in range(240, 320, 4):
        said = Say(1.0, hundredths / 100, "How will the weather be in Paris?")
        call = DoubtedCall([said], delays=Delays(stt=0.12)).run(14)
        assert call.all(ReplyDone)[-1].status == "completed"
        assert not [asked for asked in call.asked if LOOP in str(asked.request.messages)]


@pytest.mark.parametrize("kind", [DoubtfulCall, DoubtedCall])
def test_who_goes_on_from_a_silence_whose_interim_transcript_comes_to_nothing_loses_no_word(
    kind: type[Simulation],
) -> None:
    adopted = 0
    for hundredths in range(390, 420, 2):
        end = hundredths / 100
        first = Say(1.0, end, "Could you please tell me how the weather will be in Paris", score=0.1)
        rest = Say(end + 0.35, end + 2.5, "and in London on the day after?")
        call = kind([first, rest], options=SLOW, delays=Delays(stt=0.5)).run(14)
        turn = call.machine._listening.turn
        assert turn is not None
        asked = [(work.start, work.end) for work in call.effects(Transcribe)]
        # Asked twice: an interim transcript that a silence had adopted, and the head that it became.
        adopted += any(asked.count((head.start, head.end)) > 1 for head in turn.heads)
        assert [event.text for event in call.all(TranscriptCompleted)] == [f"{first.text} {rest.text}"]
        assert not call.all(CallFault)
    assert adopted
