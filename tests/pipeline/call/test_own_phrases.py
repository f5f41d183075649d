"""What Morgan says by itself: in the language of the call, where a voice speaks it, and as the operator has it."""

import re
from typing import Any

import pytest

from pipeline.call.effects import Synthesize
from pipeline.call.inputs import Input
from pipeline.call.options import CallOptions
from pipeline.call.replay.codec import plain
from pipeline.call.requests import SayPhrase
from pipeline.call.turn_taking.config import TurnTakingConfig
from pipeline.engines.protocols import Voice
from pipeline.text.phrases import FILLERS, IDLE_PROMPTS, PHRASES, SHUTDOWNS, OwnPhrases, phrase_in
from tests.pipeline.call.simulation import Say, Simulation

JOE, EVA, SIWIS = (
    Voice("joe", "Joe", "en_US", "piper"),
    Voice("eva", "Eva", "de_DE", "piper"),
    Voice("siwis", "Siwis", "fr_FR", "piper"),
)
FRENCH = Say(1.0, 2.8, "Quel temps fait-il à Paris ?", language="fr")
OWN: OwnPhrases = {"de": {"greeting": "Hallo, hier ist Morgan.", "idle_prompt": "Na?"}, "fr": {"greeting": "Bonjour."}}


def said(call: Simulation) -> list[str]:
    """What was said by the call's half of it, in order."""
    return [entry.text for entry in call.context.entries if entry.role == "assistant"]


def voices_of(call: Simulation) -> set[str | None]:
    return {work.voice for work in call.effects(Synthesize)}


def silent(seconds: float = 20, voices: tuple[Voice, ...] = (JOE, EVA, SIWIS), **options: Any) -> Simulation:
    """A call in which nobody speaks."""
    wanted = CallOptions(turn_taking=TurnTakingConfig(idle_prompt_s=5), **options)
    return Simulation([], options=wanted, voices=voices).run(seconds)


def test_a_silence_is_broken_in_the_language_of_the_call_and_in_a_voice_of_it() -> None:
    call = silent(language="de")
    assert (said(call), voices_of(call)) == ([IDLE_PROMPTS["de"]], {"eva"})


def test_where_nothing_is_known_of_the_caller_the_voice_speaks_its_own_language() -> None:
    call = silent(voices=(SIWIS,))
    assert said(call) == [IDLE_PROMPTS["fr"]]


def test_what_no_voice_can_say_is_said_in_the_language_of_the_voice() -> None:
    call = silent(voices=(JOE,), language="de")
    assert said(call) == [IDLE_PROMPTS["en"]]


def test_a_silence_behind_a_turn_is_broken_in_the_language_of_the_turn() -> None:
    wanted = CallOptions(turn_taking=TurnTakingConfig(idle_prompt_s=5))
    call = Simulation([FRENCH], options=wanted, voices=(JOE, EVA, SIWIS)).run(30)
    assert said(call)[-1] == IDLE_PROMPTS["fr"]


def test_a_restart_is_told_in_the_language_of_the_call() -> None:
    call = Simulation([], options=CallOptions(language="fr", shutdown_prompt=SHUTDOWNS["en"]), voices=(JOE, SIWIS))
    call.run(1)
    asked: Input = SayPhrase("shutdown_prompt")
    call.post(asked)
    call.run(8)
    assert (said(call), voices_of(call)) == ([SHUTDOWNS["fr"]], {"siwis"})


@pytest.mark.parametrize(
    ("language", "greeting", "voice"),
    [("de", "Hallo, hier ist Morgan.", "eva"), ("fr", "Bonjour.", "siwis"), ("en", "Hello.", None)],
)
def test_a_caller_is_greeted_in_their_language_as_the_operator_has_it(
    language: str, greeting: str, voice: str | None
) -> None:
    options = CallOptions(language=language, greeting="Hello.", phrases=OWN)
    call = Simulation([], options=options, voices=(JOE, EVA, SIWIS)).run(4)
    assert (said(call), voices_of(call)) == ([greeting], {voice})


def test_a_phrase_of_the_operator_goes_before_the_one_that_there_is() -> None:
    assert said(silent(language="de", phrases=OWN)) == ["Na?"]
    assert said(silent(language="fr", phrases=OWN)) == [IDLE_PROMPTS["fr"]]


def test_a_text_of_the_operator_is_said_in_all_languages_that_they_have_no_phrase_for() -> None:
    assert said(silent(language="fr", idle_prompt="Hm?", phrases=OWN)) == ["Hm?"]
    assert said(silent(language="de", idle_prompt="Hm?", phrases=OWN)) == ["Na?"]


def test_what_a_call_is_not_to_say_is_said_in_no_language() -> None:
    assert said(Simulation([], options=CallOptions(language="de", phrases=OWN), voices=(JOE, EVA)).run(4)) == []


def test_a_phrase_may_be_taken_away_in_one_language() -> None:
    assert said(silent(language="de", phrases={"de": {"idle_prompt": ""}})) == []
    assert said(silent(language="fr", phrases={"de": {"idle_prompt": ""}})) == [IDLE_PROMPTS["fr"]]


def test_the_one_greeting_that_there_is_is_said_to_all_in_its_own_language() -> None:
    own: OwnPhrases = {"de": {"greeting": "Hallo."}}
    assert phrase_in("greeting", "Hallo.", "fr", own) == ("Hallo.", "de")


def test_every_phrase_is_there_in_every_language() -> None:
    there = {name: set(phrases) for name, phrases in PHRASES.items() if phrases}
    assert set(map(frozenset, there.values())) == {frozenset(FILLERS)}
    assert set(FILLERS) >= {"en", "de", "fr", "es", "it", "pt", "nl", "hi"}
    words = [text for phrases in PHRASES.values() for text in phrases.values()]
    assert len(set(words)) == len(words)


def test_the_phrases_of_a_call_are_recorded_with_it() -> None:
    assert plain(CallOptions(phrases=OWN).phrases) == OWN
    assert plain(CallOptions().phrases) == {}


def test_portuguese_is_such_as_is_said_in_brazil_too_where_its_voices_are_from() -> None:
    said = " ".join(known.get("pt", "") for known in PHRASES.values())
    # In Brazil "não percebi" is "I did not notice", and the others are not said.
    assert re.findall(r"percebi|correu mal|\bestá a \w+r\b|\btenho de\b", said, re.IGNORECASE) == []
