"""Which request gets which slot, and what a step evaluates; no model."""

import itertools

import numpy as np
import pytest

from pipeline.engines.llm.llama_batch import PromptPace, SlotTable, StepLimits, Tokens, common_prefix, plan_step
from pipeline.scheduling.lanes import Ticket, Urgency

LIMITS = StepLimits(chunk=32, aside_chunk=8, patience_s=0.25)


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


def test_every_generation_of_the_top_urgency_goes_on_by_one_token() -> None:
    running = [request([1, 2, 3]) for _ in range(4)]
    for tokens in running:
        tokens.evaluated = 2
    assert [share.length for share in plan_step(running, 0.0, LIMITS)] == [1, 1, 1, 1]


def test_prompts_share_the_chunk_by_deadline() -> None:
    late, soon = request([0] * 100, deadline=9.0), request([0] * 20, deadline=1.0)
    assert plan_step([late, soon], 0.0, LIMITS) == [(soon, 20), (late, 12)]


def test_a_generation_goes_on_while_a_prompt_of_the_same_urgency_is_read() -> None:
    speaking, reading = request([1, 2], deadline=5.0), request([0] * 100, deadline=1.0)
    speaking.evaluated = 1
    assert plan_step([speaking, reading], 0.0, LIMITS) == [(reading, 32), (speaking, 1)]


def test_less_urgent_work_waits_and_then_comes_along_in_small_pieces() -> None:
    urgent, background = request([1]), request([0] * 100, urgency=Urgency.BACKGROUND)
    assert plan_step([urgent, background], 0.1, LIMITS) == [(urgent, 1)]
    assert plan_step([urgent, background], 0.3, LIMITS) == [(urgent, 1), (background, 8)]


def test_however_many_wait_in_the_background_one_comes_along_at_a_time_and_each_in_its_turn() -> None:
    urgent = request([1])
    waiting = [request([0] * 1000, urgency=Urgency.BACKGROUND) for _ in range(4)]
    came: list[int] = []
    for step in range(400):
        now = 0.01 * step
        beside = [share.tokens for share in plan_step([urgent, *waiting], now, LIMITS)[1:]]
        assert len(beside) <= 1
        for tokens in beside:
            tokens.served_at = now
            came.append(waiting.index(tokens))
    assert len(came) == pytest.approx(400 * 0.01 / LIMITS.patience_s, abs=4)
    assert set(came) == set(range(4))


def test_work_of_another_call_that_is_less_urgent_does_not_wait_for_the_background() -> None:
    urgent, ahead = request([1]), request([0] * 100, urgency=Urgency.LOOK_AHEAD)
    waiting = [request([0] * 1000, urgency=Urgency.BACKGROUND) for _ in range(4)]
    assert plan_step([urgent, ahead, *waiting], 0.3, LIMITS) == [(urgent, 1), (ahead, 8)]


def test_steps_of_the_background_alone_are_short() -> None:
    waiting = [request([0] * 100, urgency=Urgency.BACKGROUND) for _ in range(3)]
    assert sum(share.length for share in plan_step(waiting, 0.0, LIMITS)) == LIMITS.background_chunk


def test_a_raised_ticket_counts_from_the_next_step_on() -> None:
    first, second = request([0] * 50, urgency=Urgency.SPECULATION), request([0] * 50, urgency=Urgency.SPECULATION)
    assert plan_step([first, second], 0.0, LIMITS)[0].tokens is first
    second.ticket.urgency = Urgency.FIRST_AUDIO
    assert plan_step([first, second], 0.0, LIMITS) == [(second, 32)]


def test_a_small_model_reads_prompts_in_whole_chunks() -> None:
    pace = PromptPace()
    assert LIMITS.paced(pace.token_s) == LIMITS
    pace.learn(32, 0.23, 1)
    assert LIMITS.paced(pace.token_s).chunk == 32


def test_no_step_of_a_large_model_holds_a_core_for_long() -> None:
    """1.5 billion parameters: 32 tokens take 1.2 s on one thread, 0.7 s on two."""
    pace = PromptPace()
    pace.learn(32, 0.7, 2)
    pace.learn(32, 1.2, 1)
    limits = LIMITS.paced(pace.token_s)
    assert (limits.chunk, limits.background_chunk, limits.aside_chunk) == (8, 8, 4)
    (share,) = plan_step([request(list(range(100)))], 0.0, limits)
    assert share.length == 8


def test_a_step_that_was_held_up_is_soon_forgotten() -> None:
    pace = PromptPace()
    pace.learn(32, 0.2, 1)
    pace.learn(32, 90.0, 1)
    assert LIMITS.paced(pace.token_s).chunk == 32
    late = PromptPace()
    late.learn(32, 90.0, 1)
    for _ in range(12):
        late.learn(8, 0.06, 1)
    assert LIMITS.paced(late.token_s).chunk == 32


def test_single_tokens_say_nothing_of_prompts() -> None:
    pace = PromptPace()
    pace.learn(1, 0.1, 1)
    assert pace.token_s == 0.0
