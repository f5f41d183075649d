"""Telling Whisper's inventions from what was said."""

import pytest

from pipeline.engines.protocols import Transcript
from pipeline.engines.stt.hallucination import (
    HallucinationThresholds,
    clean_transcript,
    is_hallucination,
    strip_annotations,
)

# What whisper-base (int8, greedy) gave on silence, noise, hum and clicks; the last column is confidence.
INVENTED = [
    (" you", 0.73, 0.20),
    (" I'm", 0.77, 0.11),
    (" You", 0.81, 0.17),
    (" you", 0.74, 0.38),
    (" you", 0.68, 0.19),
]
# And on the same words really said.
SAID = [
    ("Thank you.", 0.02, 0.86),
    ("Thanks.", 0.08, 0.75),
    ("Bye.", 0.10, 0.70),
    ("you", 0.18, 0.41),
    ("Okay", 0.21, 0.71),
    ("So...", 0.10, 0.50),
    ("Hello world.", 0.21, 0.63),
]


@pytest.mark.parametrize(("text", "no_speech", "confidence"), INVENTED)
def test_what_whisper_invents_on_noise(text: str, no_speech: float, confidence: float) -> None:
    assert is_hallucination(text, no_speech, confidence, 2.0)


@pytest.mark.parametrize(("text", "no_speech", "confidence"), SAID)
def test_the_same_words_really_said_pass(text: str, no_speech: float, confidence: float) -> None:
    assert not is_hallucination(text, no_speech, confidence, 1.0)


@pytest.mark.parametrize(
    "text",
    ["Thanks for watching!", "Bye. Bye. Bye.", "Subtitles by the Amara.org community", "Untertitelung des ZDF, 2020"],
)
def test_known_inventions_need_doubt(text: str) -> None:
    assert is_hallucination(text, 0.6, 0.5, 2.0)
    assert not is_hallucination(text, 0.05, 0.9, 2.0)


@pytest.mark.parametrize("text", ["", "[Music]", "(applause)", "♪ la la ♪", "*sighs*", "[BLANK_AUDIO]", "..."])
def test_nothing_but_annotations(text: str) -> None:
    assert is_hallucination(text, 0.0, 1.0, 2.0)


def test_annotations_are_taken_out_of_what_was_said() -> None:
    assert strip_annotations("[Music] Hello (laughs) world. ♪") == "Hello world."


def test_any_text_that_the_model_itself_doubts() -> None:
    assert is_hallucination("The cat sat on a mat.", 0.7, 0.3, 3.0)
    assert not is_hallucination("The cat sat on a mat.", 0.7, 0.6, 3.0)


def test_a_repetition_is_no_reason_to_drop_what_was_said() -> None:
    assert not is_hallucination("I don't know. " * 6, 0.3, 0.9, 10.0)


def test_more_words_than_fit_in_the_time() -> None:
    text = "this is far too much to be said in half a second"
    assert is_hallucination(text, 0.0, 1.0, 0.5)
    assert not is_hallucination(text, 0.0, 1.0, 3.0)
    assert not is_hallucination(text, 0.0, 1.0, 0.0)


def test_thresholds_can_be_set() -> None:
    strict = HallucinationThresholds(known_confidence=0.95)
    assert is_hallucination("Thank you.", 0.02, 0.86, 1.0, strict)


def test_a_clean_transcript_holds_what_was_said_or_nothing() -> None:
    assert clean_transcript(Transcript("[Music] Hello.", "en", 0.1, 0.8, 1.0)) == "Hello."
    assert clean_transcript(Transcript("you", "en", 0.73, 0.2, 1.0)) == ""
