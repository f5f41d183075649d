"""Interim transcripts that came to nothing, and the drafts that had taken them as their own."""

from dataclasses import dataclass

from pipeline.call.effects import Transcribe
from pipeline.call.events import CallFault, ReplyDone, TranscriptCompleted
from pipeline.engines.protocols import Transcript
from tests.pipeline.call.simulation import Say, Simulation

QUESTION = Say(1.0, 4.2, "Could you please tell me how the weather will be in Paris tomorrow?")


@dataclass
class DoubtfulCall(Simulation):
    """Optional transcripts come to nothing, as where the engine doubts its own words."""

    def transcript(self, work: Transcribe) -> Transcript | None:
        return None if work.optional else super().transcript(work)


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
