"""Requests of several conversations in one cache of llama.cpp, step by step."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.engines.llm.context_window import ContextOverflowError
from pipeline.engines.llm.llama_batcher import Batcher, Sampling
from pipeline.engines.llm.llama_cpp import LlamaCppLanguageModel
from pipeline.engines.llm.llama_job import Job
from pipeline.engines.llm.llama_native import NativeContext, NativeModel, find_gguf
from pipeline.engines.llm.llama_steps import StepLimits
from pipeline.engines.llm.llama_worker import LlamaOptions
from pipeline.engines.protocols import ChatDelta, ChatRequest, EngineError, Message
from pipeline.scheduling.lanes import LaneClosedError, Ticket, Urgency
from tests.pipeline.engines.speech import model as weights

LONG = "I would like to know how the weather will be in Paris tomorrow, and what to wear."


@pytest.fixture(scope="module")
def folder() -> Path:
    return weights("smollm2-135m-instruct")


@pytest.fixture
def both(folder: Path) -> Iterator[tuple[NativeModel, Batcher]]:
    """A model, and a batcher with two slots of it."""
    model = NativeModel(find_gguf(folder))
    context = NativeContext(model, slots=2, n_ctx=256, batch=48, threads=1)
    batcher = Batcher(
        model,
        context,
        slots=2,
        n_ctx=256,
        limits=StepLimits(),
        sampling=Sampling(),
        threads=1,
        granted=lambda useful: useful,
    )
    try:
        yield model, batcher
    finally:
        batcher.abandon(LaneClosedError("over"))
        context.close()
        model.close()


@pytest.fixture
def model(both: tuple[NativeModel, Batcher]) -> NativeModel:
    return both[0]


@pytest.fixture
def batcher(both: tuple[NativeModel, Batcher]) -> Batcher:
    return both[1]


def job(text: str, conversation: str, urgency: Urgency, ends: list[str], *, generate: bool = True) -> Job:
    """One that notes its conversation when it ends."""
    request = ChatRequest((Message("user", text),), conversation, 3)
    return Job(request, Ticket(urgency), generate, lambda delta: None, lambda error: ends.append(conversation))


def run(batcher: Batcher, steps: int = 100) -> None:
    for step in range(steps):
        batcher.step(step / 100)


def test_what_was_to_be_read_ahead_gives_way_to_what_the_conversation_says_next(batcher: Batcher) -> None:
    ends: list[str] = []
    for said in (LONG, f"{LONG} And what"):
        batcher.add(job(said, "call", Urgency.LOOK_AHEAD, ends, generate=False), 0.0)
    assert ends == ["call"]
    batcher.add(job(f"{LONG} And what then?", "call", Urgency.FIRST_AUDIO, ends), 0.0)
    assert ends == ["call", "call"]
    assert not batcher.running
    run(batcher)
    assert ends == ["call"] * 3


def test_texts_of_nobody_in_particular_do_not_end_one_another(batcher: Batcher) -> None:
    ends: list[str] = []
    for _ in range(2):
        batcher.add(job(LONG, "", Urgency.BACKGROUND, ends, generate=False), 0.0)
    assert ends == []
    run(batcher)
    assert ends == ["", ""]


def test_what_finds_no_slot_ahead_of_time_is_left_out_and_nothing_waits_for_it(batcher: Batcher) -> None:
    """A request that waits for a slot that nobody works in would keep the thread busy with nothing."""
    ends: list[str] = []
    for name in ("a", "b"):
        batcher.add(job(LONG, name, Urgency.FIRST_AUDIO, ends), 0.0)
    run(batcher)
    batcher.add(job(LONG, "c", Urgency.LOOK_AHEAD, ends, generate=False), 0.0)
    run(batcher, 5)
    assert ends == ["a", "b", "c"], "both slots are those of calls between two turns"
    assert not batcher.busy


def test_a_step_says_when_there_was_nothing_to_do(batcher: Batcher) -> None:
    batcher.add(job(LONG, "a", Urgency.FIRST_AUDIO, []), 0.0)
    assert batcher.step(0.0)
    while batcher.busy:
        assert batcher.step(0.0)
    assert not batcher.step(0.0)


@pytest.mark.parametrize("urgency", list(Urgency))
def test_a_reply_finds_a_slot_however_urgent_it_is(batcher: Batcher, urgency: Urgency) -> None:
    ends: list[str] = []
    for name in ("a", "b"):
        batcher.add(job(LONG, name, Urgency.FIRST_AUDIO, ends), 0.0)
    run(batcher)
    batcher.add(job(LONG, "c", urgency, ends), 0.0)
    run(batcher)
    assert ends == ["a", "b", "c"]


def test_a_refused_message_leaves_no_tokens_behind(model: NativeModel, batcher: Batcher) -> None:
    ends: list[BaseException | None] = []
    for words in ("Hello there.", "word " * 50_000):
        request = ChatRequest((Message("user", words),), "", 12)
        batcher.add(Job(request, Ticket(), False, lambda delta: None, ends.append), 0.0)
    assert isinstance(ends[0], ContextOverflowError)
    assert 0 < model.kept_bytes < 10_000


def test_a_request_that_llama_cpp_refuses_fails_alone(model: NativeModel, batcher: Batcher) -> None:
    deltas: dict[str, list[ChatDelta]] = {"good": [], "bad": []}
    ends: dict[str, BaseException | None] = {}

    def noted(name: str) -> Job:
        request = ChatRequest((Message("user", "Hello there."),), name, 4)
        return Job(request, Ticket(), True, deltas[name].append, lambda error: ends.update({name: error}))

    good, bad = noted("good"), noted("bad")
    batcher.add(good, 0.0)
    batcher.add(bad, 0.0)
    assert bad.tokens is not None
    bad.tokens.ids[5] = model.size + 7
    run(batcher)
    assert isinstance(ends["bad"], EngineError)
    assert deltas["bad"] == []
    assert ends["good"] is None
    assert deltas["good"][-1].completion_tokens > 0


async def test_a_step_that_fails_ends_what_is_in_hand_and_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = LlamaCppLanguageModel(LlamaOptions(folder, threads=1, n_ctx=256, slots=2))
    request = ChatRequest((Message("user", LONG),), "call", 3)

    async def said() -> str:
        return "".join([delta.text async for delta in lm.stream(request, Ticket(Urgency.FIRST_AUDIO))])

    try:
        before = await said()
        with monkeypatch.context() as broken:
            broken.setattr(Batcher, "_admit", lambda batcher, now: 1 / 0)
            with pytest.raises(EngineError, match="ZeroDivisionError"):
                await asyncio.wait_for(said(), 60)
        assert await said() == before
    finally:
        await lm.close()
