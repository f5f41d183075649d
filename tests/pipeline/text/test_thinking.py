"""Thoughts are taken out of replies, however they are cut."""

import random

import pytest

from pipeline.text.thinking import ThoughtFilter, likely_untagged, opens_thought, without_thoughts

THOUGHT = "The user wants a city. 3 < 4, and a <b> is no tag.\n\nIt is Paris."
ANSWER = "It is Paris, and 2 < 3."


def cuts(text: str, way: int) -> list[str]:
    """One of twenty ways to cut a text: by 1 to 10 characters, at a single place, and at random."""
    if way < 10:
        return [text[start : start + way + 1] for start in range(0, len(text), way + 1)]
    if way < 15:
        at = text.index("</think>") + way - 10
        return [text[:at], text[at:]]
    dice = random.Random(way)
    places = sorted(dice.sample(range(1, len(text)), 6))
    return [text[begin:end] for begin, end in zip([0, *places], [*places, len(text)], strict=True)]


def said(found: ThoughtFilter, pieces: list[str]) -> str:
    return "".join(found.feed(piece) for piece in pieces) + found.finish()


@pytest.mark.parametrize("way", range(20))
def test_a_thought_is_taken_out_however_it_is_split(way: int) -> None:
    whole = f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}"
    found = ThoughtFilter()
    assert said(found, cuts(whole, way)) == ANSWER
    assert found.thought
    assert not found.unopened


@pytest.mark.parametrize("way", range(20))
def test_a_thought_whose_opening_tag_is_in_the_prompt_is_taken_out(way: int) -> None:
    found = ThoughtFilter(opened=True, sure=False)
    assert said(found, cuts(f"{THOUGHT}\n</think>\n\n{ANSWER}", way)) == ANSWER
    assert found.unopened


@pytest.mark.parametrize("way", range(20))
def test_a_thought_between_words_leaves_a_space(way: int) -> None:
    whole = f"Well. <think>{THOUGHT}</think> {ANSWER}"
    assert said(ThoughtFilter(), cuts(whole, way)).split() == f"Well. {ANSWER}".split()


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_words_pass_as_they_are(size: int) -> None:
    text = "I think <b>2 < 3</b> and <thin> is thin, <3 and </ nothing <"
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    assert said(ThoughtFilter(), pieces) == text


def test_words_do_not_wait() -> None:
    found = ThoughtFilter()
    assert [found.feed(piece) for piece in ("Paris", " is", " a", " city")] == ["Paris", " is", " a", " city"]


def test_a_thought_without_an_end_is_none_of_the_words() -> None:
    found = ThoughtFilter()
    assert said(found, ["<think>", "What is", " it"]) == ""
    assert found.thinking
    assert said(ThoughtFilter(opened=True), ["What is it"]) == ""


def test_where_a_thought_was_only_expected_a_reply_without_one_is_said_at_its_end() -> None:
    found = ThoughtFilter(opened=True, sure=False)
    assert said(found, ["Par", "is."]) == "Paris."
    assert not found.thought


def test_a_closing_tag_alone_is_not_said_and_teaches() -> None:
    found = ThoughtFilter()
    assert said(found, ["The user asks. ", "</think>", " Paris."]) == "The user asks.  Paris."
    assert found.unopened


def test_an_empty_thought_is_no_thought() -> None:
    found = ThoughtFilter()
    assert said(found, ["<think>\n\n</think>\n\nParis."]) == "Paris."
    assert not found.thought


@pytest.mark.parametrize("tag", ["think", "thinking", "reasoning", "THINK"])
def test_tags_by_other_names(tag: str) -> None:
    assert said(ThoughtFilter(), [f"<{tag}>What?</{tag}>Paris."]) == "Paris."


def test_whole_replies() -> None:
    assert without_thoughts(f"<think>{THOUGHT}</think>\n{ANSWER}") == ANSWER
    assert without_thoughts(f"{THOUGHT}</think>\n{ANSWER}") == ANSWER
    assert without_thoughts(ANSWER) == ANSWER


def test_prompts_that_open_a_thought() -> None:
    assert opens_thought("<|im_start|>assistant\n<think>\n")
    assert not opens_thought("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert not opens_thought("<|im_start|>assistant\n")


@pytest.mark.parametrize(
    ("model", "likely"),
    [
        ("deepseek-r1:8b", True),
        ("qwq", True),
        ("Qwen3-4B-Thinking-2507", True),
        ("llama3.2:3b", False),
        ("qwen2.5-coder-1.5b", False),
    ],
)
def test_models_that_are_likely_to_think_untagged(model: str, likely: bool) -> None:
    assert likely_untagged(model) is likely
