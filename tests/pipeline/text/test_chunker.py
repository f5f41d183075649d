"""Cutting a streaming reply into pieces."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.chunker import TextChunker
from pipeline.text.words import count_words

REPLY = (
    "The weather in Paris is sunny today with a high of 20 °C, and there is almost no wind. You could go to the"
    " Luxembourg Gardens, sit in the sun and read a book that you like, while the children play with their boats."
)
UNBREAKABLE = (
    "3.5", "1,000", "Dr. Smith", "e.g. apples", "https://example.com/a?b=1.2,3", "jane.doe@example.com", "10:30",
    "10:30 pm", "20 °C", "Nov 22, 2026", "555 123 4567", "10 000", "J. R. Tolkien", "$ 5", "5 - 10",
    "[a link, with a comma. And more](https://example.com)", "`code, with. a comma`",
)  # fmt: skip


def pieces_of(text: str, language: str = "en", size: int = 1) -> list[str]:
    chunker = TextChunker(language)
    pieces = []
    for i in range(0, len(text), size):
        pieces += chunker.push(text[i : i + size])
    return pieces + chunker.finish()


def random_deltas(text: str, seed: int) -> list[str]:
    rng, deltas, at = random.Random(seed), [], 0
    while at < len(text):
        size = rng.randint(1, 12)
        deltas.append(text[at : at + size])
        at += size
    return deltas


PLAIN = ("the", "a", "cat", "sat,", "slept.", "why?", "and", "\n", "1.", "—", "**bold**", "🎉", "```\nx = 1\n```\n")
fragments = st.lists(st.sampled_from(UNBREAKABLE + PLAIN), max_size=60).map(" ".join)


@given(st.one_of(fragments, st.text(max_size=300)))
def test_pieces_joined_give_back_the_text(text: str) -> None:
    assert "".join(pieces_of(text)).rstrip() == text.rstrip()


@given(fragments, st.integers())
def test_cuts_do_not_depend_on_the_deltas(text: str, seed: int) -> None:
    chunker = TextChunker()
    pieces = [piece for delta in random_deltas(text, seed) for piece in chunker.push(delta)]
    assert pieces + chunker.finish() == pieces_of(text)


@given(fragments, st.lists(st.integers(0, 40), max_size=8))
def test_stalls_lose_nothing(text: str, stalls: list[int]) -> None:
    chunker, pieces, now = TextChunker(), [], 0.0
    for i, delta in enumerate(random_deltas(text, 1)):
        pieces += chunker.push(delta, now)
        if i in stalls:
            now += 0.5
            pieces += chunker.flush_if_older(now)
    assert "".join(pieces + chunker.finish()).rstrip() == text.rstrip()


@pytest.mark.parametrize("whole", UNBREAKABLE)
@pytest.mark.parametrize("before", range(12))
def test_numbers_names_and_addresses_stay_whole(whole: str, before: int) -> None:
    words = "we saw that many people came here early today because nobody else would"
    text = " ".join([*words.split()[:before], whole, *words.split()])
    assert any(whole in piece for piece in pieces_of(text))


def test_no_is_an_answer_but_number_in_a_name() -> None:
    assert pieces_of("No. That is not what he said. We live in room No. 5 of the house.") == [
        "No. ",
        "That is not what he said. ",
        "We live in room No. 5 of the house.",
    ]


@pytest.mark.parametrize("whole", [w for w in UNBREAKABLE if " " in w and "[" not in w])
def test_a_stall_does_not_part_numbers_and_names(whole: str) -> None:
    for cut in range(1, len(whole)):
        chunker = TextChunker()
        pieces = chunker.push("We will all go there with " + whole[:cut], 0.0)
        pieces += chunker.flush_if_older(0.6)
        pieces += chunker.push(whole[cut:] + " and then home.", 0.7) + chunker.finish()
        assert any(whole in piece for piece in pieces), pieces


def test_first_piece_comes_after_four_words_when_there_is_no_clause() -> None:
    chunker = TextChunker()
    assert chunker.push("The weather in Paris") == []
    assert chunker.push(" ") == ["The weather in Paris "]


def test_first_piece_ends_at_an_early_comma() -> None:
    assert pieces_of("Of course, I can help you with that little question.")[0] == "Of course, "


def test_first_piece_ends_in_front_of_a_conjunction() -> None:
    assert pieces_of("The sun shines and the birds sing in the trees.")[0] == "The sun shines "


def test_first_piece_is_not_a_lone_word() -> None:
    assert pieces_of("Well, I would think that this is a good idea.")[0] == "Well, I would think "


def test_first_piece_is_one_word_when_that_is_the_sentence() -> None:
    assert pieces_of("Sure! I can do that.")[0] == "Sure! "


def test_first_piece_does_not_end_on_an_article() -> None:
    assert pieces_of("You may then go to the old market square.")[0] == "You may then go "


def test_sentence_end_waits_for_white_space() -> None:
    chunker = TextChunker()
    assert chunker.push("I like it.") == []
    assert chunker.push(" Do") == ["I like it. "]


def test_later_pieces_grow_to_whole_clauses() -> None:
    pieces = pieces_of(REPLY)
    assert pieces == [
        "The weather in Paris ",
        "is sunny today with a high of 20 °C, ",
        "and there is almost no wind. ",
        "You could go to the Luxembourg Gardens, ",
        "sit in the sun and read a book that you like, ",
        "while the children play with their boats.",
    ]


@given(st.lists(st.sampled_from(["cats", "dogs", "run", "jump", "high", "low", "green", "trees"]), max_size=200))
def test_no_piece_is_longer_than_about_twenty_words(words: list[str]) -> None:
    pieces = pieces_of(" ".join(words))
    assert all(count_words(piece) <= 20 for piece in pieces)
    assert not pieces or count_words(pieces[0]) <= 6


def test_a_new_reply_begins_short_again() -> None:
    chunker = TextChunker()
    for _ in range(2):
        assert chunker.push("Of course, here ") == ["Of course, "]
        chunker.finish()


def test_lines_are_pieces() -> None:
    assert pieces_of("Do this:\n1. Wash the rice.\n2. Boil it.\n") == [
        "Do this:\n",
        "1. Wash the rice.\n",
        "2. Boil it.\n",
    ]


def test_a_code_block_is_one_piece() -> None:
    code = "```python\nprint('a. b'). c\n\nx = 1, 2\n```\n"
    assert pieces_of(f"Try this one:\n{code}Then run it.") == ["Try this one:\n", code, "Then run it."]


def test_code_does_not_count_as_the_first_piece() -> None:
    assert pieces_of("```\nx = 1\n```\nOf course, that is all you need.")[1] == "Of course, "


def test_chinese_is_cut_at_its_own_punctuation() -> None:
    assert pieces_of("今天天气很好，我们去公园玩吧。你想去吗？", "zh") == [
        "今天天气很好，",
        "我们去公园玩吧。",
        "你想去吗？",
    ]


@pytest.mark.parametrize(
    ("language", "text", "pieces"),
    [
        ("hi", "नमस्ते। आज मौसम अच्छा है। कल बारिश होगी।", ["नमस्ते। ", "आज मौसम अच्छा है। ", "कल बारिश होगी।"]),
        ("ar", "كيف حالك؟ الطقس جميل اليوم.", ["كيف حالك؟ ", "الطقس جميل اليوم."]),
        ("ur", "میں ٹھیک ہوں۔ آپ کیسے ہیں؟", ["میں ٹھیک ہوں۔ ", "آپ کیسے ہیں؟"]),
        ("th", "สวัสดีครับ วันนี้อากาศดีมาก เราไปตลาดกันเถอะ", ["สวัสดีครับ ", "วันนี้อากาศดีมาก เราไปตลาดกันเถอะ"]),
        ("km", "សួស្តីអ្នក ថ្ងៃនេះអាកាសធាតុល្អណាស់ តោះទៅផ្សារ", ["សួស្តីអ្នក ", "ថ្ងៃនេះអាកាសធាតុល្អណាស់ ", "តោះទៅផ្សារ"]),
    ],
)
def test_other_scripts_are_cut_at_their_own_marks_and_pauses(language: str, text: str, pieces: list[str]) -> None:
    assert pieces_of(text, language) == pieces


def test_endless_text_without_spaces_is_cut() -> None:
    pieces = pieces_of("x" * 2000, size=7)
    assert max(map(len, pieces)) <= 600
    assert "".join(pieces) == "x" * 2000


def test_a_stall_gives_the_whole_words_that_wait() -> None:
    chunker = TextChunker()
    assert chunker.push("The weather here Par", 1.0) == []
    assert chunker.flush_if_older(1.3) == []
    assert chunker.flush_if_older(1.41) == ["The weather here "]
    assert chunker.push("is. ", 1.5) == ["Paris. "]


def test_a_stall_keeps_fewer_than_three_words() -> None:
    chunker = TextChunker()
    chunker.push("The weather ", 1.0)
    assert chunker.flush_if_older(9.0) == []


def test_a_stall_behind_a_full_stop_gives_the_sentence() -> None:
    chunker = TextChunker()
    chunker.push("That is all.", 0.0)
    assert chunker.flush_if_older(0.5) == ["That is all."]


def test_a_stall_does_not_leave_an_article_hanging() -> None:
    chunker = TextChunker()
    chunker.push("We now go to the ", 0.0)
    assert chunker.flush_if_older(0.5) == ["We now go "]


def test_without_times_the_stall_is_measured_from_the_first_question() -> None:
    chunker = TextChunker()
    chunker.push("The weather here ")
    assert chunker.flush_if_older(50.0) == []
    assert chunker.flush_if_older(50.5) == ["The weather here "]
