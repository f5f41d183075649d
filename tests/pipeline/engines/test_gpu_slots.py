"""What computes on a GPU leaves the cores to the others: it is done while every core is taken."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.audio import HEARING_RATE
from pipeline.engines import onnx_session
from pipeline.engines.device import Placement, device_of
from pipeline.engines.embedding import bert_embedder
from pipeline.engines.embedding.bert_embedder import BertEmbedder
from pipeline.engines.gpu import ALL_LAYERS
from pipeline.engines.llm.llama_cpp import LlamaCppLanguageModel, LlamaOptions
from pipeline.engines.protocols import ChatRequest, Engine, Message
from pipeline.engines.stt import whisper_weights
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.engines.stt.whisper_batches import MOST
from pipeline.engines.turn.smart_turn import SmartTurn
from pipeline.scheduling.core_budget import Claim, Room
from pipeline.scheduling.cores import CORES, GPU_SLOTS, longest_wait_s, slots_of
from pipeline.scheduling.lanes import Ticket, Urgency

QUESTION = np.random.default_rng(0).normal(0, 0.01, HEARING_RATE).astype(np.float32)


@pytest.fixture
def as_if_on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines compute on the CPU, and take it for a GPU."""

    def placed(_label: str, _device: str, build: Callable[[str], Any], *_: object, **__: object) -> tuple[Any, Any]:
        return build("cpu"), Placement("cuda", "set so")

    for module in (bert_embedder, whisper_weights, onnx_session):
        monkeypatch.setattr(module, "placed", placed)


def embedder(models: Path) -> tuple[Engine, Callable[[Any], Awaitable[object]]]:
    engine = BertEmbedder(models / "all-minilm-l6-v2", models / "converted")
    return engine, lambda ticket: engine.embed(["Hello"], ticket)


def whisper(models: Path) -> tuple[Engine, Callable[[Any], Awaitable[object]]]:
    engine = FasterWhisper(models / "whisper-tiny.en")
    return engine, lambda ticket: engine.hear_once(QUESTION, ticket, padding_s=1.0, language="en")


def turn(models: Path) -> tuple[Engine, Callable[[Any], Awaitable[object]]]:
    engine = SmartTurn(models / "smart-turn-v3.2")
    return engine, lambda ticket: engine.completeness(QUESTION, ticket)


@contextmanager
def taken(count: int) -> Iterator[None]:
    """Some cores are busy with something urgent."""
    claim = Claim(Ticket(Urgency.FIRST_AUDIO), Room(1), threads=count)
    with CORES.lock:
        CORES.ask(claim)
    assert CORES.used == count
    try:
        yield
    finally:
        with CORES.lock:
            CORES.end(claim)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("build", [embedder, whisper, turn])
async def test_an_engine_on_a_gpu_needs_no_core(
    models_dir: Path,
    as_if_on_gpu: None,
    build: Callable[[Path], tuple[Engine, Callable[[Any], Awaitable[object]]]],
) -> None:
    engine, work = build(models_dir)
    try:
        assert device_of(engine) == "cuda"
        with taken(CORES.count):
            await work(Ticket(Urgency.FIRST_AUDIO))
            # What can wait, too: the others' cores are not its concern.
            await work(Ticket(Urgency.INTERIM))
    finally:
        await engine.close()


async def test_a_language_model_with_all_layers_on_a_gpu_needs_no_core(models_dir: Path) -> None:
    llm = LlamaCppLanguageModel(LlamaOptions(models_dir / "smollm2-135m-instruct", gpu_layers=ALL_LAYERS))
    try:
        with taken(CORES.count):
            await llm.warm_up()
    finally:
        await llm.close()


async def test_a_language_model_of_which_the_cpu_has_layers_waits_for_a_core(models_dir: Path) -> None:
    llm = LlamaCppLanguageModel(LlamaOptions(models_dir / "smollm2-135m-instruct", gpu_layers=3))
    try:
        with taken(CORES.count):
            request = ChatRequest((Message("user", "Hello"),))
            answer = asyncio.create_task(llm.prefill(request, Ticket(Urgency.FIRST_AUDIO)))
            await until(lambda: llm.load.waiting > 0)
            await until(lambda: longest_wait_s() > 0.0)
            assert GPU_SLOTS.waiting_s() == 0.0
            assert not answer.done()
        await answer
    finally:
        await llm.close()


async def test_whisper_on_a_gpu_hears_as_many_at_once_as_a_batch_holds_however_few_cores_there_are(
    models_dir: Path, as_if_on_gpu: None
) -> None:
    stt, opened = FasterWhisper(models_dir / "whisper-tiny.en", lanes=1), threading.Event()
    jobs = [asyncio.ensure_future(stt.lane.run(opened.wait, Ticket(Urgency.FIRST_AUDIO))) for _ in range(2 * MOST)]
    try:
        await until(lambda: stt.lane.load.running >= MOST)
        assert GPU_SLOTS.used == MOST
        assert stt.lane.load.waiting == MOST
    finally:
        opened.set()
        await asyncio.gather(*jobs)
        await stt.close()


def test_every_device_but_the_cpu_has_slots_of_its_own() -> None:
    assert slots_of("cpu") is CORES
    assert slots_of("cuda") is slots_of("mps") is GPU_SLOTS
