"""What a model in process asks of tools is told apart from what it says."""

import json

import pytest

from pipeline.engines.llm.tool_call_text import ToolCallText
from pipeline.engines.protocols import ToolSpec

TOOLS = (ToolSpec("get_weather", "The weather.", {}), ToolSpec("set_timer", "A timer.", {}))
CALL = '{"name": "get_weather", "arguments": {"city": "Paris {x}"}}'


def read(text: str, size: int) -> tuple[str, list[tuple[str, object]], str]:
    """Words that came at once, calls, and words that came at the end."""
    found = ToolCallText(TOOLS)
    words = "".join(found.feed(text[start : start + size]) for start in range(0, len(text), size))
    rest, calls = found.finish()
    return words, [(call.name, json.loads(call.arguments)) for call in calls], rest


@pytest.mark.parametrize("size", [1, 3, 8, 1000])
@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>\n{CALL}\n</tool_call>",
        CALL,
        f"\n\n```json\n{CALL}\n```",
        f"{{{CALL}}}",
        f"[{CALL}]",
        f'{{"type": "function", "function": {CALL}}}',
        CALL.replace("arguments", "parameters"),
    ],
)
def test_a_call_is_read_and_not_said(text: str, size: int) -> None:
    assert read(text, size) == ("", [("get_weather", {"city": "Paris {x}"})], "")


@pytest.mark.parametrize("size", [1, 3, 8, 1000])
def test_words_before_a_call_are_said_at_once(size: int) -> None:
    words, calls, rest = read(f"Let me look. <tool_call>{CALL}</tool_call>", size)
    assert (words, rest) == ("Let me look. ", "")
    assert len(calls) == 1


def test_two_calls() -> None:
    second = '{"name": "set_timer", "arguments": {}}'
    _, calls, _ = read(f"<tool_call>{CALL}</tool_call>\n<tool_call>{second}</tool_call>", 5)
    assert [name for name, _ in calls] == ["get_weather", "set_timer"]


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_words_do_not_wait(size: int) -> None:
    text = "It is 3 < 4, and {this} is no call <tool."
    words, calls, rest = read(text, size)
    assert (words + rest, calls) == (text, [])
    assert words.startswith("It is 3 < 4, and {this} is no call ")


def test_what_only_looks_like_a_call_is_said_at_the_end() -> None:
    assert read('{"name": "launch_missiles", "arguments": {}}', 5)[1] == []
    assert read("[laughs] Well.", 3) == ("", [], "[laughs] Well.")


def test_a_call_that_broke_off_is_none() -> None:
    assert read(CALL[:-9], 4)[1] == []
