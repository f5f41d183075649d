"""What Morgan says by itself, as the settings have it: of calls, of telephone lines, and made ahead of time."""

import json
from typing import Any

import pytest

from pipeline.call.reply.voice_choice import VoiceChoice
from pipeline.engines.protocols import Voice
from pipeline.text.phrases import IDLE_PROMPTS, UNCLEAR
from server.calls.defaults import call_options, fixed_phrases, telephone_greeting
from server.settings import Settings, SettingsError, load_settings

OWN = {"de": {"greeting": "Hallo.", "telephone_greeting": "Guten Tag."}, "fr": {"greeting": "Bonjour."}}

JOE, EVA = Voice("joe", "Joe", "en_US", "piper"), Voice("eva", "Eva", "de_DE", "piper")


def test_phrases_are_read_from_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MORGAN_PHRASES", json.dumps(OWN))
    options = call_options(load_settings())
    assert options.phrase("greeting", "fr") == ("Bonjour.", "fr")
    # Nobody said what is to be said in English.
    assert options.phrase("greeting", "en") == ("Hallo.", "de")
    assert options.phrase("idle_prompt", "de") == (IDLE_PROMPTS["de"], "de")


@pytest.mark.parametrize(
    "wrong", [{"german": {"greeting": "Hallo."}}, {"de": {"greetings": "Hallo."}}, {"de": "Hallo."}]
)
def test_phrases_that_nothing_is_known_of_stop_the_start(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MORGAN_PHRASES", json.dumps(wrong))
    with pytest.raises(SettingsError, match=r"(?i)phrases"):
        load_settings()


@pytest.mark.parametrize(
    ("settings", "german", "french"),
    [
        ({"greeting": "Hello."}, "Hello.", "Hello."),
        ({"phrases": {"de": {"greeting": "Hallo."}}}, "Hallo.", "Hallo."),
        ({"phrases": OWN}, "Guten Tag.", "Guten Tag."),
        ({"phrases": OWN, "telephone_greeting": "Good day."}, "Guten Tag.", "Good day."),
        ({}, "", ""),
    ],
)
def test_a_telephone_line_is_greeted_in_its_own_words(settings: dict[str, Any], german: str, french: str) -> None:
    wanted = Settings(**settings)
    options = call_options(wanted)
    for name, value in telephone_greeting(wanted, options).items():
        setattr(options, name, value)
    assert [options.phrase("greeting", code)[0] for code in ("de", "fr")] == [german, french]


def test_what_is_made_ahead_of_time_is_what_callers_of_the_expected_languages_hear() -> None:
    settings = Settings(languages=("de", "sv"), phrases=OWN)
    voices = VoiceChoice((JOE, EVA), "joe")
    fixed = fixed_phrases(settings, call_options(settings), voices)
    assert {("Hallo.", "de"), ("Guten Tag.", "de"), (UNCLEAR["de"], "de"), (UNCLEAR["en"], "en")} <= set(fixed)
    assert not any(words == "" for words, _ in fixed)
    # Whom a voice of another language speaks to hears its language.
    alone = fixed_phrases(Settings(), call_options(Settings()), VoiceChoice((EVA,), "eva"))
    assert {language for _, language in alone} == {"de"}
