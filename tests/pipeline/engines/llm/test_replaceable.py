"""Which of two models answers a conversation while calls come and go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Literal

import pytest

from pipeline.engines.llm.replaceable import MOST_REMEMBERED, ReplaceableLanguageModel
from pipeline.engines.protocols import ChatDelta, ChatRequest, EngineError, Message
from pipeline.scheduling.lanes import Ticket, Urgency
from tests.persistence.parts import until


class Named:
    """A language model that says its name, and reads when it is let."""

    kind: Literal["in-process", "remote"] = "in-process"
    calls_tools = False

    def __init__(self, model: str) -> None:
        self.name = self.model = model
        self.read: list[tuple[str, Urgency]] = []
        self.problem: Exception | None = None
        self.reads = asyncio.Event()
        self.reads.set()

    async def stream(self, request: ChatRequest, ticket: Ticket) -> AsyncIterator[ChatDelta]:
        yield ChatDelta(self.model)
        yield ChatDelta(" and more", "stop")

    async def prefill(self, request: ChatRequest, ticket: Ticket) -> None:
        await self.reads.wait()
        if self.problem is not None:
            raise self.problem
        self.read.append((request.conversation, ticket.urgency))

    async def warm_up(self) -> None:
        pass

    async def close(self) -> None:
        pass


class Scene:
    """A quick and a wise model, and as many calls as a test says."""

    def __init__(self) -> None:
        self.quick, self.wise = Named("quick"), Named("wise")
        self.crowded = False
        self.llm = ReplaceableLanguageModel(self.quick)
        self.llm.replace(self.wise, lambda: self.crowded)

    async def ask(self, conversation: str = "c") -> str:
        """Who answers; what follows the first word is not wanted."""
        request = ChatRequest((Message("user", "Hello"),), conversation)
        async with aclosing(self.llm.stream(request, Ticket())) as deltas:  # type: ignore[type-var]
            async for delta in deltas:
                return str(delta.text)
        return ""


async def test_a_conversation_stays_with_the_quick_one_until_the_wise_one_has_read_it() -> None:
    scene = Scene()
    assert await scene.ask() == "wise"
    scene.crowded = True
    assert [await scene.ask() for _ in range(2)] == ["quick"] * 2
    assert scene.wise.read == []
    scene.crowded = False
    scene.wise.reads.clear()
    assert [await scene.ask() for _ in range(2)] == ["quick"] * 2
    assert await scene.ask("another") == "wise"
    scene.wise.reads.set()
    await until(lambda: scene.wise.read == [("c", Urgency.BACKGROUND)])
    await asyncio.sleep(0)
    assert await scene.ask() == "wise"
    await scene.llm.close()


async def test_what_is_read_ahead_is_read_by_who_will_answer() -> None:
    scene = Scene()
    scene.crowded = True
    await scene.ask()
    scene.crowded = False
    await scene.llm.prefill(ChatRequest((), "c"), Ticket(Urgency.LOOK_AHEAD))
    await scene.llm.prefill(ChatRequest((), "another"), Ticket(Urgency.LOOK_AHEAD))
    assert (scene.quick.read, scene.wise.read) == ([("c", Urgency.LOOK_AHEAD)], [("another", Urgency.LOOK_AHEAD)])
    await scene.llm.close()


async def test_one_that_the_wise_model_cannot_read_stays_with_the_quick_one() -> None:
    scene = Scene()
    scene.crowded = True
    await scene.ask()
    scene.crowded, scene.wise.problem = False, EngineError("too long")
    for _ in range(3):
        assert await scene.ask() == "quick"
        await asyncio.sleep(0.01)
    await scene.llm.close()


async def test_a_wiser_one_that_takes_the_place_answers_all() -> None:
    scene = Scene()
    scene.crowded = True
    await scene.ask()
    scene.llm.replace(Named("wisest"))
    assert await scene.ask() == "wisest"
    await scene.llm.close()


async def test_a_closed_one_reads_no_more() -> None:
    scene = Scene()
    scene.crowded = True
    await scene.ask()
    scene.crowded = False
    scene.wise.reads.clear()
    await scene.ask()
    await asyncio.sleep(0)
    await scene.llm.close()
    assert scene.wise.read == []


@pytest.mark.parametrize("name", ["", "c"])
async def test_only_so_many_are_remembered_and_none_without_a_name(name: str) -> None:
    scene = Scene()
    scene.crowded = True
    for number in range(MOST_REMEMBERED + 5):
        await scene.ask(f"{name}{number}" if name else "")
    assert len(scene.llm._with_quick) == (MOST_REMEMBERED if name else 0)
    await scene.llm.close()
