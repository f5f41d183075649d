"""Which tokens a reply must not go on with, and replies that are no words and no call."""

import pytest

from pipeline.engines.llm.guidance import SaidBack
from pipeline.engines.llm.llama_job import Job, last_delta
from pipeline.engines.llm.tool_call_text import ToolCallText
from pipeline.engines.protocols import ChatRequest, Message, ToolSpec
from pipeline.scheduling.lanes import Ticket

TOOLS = (ToolSpec("get_weather", "The weather.", {}),)


def job(tool_choice: str = "none", said_back: SaidBack | None = None, min_tokens: int = 0) -> Job:
    messages = (Message("user", "What is the weather like?"),)
    request = ChatRequest(messages, tools=TOOLS, tool_choice=tool_choice, min_tokens=min_tokens)
    made = Job(request, Ticket(), True, lambda delta: None, lambda error: None, said_back=said_back)
    made.tools = ToolCallText(TOOLS)
    return made


@pytest.mark.parametrize("piece", [b"<tool_call>", b"{", b" [", b"```", b">", b"</", b"}"])
def test_where_tools_may_not_be_asked_any_more_a_reply_begins_with_words(piece: bytes) -> None:
    assert job().out_of_place(piece, ends=False)
    assert not job("auto").out_of_place(piece, ends=False)
    begun = job()
    assert begun.tools is not None
    begun.tools.feed(begun.feed(b"It is "))
    assert not begun.out_of_place(piece, ends=False)


@pytest.mark.parametrize(
    "piece", [b"It", b" Es", "¿".encode(), b'"', b"-3", "€".encode(), "明".encode(), b"\n", "明".encode()[:2]]
)
def test_words_may_begin_with_letters_digits_and_what_opens_them(piece: bytes) -> None:
    assert not job().out_of_place(piece, ends=False)


def test_it_does_not_end_before_it_began_or_before_it_may() -> None:
    assert job().out_of_place(b"", ends=True)
    assert not job("auto").out_of_place(b"", ends=True)
    assert job("auto", min_tokens=1).out_of_place(b"", ends=True)


def test_the_users_words_are_not_said_back() -> None:
    asked = job("auto", SaidBack("What is the weather like?"))
    asked.feed(b"What is the")
    assert asked.out_of_place(b" weather", ends=False)
    assert not asked.out_of_place(b" matter", ends=False)


@pytest.mark.parametrize(
    "written",
    [
        '{"name": "add", "arguments": {"value": 2}}',
        '<tool_call>\n{"name": "add", "arguments": {}}\n</tool_call>',
        '{"name": "get_weather", "arguments": {"city": ',
        "<tool_call>rain</tool_call>",
    ],
)
def test_a_call_of_a_tool_that_there_is_none_of_is_neither_said_nor_run(written: str) -> None:
    asked = job("auto")
    assert asked.tools is not None
    assert asked.tools.feed(asked.feed(written.encode())) == ""
    last = last_delta(asked, "", stop=True)
    assert (last.text, last.tool_calls) == ("", ())
    assert asked.garbled


@pytest.mark.parametrize("written", ['{"a": 1}', "[1, 2]", "It is 3 o'clock.", '{"name": "Ada"}'])
def test_what_is_no_call_is_said(written: str) -> None:
    asked = job("auto")
    assert asked.tools is not None
    words = asked.tools.feed(asked.feed(written.encode()))
    assert words + last_delta(asked, "", stop=True).text == written
    assert not asked.garbled
