"""Telling "mhm" from an interruption."""

import pytest

from pipeline.text.backchannel import PHRASES, backchannel_prompt, is_all_of, is_backchannel


@pytest.mark.parametrize(
    "text",
    ["Mhm.", "uh-huh", "Yeah.", "Okay!", "Right.", "I see.", "yeah yeah", "Oh, okay.", "Yeah, right.", "Mm-hmm."],
)
def test_listeners_noises_are_backchannels(text: str) -> None:
    assert is_backchannel(text, "en")


@pytest.mark.parametrize(
    "text",
    ["Stop.", "Wait!", "No.", "yeah no", "okay stop", "What?", "Yeah, but", "hold on", "I see a cat", "", "...",
     "tell me", "yeah yeah yeah yeah yeah yeah yeah"],
)  # fmt: skip
def test_what_takes_the_floor_is_none(text: str) -> None:
    assert not is_backchannel(text, "en")


@pytest.mark.parametrize(
    ("language", "yes", "no"),
    [
        ("de", "Ja, genau.", "Nein."),
        ("fr", "D'accord.", "Attends !"),
        ("es", "Sí, claro.", "Espera."),
        ("it", "Va bene.", "Aspetta!"),
        ("pt", "Pois é.", "Não."),
        ("nl", "Ja, precies.", "Wacht even"),
    ],
)
def test_every_language_has_its_own(language: str, yes: str, no: str) -> None:
    assert is_backchannel(yes, language)
    assert not is_backchannel(no, language)


def test_a_region_is_ignored_and_an_unknown_language_knows_the_sounds() -> None:
    assert is_backchannel("genau", "de-AT")
    assert is_backchannel("mhm", "zz")
    assert not is_backchannel("genau", "zz")


def test_the_lists_can_be_changed() -> None:
    phrases = {**PHRASES, "en": {"roger that"}}
    assert is_backchannel("Roger that!", "en", phrases)
    assert not is_backchannel("yeah", "en", phrases)


@pytest.mark.parametrize("word", ["stop", "wait", "no"])
def test_stop_stays_an_interruption_whatever_the_lists_say(word: str) -> None:
    assert not is_backchannel(word, "en", {"en": {word}})


@pytest.mark.parametrize("language", [*PHRASES, "en-GB"])
def test_speech_to_text_is_prompted_with_backchannels(language: str) -> None:
    prompted = backchannel_prompt(language).rstrip(".").split(". ")
    assert prompted
    assert [phrase for phrase in prompted if not is_backchannel(phrase, language)] == []


@pytest.mark.parametrize(
    ("text", "seconds", "all_of_it"),
    [
        ("Oh.", 0.9, True),
        ("Oh.", 2.0, False),
        ("Mm-hmm, okay, yeah.", 2.4, True),
        ("yeah right", 3.5, False),
        ("", 5, True),
    ],
)
def test_a_murmur_takes_only_so_long(text: str, seconds: float, all_of_it: bool) -> None:
    assert is_all_of(text, seconds) is all_of_it
