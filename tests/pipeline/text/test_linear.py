"""What a text costs grows with its length, not with the square of it."""

import time
from collections.abc import Callable

import pytest

from pipeline.text.chunker import TextChunker
from pipeline.text.spoken import STRETCH, speak
from tests.pipeline.text.worst_texts import UNITS, worst

SHORT = 2_000
TIMES = 4


def cost(work: Callable[[str], object], text: str) -> float:
    """Processor time, seconds."""
    began = time.thread_time()
    work(text)
    return time.thread_time() - began


def assert_linear(work: Callable[[str], object], unit: str) -> None:
    short, long = worst(unit, SHORT), worst(unit, TIMES * SHORT)
    work(short)
    # Four times the text: 4 where it is linear, 16 where it is quadratic, whatever else the processor does: the two in
    # turns, and one pair that says linear will do. The rest bears with coarse clocks.
    pairs = ((cost(work, short), cost(work, long)) for _ in range(8))
    assert any(fourfold < 2 * TIMES * once + 0.02 for once, fourfold in pairs)


@pytest.mark.parametrize("unit", UNITS)
def test_speaking_a_text_is_linear(unit: str) -> None:
    assert_linear(speak, unit)


@pytest.mark.parametrize("unit", UNITS)
def test_cutting_a_text_is_linear(unit: str) -> None:
    assert_linear(lambda text: TextChunker().push(text), unit)


def test_words_know_their_origin_in_a_text_that_is_read_in_stretches() -> None:
    text = "Seven times 3 is twenty-one, says a@b.org. " * 200
    spoken = speak(text)
    assert len(text) > 3 * STRETCH
    words = spoken.text.split()
    sentence = speak(text[: len(text) // 200]).text.split()
    assert words == sentence * 200
    assert [text[span.start : span.end] for span, word in zip(spoken.spans, words, strict=True) if word == "Seven"] == [
        "Seven"
    ] * 200


def test_a_sentence_that_ends_where_a_stretch_ends_keeps_its_full_stop() -> None:
    line = "x" * 9 + "\n"
    assert speak(line * 300).text.count(".") == speak(line * 30).text.count(".") * 10 == 0
    assert speak(line.title() * 300).text.count(".") == 299
