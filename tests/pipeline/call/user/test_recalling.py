"""Memories of earlier conversations in a call: when they are asked for, where they stand, and what they may cost."""

from dataclasses import replace

import pytest

from pipeline.call.context import Context, Entry
from pipeline.call.effects import Generate, Prefill, Recall
from pipeline.call.events import PlaybackStarted, TranscriptCompleted
from pipeline.call.inputs import UserTyped
from pipeline.engines.protocols import Message
from server.testing.virtual_call import Delays
from tests.pipeline.call.simulation import Say, Simulation

SHORT = Say(1.0, 2.0, "What is my dog called?")
LONG = Say(1.0, 5.0, "I was wondering the whole day long if you still know what my dog is called.")
BISCUIT = ("My dog is called Biscuit.",)
REMINDED = '(In earlier conversations I said: "My dog is called Biscuit.")\n'


def asked(call: Simulation, number: int = -1) -> list[Message]:
    """The messages of a request to the language model."""
    return list(call.asked[number].request.messages)


@pytest.mark.parametrize("said", [SHORT, LONG])
def test_memories_stand_before_the_words_that_they_fit(said: Say) -> None:
    call = Simulation([said], memories=BISCUIT).run(14)
    assert [message.role for message in asked(call)] == ["system", "user"]
    assert asked(call)[-1].content == REMINDED + said.text
    assert len(call.asked) == 1


def test_they_are_asked_for_while_the_user_speaks_and_read_before_the_turn_is_over() -> None:
    call = Simulation([LONG], memories=BISCUIT).run(14)
    order = [effect for effect in call.work if isinstance(effect, Recall | Prefill | Generate)]
    before = order[: order.index(call.asked[0])]
    assert any(isinstance(effect, Recall) for effect in before)
    read = [effect.request.messages[-1].content for effect in before if isinstance(effect, Prefill)]
    assert any(content.startswith(REMINDED) for content in read)


def test_a_long_turn_costs_nothing_and_a_short_one_the_time_of_the_question() -> None:
    for said, cost in ((LONG, 0.0), (SHORT, 0.02)):
        without = Simulation([said]).run(14).when(PlaybackStarted)
        reminded = Simulation([said], memories=BISCUIT, delays=Delays(recall=0.02)).run(14).when(PlaybackStarted)
        assert reminded - without <= cost + 0.021, said.text


@pytest.mark.parametrize("recall", [0.3, None])
def test_memories_that_do_not_come_in_time_are_done_without(recall: float | None) -> None:
    without = Simulation([SHORT]).run(14).when(PlaybackStarted)
    call = Simulation([SHORT], memories=BISCUIT, delays=Delays(recall=recall)).run(14)
    assert call.when(PlaybackStarted) - without <= 0.08
    assert [message.content for message in asked(call)][1:] == [SHORT.text]
    assert [entry.recalled for entry in call.context.entries] == [(), ()]


def test_nothing_changes_where_nothing_is_recalled() -> None:
    plain, empty = Simulation([LONG, Say(14, 15, "And yours?")]), Simulation([LONG, Say(14, 15, "And yours?")])
    empty.memories = ()
    plain.run(24)
    empty.run(24)
    assert [each.request for each in plain.asked] == [each.request for each in empty.asked]


def test_the_prompt_only_grows_at_its_end() -> None:
    call = Simulation([SHORT, Say(14.0, 15.2, "And what does he eat?")], memories=BISCUIT).run(26)
    first, second = asked(call, 0), asked(call, 1)
    assert second[: len(first)] == first


def test_a_turn_of_a_word_or_two_reminds_of_nothing() -> None:
    call = Simulation([Say(1.0, 1.6, "Yes please.")], memories=BISCUIT).run(10)
    assert call.effects(Recall) == []
    assert [message.content for message in asked(call)][1:] == ["Yes please."]


def test_the_same_words_again_do_not_make_a_second_reply() -> None:
    """A noise behind the question makes a new draft with the same words."""
    call = Simulation([replace(SHORT, score=0.05), Say(2.6, 2.8, "")], memories=BISCUIT).run(14)
    assert [event.text for event in call.all(TranscriptCompleted)] == [SHORT.text]
    assert len(call.asked) == 1
    assert len(call.effects(Recall)) == 1


def test_a_question_that_goes_on_is_asked_about_to_its_last_words() -> None:
    call = Simulation(
        [Say(1.0, 2.0, "I would like to know", score=0.05), Say(3.0, 5.4, "what on earth my little dog is called.")],
        memories=(),
    ).run(16)
    questions = [effect.text for effect in call.effects(Recall)]
    assert questions[0] == "I would like to know"
    assert "dog" in questions[-1]


def test_a_typed_question_is_reminded_too() -> None:
    call = Simulation([], memories=BISCUIT).run(1)
    call.post(UserTyped("What is my dog called?"))
    call.run(8)
    assert asked(call)[-1].content == REMINDED + "What is my dog called?"
    assert [entry.role for entry in call.context.entries] == ["user", "assistant"]


def test_the_context_keeps_a_memory_where_it_stood() -> None:
    context = Context("Be kind.", "conversation")
    context.add(Entry("item_1", "user", "What is my dog called?", recalled=BISCUIT))
    context.add(Entry("item_2", "assistant", "Biscuit."))
    assert [message.content for message in context.messages("Thanks")][1:] == [
        REMINDED + "What is my dog called?",
        "Biscuit.",
        "Thanks",
    ]
