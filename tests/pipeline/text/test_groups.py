"""Digits and letters said in groups: what was asked for, and whether the words so far are all of it."""

import pytest

from pipeline.text.groups import More, Wanted, group, wanted
from pipeline.text.unfinished import what_follows


@pytest.mark.parametrize(
    ("reply", "asked"),
    [
        ("What is your number?", Wanted.PHONE),
        ("Sure. Could you tell me your phone number, please?", Wanted.PHONE),
        ("Please tell me the best number to reach you.", Wanted.PHONE),
        ("How do you spell that?", Wanted.SPELLING),
        ("And the confirmation code?", Wanted.CODE),
        ("What is the card number?", Wanted.ACCOUNT),
        ("Okay, what's your date of birth?", Wanted.BIRTHDAY),
        ("What is your address? I will send it there.", Wanted.ADDRESS),
        ("What is your e-mail address?", Wanted.EMAIL),
    ],
)
def test_a_question_for_something_that_is_said_in_groups(reply: str, asked: Wanted) -> None:
    assert wanted(reply) is asked


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "How many people?",
        "How old are you?",
        "Pick a number between one and ten.",
        "What number am I thinking of?",
        "What is your favorite number?",
        "Your number is 5. What would you like to do?",
        "The code is on the back of the card.",
    ],
)
def test_a_question_whose_answer_has_a_natural_end(reply: str) -> None:
    assert wanted(reply) is None


@pytest.mark.parametrize(
    ("language", "reply", "asked"),
    [
        ("de", "Wie ist Ihre Telefonnummer?", Wanted.PHONE),
        ("de-AT", "Können Sie das buchstabieren?", Wanted.SPELLING),
        ("fr", "Quel est votre numéro de téléphone ?", Wanted.PHONE),
        ("es", "¿Cuál es su número de teléfono?", Wanted.PHONE),
        ("it", "Qual è il suo indirizzo?", Wanted.ADDRESS),
        ("pt", "Pode soletrar, por favor?", Wanted.SPELLING),
        ("nl", "Wat is uw telefoonnummer?", Wanted.PHONE),
        ("de", "Wie viele Personen?", None),
        ("zz", "What is your number?", None),
    ],
)
def test_other_languages(language: str, reply: str, asked: Wanted | None) -> None:
    assert wanted(reply, language) is asked


@pytest.mark.parametrize(
    ("text", "asked", "more"),
    [
        ("555.", Wanted.PHONE, More.GROUP),
        ("It's 555", Wanted.PHONE, More.GROUP),
        ("five five five", Wanted.PHONE, More.GROUP),
        ("555-0173", Wanted.PHONE, More.PERHAPS),
        ("555-123-4567.", Wanted.PHONE, More.NO),
        ("4929 1234", Wanted.ACCOUNT, More.PERHAPS),
        ("4929", Wanted.ACCOUNT, More.GROUP),
        ("47", Wanted.CODE, More.GROUP),
        ("4711", Wanted.CODE, More.PERHAPS),
        ("k-a-t", Wanted.SPELLING, More.GROUP),
        ("K-A-T-E.", Wanted.SPELLING, More.NO),
        ("HX4. 7.", Wanted.CODE, More.GROUP),
        ("H X Seven. Cute.", Wanted.SPELLING, More.GROUP),
        ("Kay.", Wanted.SPELLING, More.PERHAPS),
        ("Okay.", Wanted.SPELLING, More.YES),
        ("Yes, sure.", Wanted.PHONE, More.YES),
        ("No.", Wanted.PHONE, More.NO),
        ("It is Kate Miller.", Wanted.SPELLING, More.NO),
        ("221", Wanted.ADDRESS, More.GROUP),
        ("221 Baker Street", Wanted.ADDRESS, More.PERHAPS),
        ("March", Wanted.BIRTHDAY, More.GROUP),
        ("March 5th", Wanted.BIRTHDAY, More.PERHAPS),
        ("March 5th, 1984.", Wanted.BIRTHDAY, More.NO),
        ("jane dot doe at gmail", Wanted.EMAIL, More.PERHAPS),
        ("jane.doe@gmail.com", Wanted.EMAIL, More.NO),
        ("I don't know.", Wanted.PHONE, More.NO),
        ("No.", Wanted.EMAIL, More.NO),
        ("9.", None, More.NO),
        ("42", None, More.NO),
        ("1984.", None, More.NO),
        ("1-0-0-0-1", None, More.PERHAPS),
        ("M-O-R.", None, More.PERHAPS),
        ("B.", None, More.NO),
        ("I would like to", None, More.YES),
    ],
)
def test_whether_that_is_all(text: str, asked: Wanted | None, more: More) -> None:
    assert what_follows(text, "en", asked, known="My name is Kate.") is more


def test_digits_as_words_in_another_language() -> None:
    assert group("null eins sieben", Wanted.PHONE, language="de") is More.GROUP
    assert group("null eins sieben zwei drei vier fünf sechs sieben acht", Wanted.PHONE, language="de") is More.NO
