"""What a second thread saves is known before the first call, whatever ran beside one of the tries."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from pipeline.engines.llm.llama_cpp import LlamaCppLanguageModel, LlamaOptions
from pipeline.engines.llm.llama_native import NativeContext
from pipeline.engines.llm.llama_slots import SlotPlacement
from pipeline.engines.llm.llama_steps import Share, StepPace
from pipeline.engines.llm.llama_threads import ROUNDS, compare_threads


class TimedContext:
    """Takes so long for a token of a prompt on one thread, and half of that on two; now and then something is beside.

    Args:
        token_s: seconds.
        held_up: numbers of the steps that take ten times as long.
    """

    def __init__(self, token_s: float, held_up: Sequence[int] = ()) -> None:
        self.now = 0.0
        self.steps = 0
        self.arranged: list[SlotPlacement] = []
        self._token_s = token_s
        self._held_up = held_up
        self._threads = 1

    def set_threads(self, threads: int) -> None:
        self._threads = threads

    def arrange(self, placement: SlotPlacement) -> bool:
        self.arranged.append(placement)
        return True

    def evaluate(self, shares: Sequence[Share]) -> dict[int, object]:
        tokens = sum(share.length for share in shares)
        # A single token is bound by memory.
        alone = self._token_s * (tokens / self._threads if tokens > 1 else 2)
        self.now += alone * (10 if self.steps in self._held_up else 1)
        self.steps += 1
        return {}


def compared(context: TimedContext, monkeypatch: pytest.MonkeyPatch, most: int = 2) -> StepPace:
    monkeypatch.setattr("pipeline.engines.llm.llama_threads.time.perf_counter", lambda: context.now)
    pace = StepPace()
    compare_threads(cast(NativeContext, context), pace, most)
    return pace


@pytest.mark.parametrize("held_up", [(), (4,), (2,), (0, 5)])
def test_prompts_take_a_second_core_and_single_tokens_do_not(
    held_up: Sequence[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = TimedContext(0.002, held_up)
    pace = compared(context, monkeypatch)
    assert pace.threads(16, 2) == 2
    assert pace.threads(1, 2) == 1
    assert context.arranged[-1] == SlotPlacement(0, 0), "nothing is left in the cache"


def test_a_large_model_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = TimedContext(0.002), TimedContext(0.5)
    assert compared(small, monkeypatch).threads(16, 2) == compared(large, monkeypatch).threads(16, 2) == 2
    assert small.steps == 2 + 4 * ROUNDS
    assert large.steps == 2 + 4


def test_where_there_is_one_thread_there_is_nothing_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    context = TimedContext(0.002)
    compared(context, monkeypatch, most=1)
    assert context.steps == 0


async def test_a_model_that_may_have_two_threads_knows_before_its_first_request(models_dir: Path) -> None:
    model = LlamaCppLanguageModel(LlamaOptions(models_dir / "smollm2-135m-instruct", threads=2, slots=1))
    try:
        batcher = model._worker._batcher  # nothing outside tells
        assert batcher is not None
        assert batcher._pace.token_s > 0
        assert model.stats.evaluated == 0
    finally:
        await model.close()
