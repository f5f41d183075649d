"""Which language model a machine is given."""

import dataclasses
import platform
from pathlib import Path

import pytest

from pipeline.engines.gpu import Gpu
from pipeline.engines.llm import llama_builds
from pipeline.engines.llm.llama_cpp import LlamaOptions
from pipeline.engines.llm.speed import LanguageModelSpeed
from pipeline.models import Manifest, Model
from server.engines import library
from server.minds import choice, speed_book
from server.minds.choice import (
    CACHED_TOKENS,
    HIDDEN,
    MOST_OF_QUICK,
    FreeMemory,
    choose,
    free_memory,
    memory_of,
    memory_on_gpu,
    too_slow,
)
from server.minds.speed_book import SpeedBook, keep_speed, load_speeds
from server.settings import Settings

TINY, SMALL, LARGE = "smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct", "qwen2.5-coder-1.5b-instruct"
ALL_MINDS = tuple(model for model in Manifest.load().models if model.role == "llm")
MINDS = tuple(model for model in ALL_MINDS if model.wheels)
"""Those of the package index."""

SIZES = {model.id: model.size for model in MINDS}
GIB = 1 << 30

XEON = LanguageModelSpeed(0.09, 0.06, 1 / 56)
"""The tiny model on the machine of the issue's table, whose others take 0.24 s and 21/s, 0.69 s and 11/s."""

OTHERS_S = 0.27
"""What runs there in turns with the language model: a transcript and a first sound."""


def slower(factor: float) -> SpeedBook:
    return SpeedBook({TINY: dataclasses.replace(XEON.times(factor), measured=True)}, OTHERS_S * factor)


QUICK_CORES = dataclasses.replace(slower(0.3), others_s=0.5)
"""A processor on which a wiser model makes no difference to a caller."""


def mind(model_id: str) -> Model:
    return next(model for model in MINDS if model.id == model_id)


ENOUGH = FreeMemory(16 * GIB)


def chosen(known: SpeedBook, memory: FreeMemory = ENOUGH) -> tuple[str, tuple[str, ...]]:
    """What answers, and what is better."""
    found = choose(MINDS, known, memory)
    return found.now, found.better


def test_before_anything_is_measured_the_quick_one_answers_and_nothing_is_fetched() -> None:
    assert chosen(SpeedBook()) == (TINY, ())


def test_two_cores_of_today_afford_the_one_between() -> None:
    assert chosen(slower(1.0)) == (TINY, (SMALL,))


def test_where_the_rest_takes_its_time_a_wiser_one_is_no_longer_noticed() -> None:
    assert chosen(dataclasses.replace(slower(1.0), others_s=1.7)) == (TINY, (LARGE, SMALL))


def test_where_the_rest_is_quick_the_same_one_would_be_waited_for() -> None:
    measured = {**slower(1.0).speeds, SMALL: LanguageModelSpeed(0.24, 0.3, 1 / 21, measured=True)}
    assert chosen(SpeedBook(measured, 0.1)) == (TINY, ())
    assert chosen(SpeedBook(measured, 0.4)) == (TINY, (SMALL,))


def test_on_slow_cores_none_is_fetched_that_speaks_slower_than_speech() -> None:
    assert chosen(slower(8.0)) == (TINY, ())


def test_memory_bounds_it_too() -> None:
    assert chosen(QUICK_CORES, FreeMemory(3 * GIB // 2)) == (TINY, (SMALL,))
    assert choose(MINDS, QUICK_CORES, FreeMemory(None)).better == (LARGE, SMALL)


@pytest.mark.parametrize(("free_gb", "fit"), [(2.2, (LARGE, SMALL)), (2.0, (SMALL,)), (1.0, ())])
def test_on_a_gpu_its_free_memory_bounds_it_and_conversations_take_theirs_from_the_start(
    free_gb: float, fit: tuple[str, ...]
) -> None:
    gpu = FreeMemory(int(free_gb * 1e9), on_gpu=True)
    assert chosen(QUICK_CORES, gpu) == (TINY, fit)


def test_qwen3_4b_keeps_as_much_for_conversations_as_it_weighs() -> None:
    large = next(model for model in ALL_MINDS if model.id == "qwen3-4b-instruct-2507")
    assert memory_on_gpu(large) - large.size == pytest.approx(2.9e9, rel=0.02)
    assert memory_on_gpu(large) > memory_of(large)


def test_what_is_not_free_on_the_gpu_is_told() -> None:
    (too_big,) = choose(MINDS, QUICK_CORES, FreeMemory(1_500_000_000, on_gpu=True)).left
    assert too_big == f"{LARGE}: takes 2.1 GB of memory of the GPU, and 1.5 are free"


def test_one_that_answers_already_has_its_memory() -> None:
    none_left = FreeMemory(0, on_gpu=True)
    assert choose(MINDS, QUICK_CORES, none_left, loaded=LARGE).better == (LARGE,)
    assert choose(MINDS, QUICK_CORES, none_left).better == ()


def test_memory_is_that_of_the_gpu_where_the_language_model_lies_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "free_gpu_memory", lambda: 3 * GIB)
    monkeypatch.setattr(choice, "usable_memory", lambda: 9 * GIB)
    monkeypatch.setattr(llama_builds, "gpu", lambda: Gpu("a card", (9, 0), (13, 0)))
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    settings = Settings(models_dir=tmp_path, llm_engine="llama.cpp")
    assert free_memory(settings) == FreeMemory(9 * GIB), "its kernels are not here"
    monkeypatch.setattr(library, "_is_there", lambda *_: True)
    assert free_memory(settings) == FreeMemory(3 * GIB, on_gpu=True)
    some_layers = settings.model_copy(update={"engine_options": {"llama.cpp": {"layers": 8}}})
    assert free_memory(some_layers) == FreeMemory(9 * GIB)
    on_cpu = settings.model_copy(update={"engine_options": {"llama.cpp": {"device": "cpu"}}})
    assert free_memory(on_cpu) == FreeMemory(9 * GIB)


def test_tokens_are_cached_for_as_many_conversations_as_llama_cpp_has() -> None:
    options = LlamaOptions(Path())
    assert options.slots * options.n_ctx == CACHED_TOKENS


def test_speeds_on_a_gpu_are_kept_for_that_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_is_there", lambda *_: True)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    settings = Settings(models_dir=tmp_path, llm_engine="llama.cpp")

    def put_in(name: str) -> None:
        for module in (llama_builds, speed_book):
            monkeypatch.setattr(module, "gpu", lambda: Gpu(name, (9, 0), (13, 0)))

    put_in("a card")
    keep_speed(settings, TINY, XEON)
    assert load_speeds(settings).speeds == {TINY: XEON}
    put_in("another card")
    assert load_speeds(settings).speeds == {}


def test_one_that_turned_out_too_slow_is_not_tried_again() -> None:
    known = QUICK_CORES.with_speed(LARGE, LanguageModelSpeed(2.0, 2.5, 0.5))
    assert chosen(known) == (TINY, (SMALL,))


def test_one_that_was_deleted_is_fetched_again() -> None:
    known = QUICK_CORES.with_speed(LARGE, LanguageModelSpeed(0.2, 0.1, 0.1))
    assert choose(MINDS, known, ENOUGH).better[0] == LARGE


def test_where_the_hub_is_reached_further_ones_are_tried_before_those_of_the_index() -> None:
    better = choose(ALL_MINDS, dataclasses.replace(slower(0.2), others_s=0.5), ENOUGH).better
    assert better[:3] == ("qwen3-4b-instruct-2507", "qwen3-1.7b", LARGE)


def test_wisdom_goes_before_speed_and_the_order_of_the_manifest() -> None:
    turned = tuple(reversed(MINDS))
    assert choose(turned, QUICK_CORES, ENOUGH).better == (LARGE, SMALL)


def test_a_model_whose_wisdom_nobody_knows_is_not_chosen() -> None:
    unknown = tuple(dataclasses.replace(each, mind=None) if each.id == LARGE else each for each in MINDS)
    assert choose(unknown, slower(1.0), ENOUGH).better == (SMALL,)


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
    waits = OTHERS_S + XEON.voiced_s
    longer = (as_long * MOST_OF_QUICK - 1) * waits / (1 - HIDDEN)
    wiser = LanguageModelSpeed(0.1, XEON.voiced_s - 0.1 + longer, 1 / 20)
    assert bool(too_slow(wiser, slower(1.0), TINY)) is problem


def test_why_a_wiser_one_is_not_chosen_is_told() -> None:
    few_tokens, *_ = choose(MINDS, slower(2.0), ENOUGH).left
    assert few_tokens == f"{LARGE}: about 4 tokens/s here, too slow for a call"
    (late,) = choose(MINDS, slower(1.0), ENOUGH).left
    assert late == f"{LARGE}: about 1.0 s to the first clause here, a caller would wait 2.4 times as long"
    (too_big,) = choose(MINDS, QUICK_CORES, FreeMemory(3 * GIB // 2)).left
    assert too_big == f"{LARGE}: takes 2.0 GB of memory, and 1.6 are free"
