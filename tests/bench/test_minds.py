"""The rules that judge what language models say."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench import minds
from bench.minds import HELD_OUT, QUESTIONS, TOOLS, Figures, Question, Reply, load_questions, wrong
from pipeline.engines.protocols import ToolCall
from pipeline.text.normalise import normalise
from server.engines.score_book import load_scores
from server.settings import Settings, load_settings

either_file = pytest.mark.parametrize("path", [QUESTIONS, HELD_OUT], ids=lambda path: path.stem)


@either_file
def test_there_are_ten_questions_of_each_of_six_kinds(path: Path) -> None:
    counts = Counter(question.kind for question in load_questions(path))
    assert counts == dict.fromkeys(("facts", "arithmetic", "memory", "instruction", "tools", "politeness"), 10)


@either_file
def test_every_pattern_is_a_regular_expression(path: Path) -> None:
    for question in load_questions(path):
        for pattern in (*question.any, *question.all, *question.none, *question.arguments.values()):
            re.compile(pattern)


@either_file
def test_every_question_says_what_is_expected(path: Path) -> None:
    assert all(question.any or question.all or question.tool for question in load_questions(path))


@either_file
def test_tools_and_arguments_that_are_expected_are_there(path: Path) -> None:
    known = {tool.name: set(tool.parameters["properties"]) for tool in TOOLS} | {"": set(), "none": set()}
    for question in load_questions(path):
        assert set(question.arguments) <= known[question.tool], question


def test_no_question_is_asked_twice_in_either_file_or_in_both() -> None:
    asked = Counter(
        tuple(normalise(said) for said in question.say)
        for path in (QUESTIONS, HELD_OUT)
        for question in load_questions(path)
    )
    assert max(asked.values()) == 1


def test_nothing_that_is_said_in_one_file_is_said_in_the_other() -> None:
    tuned_on, held_out = (
        {normalise(said) for question in load_questions(path) for said in question.say}
        for path in (QUESTIONS, HELD_OUT)
    )
    assert not tuned_on & held_out


@either_file
def test_no_question_is_right_without_an_answer(path: Path) -> None:
    assert all(wrong(question, Reply()) for question in load_questions(path))


@either_file
def test_an_apology_or_the_question_itself_is_right_only_where_manners_are_asked_for(path: Path) -> None:
    for question in load_questions(path):
        if question.kind in ("facts", "arithmetic") and "umbrella" not in question.say[-1]:
            for text in ("I'm sorry, I do not know that.", question.say[-1]):
                assert wrong(question, Reply(text)), question


@pytest.mark.parametrize(
    ("options", "path", "scores"),
    [((), QUESTIONS, {"llama3.2:3b at http://localhost:1/v1": 60}), (("--held-out",), HELD_OUT, {})],
)
def test_the_score_of_the_held_out_questions_is_not_kept(
    options: Sequence[str], path: Path, scores: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Question] = []

    async def all_right(settings: Settings, questions: Sequence[Question]) -> Figures:
        asked.extend(questions)
        return Figures(settings.llm_model, {"all": (60, 60)}, 1.0, 1.0, 1.0, 1.0, 1, 1.0, False, ())

    monkeypatch.setattr(minds, "measure", all_right)
    monkeypatch.setattr("sys.argv", ["morgan bench minds", *options])
    monkeypatch.setenv("MORGAN_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("MORGAN_LLM_BASE_URL", "http://localhost:1/v1")
    monkeypatch.setenv("MORGAN_LLM_MODEL", "llama3.2:3b")
    minds.main()
    assert tuple(asked) == load_questions(path)
    assert load_scores(load_settings()) == scores


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
