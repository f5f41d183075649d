"""Telling from the words whether a speaker goes on."""

import pytest

from pipeline.text.unfinished import expects_more, is_question


@pytest.mark.parametrize(
    "text",
    [
        "I would like to",
        "Book a table for two and",
        "Give me the.",
        "It was, um...",
        "So I said,",
        "Uh.",
        "My name is",
        "Spell it B as in",
        "It is J O H",
        "My number is 555 123",
        "Call me at five five five",
        "I live at 12",
        "The code is 12",
        "It costs three point",
        "Send it to jane dot",
        "We could go there because",
    ],
)
def test_a_speaker_goes_on(text: str) -> None:
    assert expects_more(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "What is the weather in Paris?",
        "What is it for?",
        "And?",
        "Turn it on.",
        "I like this.",
        "I like this",
        "My number is 555 123 4567.",
        "The code is 1234.",
        "I have 3",
        "Yes.",
        "Stop",
        "Book a table for two.",
    ],
)
def test_a_speaker_is_done(text: str) -> None:
    assert not expects_more(text)


@pytest.mark.parametrize(
    ("language", "more", "done"),
    [
        ("de", "Ich hätte gern einen Tisch für", "Mach das Licht an"),
        ("de-DE", "Das ist der.", "Das ist gut."),
        ("fr", "Je voudrais", "Je ne sais pas."),
        ("es", "Quiero un billete para", "Quiero un billete."),
        ("it", "Vorrei una pizza con", "Vorrei una pizza."),
        ("pt", "Eu moro em", "Eu moro aqui."),
        ("nl", "Ik ga naar de", "Doe het licht uit"),
        ("zz", "well,", "the"),
    ],
)
def test_other_languages(language: str, more: str, done: str) -> None:
    assert expects_more(more, language)
    assert not expects_more(done, language)


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("What's the weather like?", True),
        ("Hi. Did you come here by bike?", True),
        ("今日の天気は？", True),
        ("Did you come here by bike", False),
        ("You know?", False),
        ("I told her everything. Right?", False),
        ("Move in reverse.", False),
        ("", False),
    ],
)
def test_a_whole_question(text: str, whole: bool) -> None:
    assert is_question(text) is whole
