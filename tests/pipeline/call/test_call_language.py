"""The language of a call: what settles it, what a turn in another one changes, and what follows it."""

import pytest

from pipeline.call.effects import Synthesize, Transcribe
from pipeline.call.events import TranscriptCompleted
from pipeline.call.inputs import UserTyped
from pipeline.call.options import CallOptions
from pipeline.call.reply.voice_choice import VoiceChoice
from pipeline.call.user.language import CallLanguage
from pipeline.engines.protocols import Voice
from tests.pipeline.call.simulation import Say, Simulation

JOE = Voice("joe", "Joe", "en_US", "piper")
THORSTEN = Voice("thorsten", "Thorsten", "de_DE", "piper")
ENGLISH = Say(1.0, 2.8, "What is the weather in Paris?")
GERMAN = Say(16.0, 18.2, "Und wie ist das Wetter in Rom?", language="de")


def spoken_by(call: Simulation) -> list[str | None]:
    """The voice of each piece, in order, None being the default."""
    return [work.voice for work in call.effects(Synthesize)]


def told(call: Simulation) -> str:
    """What stands in the last question to the language model."""
    return "\n".join(message.content for message in call.asked[-1].request.messages)


def test_a_language_that_was_asked_for_is_told_to_speech_to_text_and_stays() -> None:
    call = Simulation([ENGLISH, GERMAN], options=CallOptions(language="en"), voices=(JOE, THORSTEN)).run(30)
    assert {work.language for work in call.effects(Transcribe)} == {"en"}
    assert [event.language for event in call.all(TranscriptCompleted)] == ["en", "en"]
    assert set(spoken_by(call)) == {None}


def test_what_is_expected_is_only_a_prior() -> None:
    call = Simulation([ENGLISH], options=CallOptions(expected_language="de")).run(3)
    assert {(work.language, work.prior) for work in call.effects(Transcribe)} == {(None, "de")}


def test_the_voice_is_what_is_expected_of_a_caller_of_whom_nothing_is_known() -> None:
    call = Simulation([ENGLISH], voices=(THORSTEN, JOE)).run(3)
    assert {(work.language, work.prior) for work in call.effects(Transcribe)} == {(None, "de")}


def test_the_language_of_a_turn_is_the_prior_of_the_next_and_of_speech_over_the_reply() -> None:
    over = Say(22.0, 22.4, "Mhm.", language="de")
    call = Simulation([GERMAN, over], voices=(JOE, THORSTEN)).run(25)
    asked = [(work.start / 16_000, work.prior) for work in call.effects(Transcribe)]
    assert {prior for start, prior in asked if start < 18} == {"en"}
    assert {prior for start, prior in asked if start > 19} == {"de"}


def test_the_reply_follows_in_words_and_voice_and_goes_back() -> None:
    back = Say(34.0, 36.0, "And tell me about London, please.")
    call = Simulation([ENGLISH, GERMAN, back], voices=(JOE, THORSTEN))
    call.run(15)
    assert "Answer in" not in told(call)
    assert set(spoken_by(call)) == {None}
    before = len(spoken_by(call))
    call.run(18)
    assert "(Answer in German.)" in told(call)
    assert set(spoken_by(call)[before:]) == {"thorsten"}
    before = len(spoken_by(call))
    call.run(15)
    assert "(Answer in English.)" in told(call)
    assert set(spoken_by(call)[before:]) == {None}
    assert [event.call_language for event in call.all(TranscriptCompleted)] == ["en", "de", "en"]


def test_numbers_are_said_in_the_language_of_the_call() -> None:
    call = Simulation([GERMAN], reply="Das kostet 3,50 € heute.", voices=(JOE, THORSTEN)).run(30)
    assert "Euro" in " ".join(work.text for work in call.effects(Synthesize))


def test_without_a_voice_of_the_language_the_default_one_speaks() -> None:
    call = Simulation([ENGLISH, GERMAN], voices=(JOE,)).run(30)
    assert set(spoken_by(call)) == {None}
    assert "(Answer in German.)" in told(call)


def test_a_chosen_voice_says_everything() -> None:
    call = Simulation([ENGLISH, GERMAN], options=CallOptions(voice="joe"), voices=(THORSTEN, JOE)).run(30)
    assert set(spoken_by(call)) == {"joe"}


def test_an_accented_question_in_what_may_be_hebrew_does_not_switch_the_call() -> None:
    doubtful = Say(16.0, 17.6, "Should I get a taxi?", language="he", language_probability=0.55)
    call = Simulation([ENGLISH, doubtful], voices=(JOE,)).run(30)
    assert [event.call_language for event in call.all(TranscriptCompleted)] == ["en", "en"]
    assert "Answer in" not in told(call)


@pytest.mark.parametrize("word", ["Yes.", "Nine.", "Monday."])
def test_a_word_that_sounds_like_another_language_does_not_switch_the_call(word: str) -> None:
    short = Say(16.0, 16.5, word, language="es", language_probability=0.9)
    call = Simulation([ENGLISH, short], voices=(JOE,)).run(30)
    assert call.all(TranscriptCompleted)[-1].call_language == "en"
    assert {work.prior for work in call.effects(Transcribe) if work.start > 20 * 16_000} <= {"en"}


def test_typed_words_leave_the_language_as_it_is() -> None:
    call = Simulation([GERMAN], voices=(JOE, THORSTEN)).run(30)
    call.post(UserTyped("Und in Wien?"))
    call.run(10)
    assert "(Answer in German.)" in told(call)


@pytest.mark.parametrize(
    ("language", "probability", "voice_s", "after"),
    [
        ("de", 0.95, 1.2, "de"),  # sure
        ("de", 0.7, 1.2, "en"),
        ("de", 0.95, 0.4, "en"),  # a word
        ("de", 0.6, 4.0, "de"),  # long
        ("de", 0.4, 4.0, "en"),
        ("en", 0.3, 0.2, "en"),
        ("", 1.0, 4.0, "en"),
    ],
)
def test_when_a_turn_switches_a_settled_call(language: str, probability: float, voice_s: float, after: str) -> None:
    call = CallLanguage(None, "en", None)
    assert call.after(language, probability, voice_s) == after
    assert call.settle(language, probability, voice_s) == after
    assert call.prior == call.current == after


def test_the_second_likely_turn_in_a_row_switches_whatever_its_length() -> None:
    call = CallLanguage(None, "en", None)
    assert call.settle("es", 0.6, 0.5) == "en"
    assert call.settle("es", 0.6, 0.5) == "es"


def test_a_mere_guess_gives_way_to_a_likely_turn_but_not_to_a_word_or_a_doubtful_one() -> None:
    assert CallLanguage(None, None, "en").after("fr", 0.7, 1.0) == "fr"
    assert CallLanguage(None, None, "en").after("fr", 0.7, 0.3) == "en"
    assert CallLanguage(None, None, "en").after("he", 0.55, 1.3) == "en"


def test_where_nothing_is_known_the_first_likely_turn_tells() -> None:
    call = CallLanguage(None, None, None)
    assert (call.prior, call.current) == (None, "en")
    assert call.settle("fr", 0.3, 1.0) == "en"
    assert call.prior is None
    assert call.settle("fr", 0.6, 0.4) == "fr"


def test_a_region_is_no_other_language() -> None:
    assert CallLanguage(None, "en-US", None).after("en", 0.2, 0.2) == "en"
    assert VoiceChoice((JOE, THORSTEN), "joe").speaking("de-AT") == "thorsten"


def test_a_default_voice_of_many_languages_says_all_of_them() -> None:
    assert VoiceChoice((Voice("alloy", "alloy", "", "openai"), THORSTEN), "alloy").speaking("de") is None
