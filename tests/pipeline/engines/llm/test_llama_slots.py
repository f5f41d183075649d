"""Which request gets which slot; no model."""

import itertools

import numpy as np

from pipeline.engines.llm.llama_slots import SlotTable, Tokens, common_prefix
from pipeline.scheduling.lanes import Ticket, Urgency

_orders = itertools.count(1)


def request(
    ids: list[int], conversation: str = "", *, urgency: Urgency = Urgency.FIRST_AUDIO, deadline: float = 1.0
) -> Tokens:
    return Tokens(Ticket(urgency, deadline), next(_orders), conversation, ids)


def fill(table: SlotTable, tokens: Tokens, now: float) -> int:
    """Evaluate a request to its end; the slot that it had."""
    placement = table.place(tokens, now)
    assert placement is not None
    tokens.evaluated = len(tokens.ids)
    table.release(tokens, now)
    return placement.slot


def test_common_prefix_counts_equal_tokens_from_the_beginning() -> None:
    assert common_prefix([1, 2, 3], [1, 2, 4]) == 2
    assert common_prefix([1, 2], [1, 2, 3]) == 2
    assert common_prefix([], [1]) == 0
    assert common_prefix([5], [1]) == 0


def test_the_slot_of_a_call_that_is_quiet_for_a_moment_is_the_last_to_be_taken() -> None:
    table = SlotTable(2)
    call = fill(table, request([1, 2], "call"), 1.0)
    written = [fill(table, request([at], f"text {at}", urgency=Urgency.BACKGROUND), float(at)) for at in (5, 6, 7)]
    assert set(written) == {1 - call}
    placement = table.place(request([9], "text 9", urgency=Urgency.BACKGROUND), 8.0)
    assert placement is not None
    assert placement.slot != call


def test_while_one_slot_serves_the_background_nobody_takes_that_of_a_quiet_call() -> None:
    table = SlotTable(2)
    call = fill(table, request([1, 2], "call"), 1.0)
    text = request([5], "text", urgency=Urgency.BACKGROUND)
    table.place(text, 2.0)
    assert table.place(request([9], "another text", urgency=Urgency.BACKGROUND), 3.0) is None
    other_call = request([7], "another call")
    assert table.place(other_call, 3.0) is None, "the text has to make room"
    table.release(text, 4.0)
    placement = table.place(other_call, 4.0)
    assert placement is not None
    assert placement.slot != call
    # Between two calls there is nothing left to choose.
    third = table.place(request([8], "a third call"), 5.0)
    assert third is not None
    assert third.slot == call


def test_a_call_that_is_over_does_not_keep_its_slot_for_ever() -> None:
    table = SlotTable(2)
    call = fill(table, request([1, 2], "call"), 1.0)
    fill(table, request([5], "text", urgency=Urgency.BACKGROUND), 100.0)
    placement = table.place(request([9], "other", urgency=Urgency.BACKGROUND), 101.0)
    assert placement is not None
    assert placement.slot == call


def test_a_growing_conversation_keeps_its_slot_and_what_it_holds() -> None:
    table = SlotTable(4)
    slot = fill(table, request([1, 2, 3, 4], "a"), 1.0)
    fill(table, request([9, 9, 9], "b"), 2.0)
    assert table.place(request([1, 2, 3, 4, 5, 6], "a")) == (slot, 4, None)


def test_the_same_prompt_again_evaluates_its_last_token_again() -> None:
    table = SlotTable(1)
    fill(table, request([1, 2, 3], "a"), 1.0)
    again = request([1, 2, 3], "a")
    placement = table.place(again)
    assert placement is not None
    assert (placement.keep, again.pending) == (2, 1)


def test_the_same_prompt_after_a_prefill_needs_nothing_evaluated() -> None:
    table = SlotTable(1)
    prefilled = request([1, 2, 3], "a")
    table.place(prefilled)
    prefilled.evaluated, prefilled.logits = 3, np.array([0.5], np.float32)
    table.release(prefilled, 1.0)
    again = request([1, 2, 3], "a")
    table.place(again)
    assert again.pending == 0
    assert again.logits is not None


def test_scores_of_a_prefill_do_not_outlive_its_slot_content() -> None:
    table = SlotTable(1)
    prefilled = request([1, 2, 3], "a")
    table.place(prefilled)
    prefilled.evaluated, prefilled.logits = 3, np.array([0.5], np.float32)
    table.release(prefilled, 1.0)
    fill(table, request([1, 2, 7], "a"), 2.0)
    again = request([1, 2, 3], "a")
    table.place(again)
    assert again.logits is None
    assert again.pending == 1


def test_a_beginning_shared_with_another_conversation_is_copied() -> None:
    table = SlotTable(4)
    system = list(range(100, 130))
    first = fill(table, request([*system, 1, 2], "a"), 1.0)
    placement = table.place(request([*system, 3, 4], "b"))
    assert placement is not None
    assert placement.slot != first
    assert (placement.keep, placement.source) == (30, first)


def test_a_beginning_is_copied_from_a_slot_that_is_in_use() -> None:
    table = SlotTable(2)
    running = request(list(range(50)), "a")
    placed = table.place(running)
    assert placed is not None
    running.evaluated = 40
    placement = table.place(request([*range(45), 99], "a"))
    assert placement is not None
    assert (placement.keep, placement.source) == (40, placed.slot)


def test_a_short_shared_beginning_is_not_worth_a_copy() -> None:
    table = SlotTable(2)
    fill(table, request([1, 2, 3, 4], "a"), 1.0)
    placement = table.place(request([1, 2, 9], "b"))
    assert placement is not None
    assert placement.source is None
    assert placement.keep == 0


def test_when_all_slots_are_known_the_one_idle_longest_is_given_away() -> None:
    table = SlotTable(3)
    slots = {name: fill(table, request([ord(name)], name), at) for name, at in (("a", 2.0), ("b", 1.0), ("c", 3.0))}
    placement = table.place(request([7], "d"))
    assert placement is not None
    assert placement.slot == slots["b"]


def test_no_slot_is_given_while_all_have_owners() -> None:
    table = SlotTable(1)
    table.place(request([1], "a"))
    assert table.place(request([1], "a")) is None


def test_what_is_read_ahead_of_time_takes_no_slot_of_a_quiet_call() -> None:
    table = SlotTable(2)
    slots = {name: fill(table, request([at], name), float(at)) for at, name in ((1, "a"), (2, "b"))}
    ahead = request([9], "c", urgency=Urgency.LOOK_AHEAD)
    assert table.place(ahead, 3.0, ahead=True) is None
    own = table.place(request([1, 4], "a", urgency=Urgency.LOOK_AHEAD), 3.0, ahead=True)
    assert own is not None
    assert own.slot == slots["a"]
    later = table.place(ahead, 100.0, ahead=True)
    assert later is not None, "that call has been quiet for long"
    assert later.slot == slots["b"]
