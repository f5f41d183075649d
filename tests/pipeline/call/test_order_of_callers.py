"""Of several callers, who fell silent first goes first: all work for a turn carries that moment as its deadline."""

import pytest

from pipeline.call.effects import Generate, Synthesize
from tests.pipeline.call.simulation import Delays, Say, Simulation

QUESTION = Say(1.0, 2.0, "How are you today?")


@pytest.mark.parametrize("stt", [0.05, 0.6])
def test_the_answer_is_due_when_the_caller_fell_silent_however_long_the_words_took(stt: float) -> None:
    call = Simulation(script=[QUESTION], delays=Delays(stt=stt)).run(5.0)
    tickets = [work.ticket for work in call.effects(Generate)] + [call.effects(Synthesize)[0].ticket]
    assert len(tickets) == 2
    for due in (ticket.deadline - call.began for ticket in tickets):
        assert QUESTION.end <= due <= QUESTION.end + 0.1
