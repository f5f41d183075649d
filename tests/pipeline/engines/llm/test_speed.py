"""What the moments of a reply tell of a language model's speed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Literal

import pytest

from pipeline.engines.llm.speed import (
    CLAUSE_TOKENS,
    QUESTIONS,
    TOKENS,
    LanguageModelSpeed,
    Mark,
    measure_language_model,
    speed_of,
)
from pipeline.engines.protocols import ChatDelta, ChatRequest, Message
from pipeline.scheduling.lanes import Ticket, Urgency


def reply(tokens: int, first_s: float, token_s: float, later_s: float | None = None) -> list[Mark]:
    """Marks of a reply that is written at one pace until the end of the first clause and at another behind it."""
    marks, at_s = [], first_s
    for count in range(1, tokens + 1):
        marks.append(Mark(count, at_s))
        at_s += token_s if count < CLAUSE_TOKENS or later_s is None else later_s
    return marks


def test_each_figure_is_that_of_the_better_reply() -> None:
    speed = speed_of([reply(24, 0.3, 0.02, 0.05), reply(24, 0.2, 0.04, 0.06)])
    assert speed is not None
    assert speed.first_s == pytest.approx(0.2)
    assert speed.clause_s == pytest.approx(5 * 0.02)
    assert speed.token_s == pytest.approx(0.05)


@pytest.mark.parametrize("tokens", [2, 3, 5])
def test_a_reply_that_is_shorter_than_a_first_clause_tells_how_long_one_takes(tokens: int) -> None:
    speed = speed_of([reply(tokens, 0.3, 0.04)])
    assert speed is not None
    assert speed.clause_s == pytest.approx(5 * 0.04)
    assert speed.token_s == pytest.approx(0.04)


def test_a_short_reply_does_not_spoil_what_a_long_one_tells() -> None:
    """It was written on all cores, the rest of the long one on a single one."""
    speed = speed_of([reply(24, 0.3, 0.03, 0.06), reply(3, 0.3, 0.03)])
    assert speed is not None
    assert speed.clause_s == pytest.approx(5 * 0.03)
    assert speed.token_s == pytest.approx(0.06)


@pytest.mark.parametrize("marks", [[], [Mark(1, 0.2)], [Mark(24, 1.0)]])
def test_a_single_token_or_a_whole_at_once_is_no_speed(marks: list[Mark]) -> None:
    assert speed_of([marks, marks]) is None
    assert speed_of([marks, reply(24, 0.3, 0.02)]) == speed_of([reply(24, 0.3, 0.02)])


def test_tokens_that_come_by_several_at_a_time_are_reckoned_one_by_one() -> None:
    speed = speed_of([[Mark(4, 0.5), Mark(8, 0.9), Mark(24, 4.1)]])
    assert speed is not None
    assert speed.first_s == pytest.approx(0.5)
    assert speed.clause_s == pytest.approx(0.2)
    assert speed.token_s == pytest.approx((4.1 - 0.7) / 18)


def test_a_clock_that_stands_still_makes_no_token_take_no_time() -> None:
    speed = speed_of([[Mark(count, 0.1) for count in range(1, 25)]])
    assert speed is not None
    assert 0 < speed.token_s < 1e-3


def test_no_time_is_no_speed() -> None:
    with pytest.raises(ValueError, match="no speed"):
        LanguageModelSpeed(0.1, 0.0, 0.0)


class Writer:
    """Writes what it is given."""

    name = model = "writer"
    kind: Literal["in-process", "remote"] = "in-process"
    calls_tools = False

    def __init__(self, deltas: Sequence[ChatDelta]) -> None:
        self.deltas = deltas
        self.asked: list[ChatRequest] = []
        self.urgencies: list[Urgency] = []

    async def stream(self, request: ChatRequest, ticket: Ticket) -> AsyncIterator[ChatDelta]:
        self.asked.append(request)
        for delta in self.deltas:
            await asyncio.sleep(0.001)
            self.urgencies.append(ticket.urgency)
            yield delta

    async def prefill(self, request: ChatRequest, ticket: Ticket) -> None: ...

    async def warm_up(self) -> None: ...

    async def close(self) -> None: ...


async def test_a_reply_that_is_one_piece_of_text_tells_nothing() -> None:
    assert await measure_language_model(Writer([ChatDelta("Yes."), ChatDelta("", "stop", 20, 1)])) is None


async def test_pieces_of_several_tokens_are_counted_by_what_the_end_tells() -> None:
    words = [ChatDelta("word "), ChatDelta("word "), ChatDelta("word "), ChatDelta("", "length", 20, 24)]
    writer = Writer(words)
    found = await measure_language_model(writer)
    assert found is not None
    assert found.clause_s == 0, "the first piece has more tokens than a clause"


async def test_a_model_that_thinks_is_measured_by_its_thoughts_and_not_let_think_for_ever() -> None:
    writer = Writer([ChatDelta("", thinking=True)] * 1000)
    assert await measure_language_model(writer) is not None
    assert len(writer.urgencies) == TOKENS * len(QUESTIONS)


async def test_behind_the_first_clause_it_writes_as_in_calls_and_never_less_than_asked_for() -> None:
    writer = Writer([ChatDelta("a ")] * TOKENS)
    await measure_language_model(writer)
    assert {request.min_tokens for request in writer.asked} == {TOKENS}
    assert writer.urgencies[:CLAUSE_TOKENS] == [Urgency.FIRST_AUDIO] * CLAUSE_TOKENS
    assert writer.urgencies[CLAUSE_TOKENS:TOKENS] == [Urgency.LOOK_AHEAD] * (TOKENS - CLAUSE_TOKENS)


@pytest.mark.usefixtures("models_dir")
async def test_llama_cpp_writes_as_many_tokens_as_are_asked_for(models_dir: Path) -> None:
    from pipeline.engines.llm.llama_cpp import LlamaCppLanguageModel, LlamaOptions

    llm = LlamaCppLanguageModel(LlamaOptions(models_dir / "smollm2-135m-instruct", n_ctx=512, slots=2))
    asked = (Message("user", "Say yes, and nothing else."),)

    async def counted(request: ChatRequest) -> int:
        deltas = [delta async for delta in llm.stream(request, Ticket())]
        return deltas[-1].completion_tokens

    usual = await counted(ChatRequest(asked, max_tokens=200))
    forced = await counted(ChatRequest(asked, max_tokens=usual + 20, min_tokens=usual + 20))
    await llm.close()
    assert usual < 200
    assert forced == usual + 20
