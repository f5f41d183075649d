"""Which language model a machine is given."""

import dataclasses

import pytest

from pipeline.models import Manifest, Model
from server.minds.choice import affordable, choose
from server.minds.speed_book import MindSpeed, expected_speed

TINY, SMALL, LARGE = "smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct", "qwen2.5-coder-1.5b-instruct"
ALL_MINDS = tuple(model for model in Manifest.load().models if model.role == "llm")
MINDS = tuple(model for model in ALL_MINDS if model.wheels)
"""Those of the package index."""

SIZES = {model.id: model.size for model in MINDS}
GIB = 1 << 30

XEON = MindSpeed(0.09, 1 / 56)
"""The tiny model on the machine of the issue's table, whose others take 0.24 s and 21/s, 0.69 s and 11/s."""


def slower(factor: float) -> dict[str, MindSpeed]:
    return {TINY: MindSpeed(XEON.first_s * factor, XEON.token_s * factor)}


def mind(model_id: str) -> Model:
    return next(model for model in MINDS if model.id == model_id)


def chosen(known: dict[str, MindSpeed], memory: int | None = 16 * GIB) -> tuple[str, tuple[str, ...]]:
    """What answers, and what is better."""
    choice = choose(MINDS, known, memory)
    return choice.now, choice.better


def test_before_anything_is_measured_the_quick_one_answers_and_nothing_is_fetched() -> None:
    assert chosen({}) == (TINY, ())


def test_two_cores_of_today_afford_the_wisest() -> None:
    assert chosen(slower(1.0)) == (TINY, (LARGE, SMALL))


def test_cores_of_half_that_speed_afford_the_one_between() -> None:
    assert chosen(slower(2.0)) == (TINY, (SMALL,))


def test_on_slow_cores_none_is_fetched_that_speaks_slower_than_speech() -> None:
    assert chosen(slower(8.0)) == (TINY, ())


def test_memory_bounds_it_too() -> None:
    assert chosen(slower(1.0), 3 * GIB // 2) == (TINY, (SMALL,))
    assert choose(MINDS, slower(1.0), None).better == (LARGE, SMALL)


def test_one_that_turned_out_too_slow_is_not_tried_again() -> None:
    known = {**slower(1.0), LARGE: MindSpeed(2.0, 0.5)}
    assert chosen(known) == (TINY, (SMALL,))


def test_one_that_was_deleted_is_fetched_again() -> None:
    known = {**slower(1.0), LARGE: MindSpeed(0.6, 0.1)}
    assert choose(MINDS, known, 16 * GIB).better[0] == LARGE


def test_where_the_hub_is_reached_further_ones_are_tried_before_those_of_the_index() -> None:
    better = choose(ALL_MINDS, slower(0.3), 16 * GIB).better
    assert better[:3] == ("qwen3-4b-instruct-2507", "qwen3-1.7b", LARGE)
    assert choose(ALL_MINDS, slower(1.0), 16 * GIB).better == (LARGE, "qwen3-0.6b", SMALL)


def test_wisdom_goes_before_speed_and_the_order_of_the_manifest() -> None:
    turned = tuple(reversed(MINDS))
    assert choose(turned, slower(1.0), 16 * GIB).better == (LARGE, SMALL)


def test_a_model_whose_wisdom_nobody_knows_is_not_chosen() -> None:
    unknown = tuple(dataclasses.replace(each, mind=None) if each.id == LARGE else each for each in MINDS)
    assert choose(unknown, slower(1.0), 16 * GIB).better == (SMALL,)


@pytest.mark.parametrize(("model", "first_s", "tokens_s"), [(SMALL, 0.24, 21), (LARGE, 0.69, 11)])
def test_the_speed_of_a_larger_model_is_foretold_within_a_third_of_what_was_measured(
    model: str, first_s: float, tokens_s: float
) -> None:
    foretold = expected_speed(mind(model), slower(1.0), SIZES)
    assert foretold is not None
    assert not foretold.measured
    assert foretold.first_s == pytest.approx(first_s, rel=0.4)
    assert 1 / foretold.token_s == pytest.approx(tokens_s, rel=0.34)


def test_what_is_nearest_in_size_tells_most() -> None:
    known = {**slower(1.0), SMALL: MindSpeed(1.0, 0.1)}
    foretold = expected_speed(mind(LARGE), known, SIZES)
    assert foretold is not None
    assert foretold.token_s > 0.15


def test_speech_needs_four_tokens_a_second_and_a_caller_a_first_clause() -> None:
    assert affordable(MindSpeed(0.69, 1 / 11))
    assert not affordable(MindSpeed(0.1, 1 / 5))
    assert not affordable(MindSpeed(1.4, 1 / 11))


def test_why_a_wiser_one_is_not_chosen_is_told() -> None:
    (too_slow,) = choose(MINDS, slower(2.0), 16 * GIB).left
    assert too_slow == f"{LARGE}: about 4 tokens/s here, too slow for a call"
    (too_big,) = choose(MINDS, slower(1.0), 3 * GIB // 2).left
    assert too_big == f"{LARGE}: takes 2.0 GB of memory, and 1.6 are free"
