"""Repetitions in transcripts."""

import pytest

from pipeline.text.repetition import find_repetition, said_once, units


@pytest.mark.parametrize(
    ("text", "language", "once"),
    [
        ("Should I get a car? Should I get a car?", "en", "Should I get a car?"),
        ("Should I get a car? Should I get a car? Should I", "en", "Should I get a car?"),
        ("No. No.", "en", "No."),
        ("Well, I don't know. I don't know. I don't know. I don't know.", "en", "Well, I don't know."),
        ("今日は。今日は。今日は。", "ja", "今日は。"),
        ("Eight eight eight eight", "en", "Eight"),
    ],
)
def test_a_text_said_over_and_over_is_cut_behind_its_first_round(text: str, language: str, once: str) -> None:
    assert find_repetition(units(text, language)) is not None
    assert said_once(text, language) == once


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Yes.",
        "No, no, no, I meant Berlin.",
        "My number is four two four two, thank you.",
        "It was the best of times, it was the worst of times.",
        "I think that that is right.",
    ],
)
def test_what_people_repeat_within_a_sentence_stays(text: str) -> None:
    assert find_repetition(units(text)) is None
    assert said_once(text) == text


def test_a_single_word_five_times_within_a_text_is_no_loop() -> None:
    assert find_repetition(["please", "say", "very", "very", "very", "very", "very", "loud"]) is None


def test_rounds_are_counted_in_full() -> None:
    found = find_repetition(units("what is it what is it what"))
    assert found is not None
    assert (found.start, found.length, found.words, found.rounds) == (0, 3, 7, 2)
