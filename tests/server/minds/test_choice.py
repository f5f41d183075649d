"""Which language model a machine is given."""

import dataclasses

import pytest

from pipeline.engines.llm.speed import LanguageModelSpeed
from pipeline.models import Manifest, Model
from server.minds.choice import MOST_OF_QUICK, choose, too_slow
from server.minds.speed_book import SpeedBook

TINY, SMALL, LARGE = "smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct", "qwen2.5-coder-1.5b-instruct"
ALL_MINDS = tuple(model for model in Manifest.load().models if model.role == "llm")
MINDS = tuple(model for model in ALL_MINDS if model.wheels)
"""Those of the package index."""

SIZES = {model.id: model.size for model in MINDS}
GIB = 1 << 30

XEON = LanguageModelSpeed(0.09, 0.06, 1 / 56)
"""The tiny model on the machine of the issue's table, whose others take 0.24 s and 21/s, 0.69 s and 11/s."""

OTHERS_S = 0.54
"""What a caller waits for there besides."""


def slower(factor: float) -> SpeedBook:
    return SpeedBook({TINY: dataclasses.replace(XEON.times(factor), measured=True)}, OTHERS_S * factor)


QUICK_CORES = dataclasses.replace(slower(0.3), others_s=0.5)
"""A processor on which a wiser model makes no difference to a caller."""


def mind(model_id: str) -> Model:
    return next(model for model in MINDS if model.id == model_id)


def chosen(known: SpeedBook, memory: int | None = 16 * GIB) -> tuple[str, tuple[str, ...]]:
    """What answers, and what is better."""
    choice = choose(MINDS, known, memory)
    return choice.now, choice.better


def test_before_anything_is_measured_the_quick_one_answers_and_nothing_is_fetched() -> None:
    assert chosen(SpeedBook()) == (TINY, ())


def test_two_cores_of_today_afford_the_one_between() -> None:
    assert chosen(slower(1.0)) == (TINY, (SMALL,))


def test_where_the_rest_takes_its_time_a_wiser_one_is_no_longer_noticed() -> None:
    assert chosen(dataclasses.replace(slower(1.0), others_s=1.7)) == (TINY, (LARGE, SMALL))


def test_where_the_rest_is_quick_the_same_one_would_be_waited_for() -> None:
    assert chosen(dataclasses.replace(slower(1.0), others_s=0.2)) == (TINY, ())


def test_on_slow_cores_none_is_fetched_that_speaks_slower_than_speech() -> None:
    assert chosen(slower(8.0)) == (TINY, ())


def test_memory_bounds_it_too() -> None:
    assert chosen(QUICK_CORES, 3 * GIB // 2) == (TINY, (SMALL,))
    assert choose(MINDS, QUICK_CORES, None).better == (LARGE, SMALL)


def test_one_that_turned_out_too_slow_is_not_tried_again() -> None:
    known = QUICK_CORES.with_speed(LARGE, LanguageModelSpeed(2.0, 2.5, 0.5))
    assert chosen(known) == (TINY, (SMALL,))


def test_one_that_was_deleted_is_fetched_again() -> None:
    known = QUICK_CORES.with_speed(LARGE, LanguageModelSpeed(0.2, 0.1, 0.1))
    assert choose(MINDS, known, 16 * GIB).better[0] == LARGE


def test_where_the_hub_is_reached_further_ones_are_tried_before_those_of_the_index() -> None:
    better = choose(ALL_MINDS, dataclasses.replace(slower(0.2), others_s=0.5), 16 * GIB).better
    assert better[:3] == ("qwen3-4b-instruct-2507", "qwen3-1.7b", LARGE)


def test_wisdom_goes_before_speed_and_the_order_of_the_manifest() -> None:
    turned = tuple(reversed(MINDS))
    assert choose(turned, QUICK_CORES, 16 * GIB).better == (LARGE, SMALL)


def test_a_model_whose_wisdom_nobody_knows_is_not_chosen() -> None:
    unknown = tuple(dataclasses.replace(each, mind=None) if each.id == LARGE else each for each in MINDS)
    assert choose(unknown, slower(1.0), 16 * GIB).better == (SMALL,)


@pytest.mark.parametrize(("model", "first_s", "tokens_s"), [(SMALL, 0.24, 21), (LARGE, 0.69, 11)])
def test_the_speed_of_a_larger_model_is_foretold_within_a_third_of_what_was_measured(
    model: str, first_s: float, tokens_s: float
) -> None:
    foretold = slower(1.0).expected(mind(model), SIZES)
    assert foretold is not None
    assert not foretold.measured
    assert foretold.first_s == pytest.approx(first_s, rel=0.4)
    assert 1 / foretold.token_s == pytest.approx(tokens_s, rel=0.34)


def test_what_is_nearest_in_size_tells_most() -> None:
    known = slower(1.0).with_speed(SMALL, LanguageModelSpeed(1.0, 0.5, 0.1))
    foretold = known.expected(mind(LARGE), SIZES)
    assert foretold is not None
    assert foretold.token_s > 0.15


def test_speech_needs_four_tokens_a_second_and_a_caller_a_first_clause() -> None:
    nobody = SpeedBook()
    assert not too_slow(LanguageModelSpeed(0.69, 0.4, 1 / 11), nobody, TINY)
    assert too_slow(LanguageModelSpeed(0.1, 0.5, 1 / 5), nobody, TINY)
    assert too_slow(LanguageModelSpeed(1.4, 0.4, 1 / 11), nobody, TINY)


@pytest.mark.parametrize(("as_long", "problem"), [(0.99, False), (1.01, True)])
def test_a_caller_waits_half_as_long_again_at_most(as_long: float, problem: bool) -> None:
    wait_s = as_long * MOST_OF_QUICK * (OTHERS_S + XEON.voiced_s)
    wiser = LanguageModelSpeed(0.2, wait_s - OTHERS_S - 0.2, 1 / 20)
    assert bool(too_slow(wiser, slower(1.0), TINY)) is problem


def test_why_a_wiser_one_is_not_chosen_is_told() -> None:
    few_tokens, *_ = choose(MINDS, slower(2.0), 16 * GIB).left
    assert few_tokens == f"{LARGE}: about 4 tokens/s here, too slow for a call"
    (late,) = choose(MINDS, slower(1.0), 16 * GIB).left
    assert late == f"{LARGE}: about 1.0 s to the first clause here, a caller would wait 2.3 times as long"
    (too_big,) = choose(MINDS, QUICK_CORES, 3 * GIB // 2).left
    assert too_big == f"{LARGE}: takes 2.0 GB of memory, and 1.6 are free"
