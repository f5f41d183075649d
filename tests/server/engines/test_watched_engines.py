"""Engines that fail are seen to, and those that work tell how long it takes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from pipeline.engines.protocols import ChatDelta, ChatRequest, EngineError, Message, ToolCall
from pipeline.engines.remote.openai_chat import OpenAiChat
from pipeline.engines.remote.openai_connection import Endpoint
from pipeline.engines.vad.silero import SileroVad
from pipeline.scheduling.lanes import Lane, LaneFullError, Ticket
from server.engines.watch import EngineWatch
from server.engines.watched import WatchedLanguageModel, WatchedVad
from tests.serving import free_port


async def test_an_engine_that_fails_is_degraded_then_down() -> None:
    watch = EngineWatch()
    nobody = OpenAiChat(Endpoint(f"http://127.0.0.1:{free_port()}/v1"), "none")
    llm = WatchedLanguageModel(nobody, watch)
    seen = []
    for _ in range(3):
        with pytest.raises(EngineError):
            async for _ in llm.stream(ChatRequest((Message("user", "hello"),)), Ticket()):
                pass
        seen.append(watch.status)
    assert seen == ["degraded", "degraded", "down"]
    assert watch.failures == 3
    assert watch.problem
    with watch.working() as work:
        work.result()
    assert (watch.status, watch.problem) == ("ok", "")
    await llm.close()


async def test_a_model_that_breaks_off_behind_its_first_word_does_not_work() -> None:
    class Breaking:
        async def stream(self, request: ChatRequest, ticket: Ticket) -> AsyncIterator[ChatDelta]:
            yield ChatDelta("It ")
            raise EngineError("the connection broke off")

    watch = EngineWatch()
    llm = WatchedLanguageModel(cast(Any, Breaking()), watch)
    seen = []
    for _ in range(3):
        with pytest.raises(EngineError):
            async for _ in llm.stream(ChatRequest((Message("user", "hello"),)), Ticket()):
                pass
        seen.append(watch.status)
        # A caller who leaves behind the first word has learnt nothing else.
        async with aclosing(llm.stream(ChatRequest((Message("user", "hello"),)), Ticket())) as deltas:  # type: ignore[type-var]
            async for _ in deltas:
                break
        assert watch.status == seen[-1]
    assert seen == ["degraded", "degraded", "down"]


@pytest.mark.parametrize(("parallel", "asked"), [(True, 2), (False, 1)])
async def test_of_the_tools_that_a_model_asks_for_those_come_out_that_it_may_ask_for(
    parallel: bool, asked: int
) -> None:
    class Eager:
        async def stream(self, request: ChatRequest, ticket: Ticket) -> AsyncIterator[ChatDelta]:
            yield ChatDelta("", "tool_calls", tool_calls=(ToolCall("a", "time", "{}"), ToolCall("b", "time", "{}")))

    llm = WatchedLanguageModel(cast(Any, Eager()), EngineWatch())
    request = ChatRequest((Message("user", "What time is it?"),), parallel_tool_calls=parallel)
    (delta,) = [delta async for delta in llm.stream(request, Ticket())]
    assert len(delta.tool_calls) == asked


async def test_a_full_lane_is_no_failure_of_the_engine() -> None:
    watch, lane = EngineWatch(), Lane("full", capacity=0)
    with pytest.raises(LaneFullError), watch.working():
        await lane.run(lambda: None, Ticket())
    assert (watch.status, watch.failures, lane.load.rejected) == ("ok", 0, 1)
    await lane.aclose()


async def test_a_caller_who_leaves_is_no_failure_of_the_engine() -> None:
    watch = EngineWatch()

    async def work() -> None:
        with watch.working():
            await asyncio.sleep(10)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (watch.status, watch.works, watch.failures) == ("ok", 0, 0)


async def test_the_latency_is_the_median_of_real_work(models_dir: Path) -> None:
    watch = EngineWatch()
    vad = WatchedVad(SileroVad(models_dir / "silero-vad-v6"), watch)
    await vad.warm_up()
    assert watch.latency_ms() is not None
    stream = vad.open_stream()
    for _ in range(20):
        stream.probability(np.zeros(512, np.float32))
    assert watch.works == 20
    assert 0 < (watch.latency_ms() or 0) < 50
    await vad.close()
