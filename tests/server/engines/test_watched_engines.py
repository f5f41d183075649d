"""Engines that fail are seen to, and those that work tell how long it takes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from pipeline.engines.protocols import ChatDelta, ChatRequest, EngineError, Message, SpeechChunk, ToolCall
from pipeline.engines.remote.openai_chat import OpenAiChat
from pipeline.engines.remote.openai_connection import Endpoint
from pipeline.engines.vad.silero import SileroVad
from pipeline.scheduling.lanes import Lane, LaneFullError, Ticket
from server.engines.watch import EngineWatch
from server.engines.watched import WatchedLanguageModel, WatchedSpeechToText, WatchedTextToSpeech, WatchedVad
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


class _Hanging:
    """Speech to text and a voice that take work and give no sign, the voice after a first sound if it is told to."""

    voices = ()
    default_voice = ""

    def __init__(self, begins: bool = False) -> None:
        self._begins = begins

    async def transcribe(self, audio: Any, ticket: Ticket, **_: Any) -> Any:
        await asyncio.Event().wait()

    async def synthesize(self, text: str, ticket: Ticket, **_: Any) -> AsyncIterator[SpeechChunk]:
        if self._begins:
            yield SpeechChunk(np.ones(240, np.int16))
        await asyncio.Event().wait()


async def _work(engine: str, begins: bool, watch: EngineWatch, ticket: Ticket) -> None:
    hanging = cast(Any, _Hanging(begins))
    if engine == "stt":
        await WatchedSpeechToText(hanging, watch).transcribe(np.zeros(160, np.float32), ticket)
        return
    async for _ in WatchedTextToSpeech(hanging, watch).synthesize("Hello.", ticket):
        pass


@pytest.mark.parametrize(("engine", "begins"), [("stt", False), ("tts", False), ("tts", True)])
async def test_an_engine_whose_work_is_given_up_has_failed(engine: str, begins: bool) -> None:
    watch, seen = EngineWatch(), []
    for _ in range(3):
        ticket = Ticket()
        work = asyncio.ensure_future(_work(engine, begins, watch, ticket))
        await asyncio.sleep(0)
        ticket.give_up()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        seen.append(watch.status)
    assert seen == ["degraded", "degraded", "down"]
    assert watch.failures == 3
    assert watch.problem


@pytest.mark.parametrize(("engine", "begins"), [("stt", False), ("tts", False), ("tts", True)])
async def test_a_caller_who_speaks_over_a_reply_is_no_failure_of_an_engine(engine: str, begins: bool) -> None:
    watch, ticket = EngineWatch(), Ticket()
    work = asyncio.ensure_future(_work(engine, begins, watch, ticket))
    await asyncio.sleep(0)
    ticket.cancel()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert (watch.failures, watch.status) == (0, "ok")
