"""How long a reply may be."""

import pytest

from pipeline.text.reply_length import LONG_WORDS, ORDINARY_WORDS, ReplyLength, asks_long

SENTENCE = "Dogs are loyal and want to go out with you every day. "


def written(length: ReplyLength, text: str, size: int = 4) -> str:
    """What is left of a text that comes in pieces of so many characters."""
    return "".join(length.feed(text[start : start + size]) for start in range(0, len(text), size))


@pytest.mark.parametrize("size", [1, 3, 4, 17, 1000])
def test_an_answer_ends_with_the_sentence_that_is_long_enough(size: int) -> None:
    length = ReplyLength("Cat or dog?")
    reply = written(length, SENTENCE * 20, size)
    assert length.ended
    assert reply.endswith("every day.")
    assert ORDINARY_WORDS <= len(reply.split()) < ORDINARY_WORDS + 12


def test_what_is_asked_to_be_long_may_be_longer() -> None:
    length = ReplyLength("Tell me a story about two dogs, please.")
    assert LONG_WORDS <= len(written(length, SENTENCE * 50).split()) < LONG_WORDS + 12


def test_instructions_that_ask_for_length_are_followed() -> None:
    length = ReplyLength("Cat or dog?", "Always answer at great length.")
    assert written(length, SENTENCE * 50) == SENTENCE * 50


def test_a_short_answer_is_left_as_it_is() -> None:
    length = ReplyLength("Cat or dog?")
    assert written(length, "Dog. They like to go out.") == "Dog. They like to go out."
    assert not length.ended


def test_numbers_and_abbreviations_end_no_sentence() -> None:
    length = ReplyLength("What is it?")
    tail = "This is what Dr. Brown measured at 3.5 degrees. And more."
    reply = written(length, "word " * 40 + tail, 5)
    assert reply.endswith("Dr. Brown measured at 3.5 degrees.")


@pytest.mark.parametrize("sentence", ["आज मौसम बहुत अच्छा है और हम बाहर जा सकते हैं। ", "هل تريد أن نذهب إلى السوق اليوم؟ "])
def test_marks_of_other_scripts_end_a_reply(sentence: str) -> None:
    reply = written(ReplyLength("?"), sentence * 20, 3)
    assert reply.strip().endswith(sentence.strip()[-1])
    assert len(reply.split()) < 60


def test_a_script_without_spaces_is_measured_too() -> None:
    length = ReplyLength("猫还是狗?")
    reply = written(length, "狗每天都想和你一起出去散步,也很忠诚。" * 20, 2)
    assert reply.endswith("。")
    assert len(reply) < 120


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("How do I cook rice?", True),
        ("Erzähl mir eine Geschichte.", True),
        ("Explique-moi la photosynthèse.", True),
        ("Go on.", True),
        ("What is the capital of France?", False),
        ("Wie spät ist es?", False),
        ("Cat or dog?", False),
    ],
)
def test_which_questions_ask_for_more(said: str, wanted: bool) -> None:
    assert asks_long(said) is wanted
