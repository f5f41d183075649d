"""The rules that judge what language models say."""

from collections import Counter

import pytest

from bench.minds import Question, Reply, load_questions, wrong
from pipeline.engines.protocols import ToolCall


def test_there_are_ten_questions_of_each_of_six_kinds() -> None:
    counts = Counter(question.kind for question in load_questions())
    assert counts == dict.fromkeys(("facts", "arithmetic", "memory", "instruction", "tools", "politeness"), 10)


def test_no_question_is_right_without_an_answer() -> None:
    assert all(wrong(question, Reply()) for question in load_questions())


def test_an_apology_or_the_question_itself_is_right_only_where_manners_are_asked_for() -> None:
    for question in load_questions():
        if question.kind in ("facts", "arithmetic") and "umbrella" not in question.say[-1]:
            for text in ("I'm sorry, I do not know that.", question.say[-1]):
                assert wrong(question, Reply(text)), question


@pytest.mark.parametrize(
    ("question", "text", "problem"),
    [
        (Question("x", ("?",), any=("\\bParis\\b",)), "It is paris.", ""),
        (Question("x", ("?",), any=("\\bParis\\b",)), "It is Parison.", "not what was asked for"),
        (Question("x", ("?",), any=("banana",), times=3), "Banana banana.", "not what was asked for"),
        (Question("x", ("?",), all=("milk", "eggs")), "Milk.", "without eggs"),
        (Question("x", ("?",), none=("OpenAI",)), "I am from openai.", "with OpenAI"),
        (Question("x", ("?",), most_words=2), "It is white.", "3 words, 2 at most"),
        (Question("x", ("?",), least_words=4), "It is white.", "3 words, 4 at least"),
    ],
)
def test_what_is_wrong_with_a_reply(question: Question, text: str, problem: str) -> None:
    assert wrong(question, Reply(text)) == problem


WEATHER = Question("tools", ("?",), tool="get_weather", arguments={"city": "Paris"})


@pytest.mark.parametrize(
    ("calls", "problem"),
    [
        ([ToolCall("1", "get_weather", '{"city": "Paris"}')], ""),
        ([], "did not ask for get_weather"),
        ([ToolCall("1", "set_timer", "{}")], "did not ask for get_weather"),
        ([ToolCall("1", "get_weather", '{"city": "Rome"}')], "asked with city=Rome"),
        ([ToolCall("1", "get_weather", "Paris")], "asked with arguments that are no object"),
    ],
)
def test_what_is_wrong_with_a_tool_call(calls: list[ToolCall], problem: str) -> None:
    assert wrong(WEATHER, Reply("It is sunny.", calls)) == problem


def test_a_tool_that_nobody_needs_is_wrong() -> None:
    question = Question("tools", ("Thanks.",), tool="none")
    assert wrong(question, Reply("You are welcome.")) == ""
    assert wrong(question, Reply("Done.", [ToolCall("1", "set_timer", "{}")])) == "asked for set_timer for nothing"
