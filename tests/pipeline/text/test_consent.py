"""A yes is a yes by itself; whatever stands beside it makes it something else."""

import pytest

from pipeline.text.consent import consent_question, consents


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Yes.", "en"),
        ("Yes, please.", "en"),
        ("Yeah, sure, go ahead.", "en"),
        ("Okay, do it.", "en"),
        ("YES!", "en-GB"),
        ("Ja, mach das bitte.", "de"),
        ("Oui, vas-y.", "fr"),
        ("Sí, por favor.", "es"),
        ("Sì, confermo.", "it"),
        ("Sim, pode fazer.", "pt"),
        ("Ja, doe maar.", "nl"),
        ("Да, конечно.", "ru"),
        ("はい、お願いします。", "ja"),
        ("Yes.", "xx"),
    ],
)
def test_a_yes_is_one(text: str, language: str) -> None:
    assert consents(text, language)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", "en"),
        ("Okay.", "en"),
        ("Mm-hmm.", "en"),
        ("No.", "en"),
        ("Yes, but not to Anna.", "en"),
        ("Yes or no, what do you think?", "en"),
        ("Yesterday.", "en"),
        ("What would that do?", "en"),
        ("Do it not.", "en"),
        ("Yes no.", "en"),
        ("Yes yes yes yes yes yes yes yes yes", "en"),
        ("Yes.", "de"),
        ("Ja.", "en"),
        ("Nein, mach das nicht.", "de"),
        ("Thank you.", "en"),
    ],
)
def test_all_else_is_not(text: str, language: str) -> None:
    assert not consents(text, language)


def test_the_question_tells_what_is_going_to_be_done() -> None:
    told = consent_question("", "send_message", '{"to": "Anna", "lines": [1, 2]}', "en")
    assert told == "Shall I go ahead with this: send message, to Anna, lines 1, 2?"
    assert consent_question("", "lock", "{}", "de-DE") == "Soll ich das wirklich tun: lock?"


def test_the_owners_question_has_the_arguments_in_it_and_nothing_else_of_the_program() -> None:
    asked = consent_question("Shall I call {who}{nobody}? {who.__class__}", "call", '{"who": "Eve {x}"}', "en")
    assert asked == "Shall I call Eve x? {who.__class__}"


def test_a_question_ends_however_long_the_arguments_are() -> None:
    assert len(consent_question("", "send", '{"text": "' + "word " * 4_000 + '"}', "en")) < 300
