"""What a step evaluates, by how urgent it is and by how long steps take; no model."""

import itertools
from collections.abc import Mapping

import pytest

from pipeline.engines.llm.llama_slots import Tokens
from pipeline.engines.llm.llama_steps import Share, StepLimits, StepPace, plan_step
from pipeline.scheduling.lanes import Ticket, Urgency

LIMITS = StepLimits(chunk=32, aside_chunk=8, patience_s=0.25, text_patience_s=1.0)

_orders = itertools.count(1)


def request(ids: int, *, evaluated: int = 0, urgency: Urgency = Urgency.FIRST_AUDIO, deadline: float = 1.0) -> Tokens:
    return Tokens(Ticket(urgency, deadline), next(_orders), "", [0] * ids, evaluated=evaluated)


def speaking(urgency: Urgency = Urgency.FIRST_AUDIO, deadline: float = 1.0) -> Tokens:
    """A request that waits for its next token."""
    return request(3, evaluated=2, urgency=urgency, deadline=deadline)


def pace_of(seconds: Mapping[int, float], threads: int = 1) -> StepPace:
    """Where so many single tokens in a step take so long."""
    pace = StepPace()
    for count, took in seconds.items():
        pace.learn([Share(speaking(), 1) for _ in range(count)], took, threads)
    return pace


def test_tokens_of_several_conversations_come_together_where_that_saves_time() -> None:
    running = [speaking() for _ in range(4)]
    assert len(plan_step(running, 0.0, LIMITS, pace_of({1: 0.010, 4: 0.015}))) == 4


def test_who_has_waited_longest_goes_alone_where_tokens_together_take_as_long() -> None:
    late, soon = speaking(deadline=9.0), speaking(deadline=1.0)
    assert plan_step([late, soon], 0.0, LIMITS, pace_of({1: 0.012, 2: 0.030})) == [(soon, 1)]


def test_as_many_come_together_as_save_time() -> None:
    running = [speaking() for _ in range(4)]
    assert len(plan_step(running, 0.0, LIMITS, pace_of({1: 0.010, 2: 0.012, 3: 0.029, 4: 0.040}))) == 2


def test_what_is_not_known_is_tried() -> None:
    assert len(plan_step([speaking(), speaking()], 0.0, LIMITS, StepPace())) == 2


def test_a_step_that_another_program_held_up_is_tried_again() -> None:
    pace = pace_of({1: 0.010, 2: 0.030})
    tried: list[int] = []
    for step in range(3000):
        if pace.batch(2) == 2:
            tried.append(step)
            pace.learn([Share(speaking(), 1), Share(speaking(), 1)], 0.030, 1)
    assert 1 < tried[0] < 50, "once may have been bad luck"
    assert tried[-1] > 2500, "never given up"
    assert len([step for step in tried if step > 1000]) < 200, "and hardly ever any more"


def test_the_prompt_that_is_due_first_is_read_alone() -> None:
    late, soon = request(100, deadline=9.0), request(20, deadline=1.0)
    assert plan_step([late, soon], 0.0, LIMITS, StepPace()) == [(soon, 20)]
    assert plan_step([late], 0.0, LIMITS, StepPace()) == [(late, 32)]


def test_the_first_clause_of_who_waits_longest_does_not_wait_for_prompts_of_others() -> None:
    first, reading = speaking(deadline=1.0), request(100, deadline=5.0)
    assert plan_step([first, reading], 0.0, LIMITS, StepPace()) == [(first, 1)]


@pytest.mark.parametrize("urgency", [Urgency.SPECULATION, Urgency.LOOK_AHEAD])
def test_what_may_be_in_vain_never_takes_a_step_from_who_waits(urgency: Urgency) -> None:
    waiting, ahead = speaking(), request(100, urgency=urgency)
    assert plan_step([waiting, ahead], 1_000.0, LIMITS, StepPace()) == [(waiting, 1)]


def test_a_reply_that_runs_dry_has_a_step_in_between() -> None:
    waiting, dry = speaking(), speaking(Urgency.RUNNING_DRY)
    assert plan_step([waiting, dry], 0.1, LIMITS, StepPace()) == [(waiting, 1)]
    assert plan_step([waiting, dry], 0.3, LIMITS, StepPace()) == [(dry, 1)]
    dry.served_at = 0.3
    assert plan_step([waiting, dry], 0.4, LIMITS, StepPace()) == [(waiting, 1)]


def test_texts_have_small_steps_in_between() -> None:
    waiting, text = speaking(), request(100, urgency=Urgency.BACKGROUND)
    assert plan_step([waiting, text], 0.9, LIMITS, StepPace()) == [(waiting, 1)]
    assert plan_step([waiting, text], 1.1, LIMITS, StepPace()) == [(text, 8)]


def test_however_many_texts_wait_one_has_a_step_at_a_time_and_each_in_its_turn() -> None:
    waiting = speaking()
    texts = [request(10_000, urgency=Urgency.BACKGROUND) for _ in range(4)]
    came: list[int] = []
    for step in range(4_000):
        now = 0.01 * step
        (share,) = plan_step([waiting, *texts], now, LIMITS, StepPace())
        share.tokens.served_at = now
        if share.tokens is not waiting:
            came.append(texts.index(share.tokens))
    assert len(came) == pytest.approx(4_000 * 0.01 / LIMITS.text_patience_s, abs=4)
    assert set(came) == set(range(4))


def test_steps_of_texts_alone_are_short_and_shared() -> None:
    texts = [request(10, urgency=Urgency.BACKGROUND) for _ in range(3)]
    lengths = [share.length for share in plan_step(texts, 0.0, LIMITS, StepPace())]
    assert lengths == [10, 6]
    assert sum(lengths) == LIMITS.background_chunk


def test_a_raised_ticket_counts_from_the_next_step_on() -> None:
    first, second = request(50, urgency=Urgency.SPECULATION), request(50, urgency=Urgency.SPECULATION)
    assert plan_step([first, second], 0.0, LIMITS, StepPace())[0].tokens is first
    second.ticket.urgency = Urgency.FIRST_AUDIO
    assert plan_step([first, second], 0.0, LIMITS, StepPace()) == [(second, 32)]


def read(pace: StepPace, tokens: int, seconds: float, threads: int) -> None:
    pace.learn([Share(request(tokens), tokens)], seconds, threads)


def test_a_single_token_takes_a_second_core_only_where_that_saves_time() -> None:
    """On Zen 4 it takes 12.6 ms on one thread and 11.8 on two, on a Xeon 18 and 11."""
    little, much = pace_of({1: 0.0126}), pace_of({1: 0.018})
    assert little.threads(1, 2) == 2, "it is tried"
    little.learn([Share(speaking(), 1)], 0.0118, 2)
    much.learn([Share(speaking(), 1)], 0.011, 2)
    assert little.threads(1, 2) == 1
    assert much.threads(1, 2) == 2
    assert StepPace().threads(1, 1) == 1


def test_a_prompt_takes_a_second_core_only_where_other_programs_leave_it_one() -> None:
    pace = StepPace()
    read(pace, 32, 0.100, 2)
    assert pace.threads(20, 2) == 1, "it is tried"
    read(pace, 32, 0.160, 1)
    assert pace.threads(20, 2) == 2
    for _ in range(20):
        read(pace, 32, 0.200, 2)
    assert pace.threads(20, 2) == 1
    assert 2 in [pace.threads(20, 2) for _ in range(1000)], "and again later"


def test_a_first_try_beside_something_else_does_not_keep_a_core_from_prompts_for_long() -> None:
    pace = StepPace()
    read(pace, 16, 0.320, 1)
    read(pace, 16, 0.305, 2)  # half of that with both cores to itself
    threads = []
    for _ in range(10):
        threads.append(pace.threads(10, 2))
        read(pace, 10, 0.11 if threads[-1] == 2 else 0.2, threads[-1])
    assert threads[0] == 1
    assert threads[-5:] == [2] * 5


@pytest.mark.parametrize("urgency", [Urgency.SPECULATION, Urgency.LOOK_AHEAD])
def test_the_words_of_a_turn_do_not_wait_long_for_a_guess_at_them(urgency: Urgency) -> None:
    """Of a model with 0.5 billion parameters, which reads 50 tokens a second on one thread."""
    pace = StepPace()
    read(pace, 16, 0.32, 1)
    limits = LIMITS.paced(pace.token_s)
    (guessed,) = plan_step([request(100, urgency=urgency)], 0.0, limits, pace)
    (certain,) = plan_step([request(100)], 0.0, limits, pace)
    assert guessed.length * pace.token_s <= 0.1
    assert certain.length > guessed.length
    quick = StepPace()
    read(quick, 16, 0.05, 1)
    assert LIMITS.paced(quick.token_s).ahead_chunk == 32


def test_a_small_model_reads_prompts_in_whole_chunks() -> None:
    pace = StepPace()
    assert LIMITS.paced(pace.token_s) == LIMITS
    read(pace, 32, 0.23, 1)
    assert LIMITS.paced(pace.token_s).chunk == 32


def test_no_step_of_a_large_model_holds_a_core_for_long() -> None:
    """1.5 billion parameters: 32 tokens take 1.2 s on one thread, 0.7 s on two."""
    pace = StepPace()
    read(pace, 32, 0.7, 2)
    read(pace, 32, 1.2, 1)
    limits = LIMITS.paced(pace.token_s)
    assert (limits.chunk, limits.background_chunk, limits.aside_chunk) == (8, 8, 4)
    (share,) = plan_step([request(100)], 0.0, limits, pace)
    assert share.length == 8


def test_a_step_that_was_held_up_is_soon_forgotten() -> None:
    pace = StepPace()
    read(pace, 32, 0.2, 1)
    read(pace, 32, 90.0, 1)
    assert LIMITS.paced(pace.token_s).chunk == 32
    late = StepPace()
    read(late, 32, 90.0, 1)
    for _ in range(12):
        read(late, 8, 0.06, 1)
    assert LIMITS.paced(late.token_s).chunk == 32


def test_single_tokens_say_nothing_of_prompts() -> None:
    assert pace_of({1: 0.1, 8: 0.5}).token_s == 0.0
