"""From the position of the playout to the words that were heard."""

import random

import pytest

from pipeline.call.reply.heard import HeardText
from pipeline.engines.protocols import Word
from pipeline.text.chunker import TextChunker
from pipeline.text.spoken import speak

RATE = 24_000


def even_timings(text: str, seconds: float = 0.5) -> list[Word]:
    """Every spoken word takes equally long."""
    return [Word(w, i * seconds, (i + 1) * seconds) for i, w in enumerate(speak(text).text.split())]


def reply(*sources: str, seconds: float = 0.5) -> HeardText:
    heard, start = HeardText(), 0
    for source in sources:
        timings = even_timings(source, seconds)
        heard.append_piece(source, speak(source), start, timings, len(timings) * seconds)
        start += round(len(timings) * seconds * RATE)
    return heard


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, ""),
        (0.24, ""),
        (0.25, "Hello"),
        (0.74, "Hello"),
        (0.75, "Hello there,"),
        (1.25, "Hello there, my"),
        (1.75, "Hello there, my friend."),
        (99, "Hello there, my friend."),
    ],
)
def test_a_word_counts_when_half_of_it_was_played(seconds: float, words: str) -> None:
    assert reply("Hello there, ", "my friend.").heard(round(seconds * RATE)) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.5, "Pay"), (1.7, "Pay"), (1.75, "Pay $3.50"), (3.25, "Pay $3.50 now.")]
)
def test_what_is_said_in_many_words_counts_as_one(seconds: float, words: str) -> None:
    # "three dollars and fifty cents" sounds from 0.5 to 3.0 s, half of it by 1.75 s.
    assert reply("Pay $3.50 now.").heard(round(seconds * RATE)) == words


def test_markup_around_heard_words_is_kept() -> None:
    heard = reply("So **this is** a [link](http://x.com) here.")
    assert heard.heard(round(1.3 * RATE)) == "So **this is**"


def test_a_pause_between_pieces_moves_the_words_behind_it() -> None:
    heard = HeardText()
    heard.append_piece("One. ", speak("One. "), 0, even_timings("One."), 0.5)
    heard.append_piece("Two.", speak("Two."), 2 * RATE, even_timings("Two."), 0.5)
    assert heard.heard(round(2.2 * RATE)) == "One."
    assert heard.heard(round(2.3 * RATE)) == "One. Two."


def test_without_word_timings_time_is_shared_out_by_letters() -> None:
    heard = HeardText()
    heard.append_piece("aa bbbb cc", speak("aa bbbb cc"), RATE, (), 4.0)
    at = [heard.heard(round((1 + s) * RATE)) for s in (0.4, 0.5, 1.9, 2.0, 3.4, 3.5)]
    assert at == ["", "aa", "aa", "aa bbbb", "aa bbbb", "aa bbbb cc"]


def test_an_engine_that_cuts_words_otherwise_is_lined_up() -> None:
    heard = HeardText()
    timings = [Word("twenty", 0.0, 0.6), Word("one", 0.6, 0.9), Word("cats", 0.9, 1.3)]
    heard.append_piece("21 cats", speak("21 cats"), 0, timings, 1.3)
    assert heard.heard(round(0.6 * RATE)) == "21"
    assert heard.heard(round(1.2 * RATE)) == "21 cats"


def test_words_without_a_time_yet_were_not_heard() -> None:
    heard = HeardText()
    timings = even_timings("one two three four")
    heard.append_piece("one two three four", speak("one two three four"), 0, timings[:2], 1.0)
    assert heard.heard(5 * RATE) == "one two"
    heard.extend_piece(timings[2:], 2.0)
    assert heard.heard(5 * RATE) == "one two three four"


def test_text_with_nothing_to_say_is_there_once_it_is_reached() -> None:
    heard = reply("Run this: ", "```\nx = 1\n```\n", "Done.")
    assert heard.heard(round(0.9 * RATE)) == "Run this:"
    assert heard.heard(3 * RATE) == "Run this: ```\nx = 1\n```\nDone."


def test_truncating_forgets_the_rest_and_the_reply_may_go_on() -> None:
    heard = reply("Hello there, ", "my old friend.")
    assert heard.truncate(round(1.3 * RATE)) == "Hello there, my"
    assert heard.text == heard.heard(99 * RATE) == "Hello there, my"
    heard.append_piece("dear.", speak("dear."), 2 * RATE, even_timings("dear."), 0.5)
    assert heard.heard(99 * RATE) == "Hello there, my dear."


def test_a_copy_stands_by_itself() -> None:
    heard = reply("One. ")
    other = heard.copy()
    other.append_piece("Two.", speak("Two."), RATE, even_timings("Two."), 0.5)
    assert (heard.text, other.text) == ("One. ", "One. Two.")


def test_pieces_must_come_in_order() -> None:
    heard = HeardText()
    heard.append_piece("b", speak("b"), 10)
    with pytest.raises(ValueError, match="before"):
        heard.append_piece("a", speak("a"), 9)


def test_another_rate() -> None:
    heard = HeardText(1000)
    heard.append_piece("one two", speak("one two"), 0, even_timings("one two"), 1.0)
    assert heard.heard(300) == "one"


def test_a_whole_reply_is_heard_word_by_word_and_never_shrinks() -> None:
    text = (
        "The weather in **Paris** is sunny, with 20 °C at 10:30 pm on Nov 22, 2026. Dr. Lee pays $3.50; see example.com"
        " or call (555) 123-4567! Fine?"
    )
    rng, chunker, heard, start, total = random.Random(7), TextChunker(), HeardText(), 1234, 0.0
    for source in chunker.push(text) + chunker.finish():
        timings, at = [], 0.0
        for word in speak(source).text.split():
            timings.append(Word(word, at, at + rng.uniform(0.1, 0.6)))
            at = timings[-1].end
        heard.append_piece(source, speak(source), start, timings, at)
        start += round(at * RATE)
        total += at
    before = ""
    for position in range(0, start + RATE, RATE // 50):
        now = heard.heard(position)
        assert text.startswith(now)
        assert len(now) >= len(before)
        before = now
    assert before == text


@pytest.mark.parametrize(("seconds", "start"), [(0.0, 0.0), (0.3, 0.0), (0.5, 0.5), (0.99, 0.5), (1.2, 1.0), (9, 9)])
def test_the_word_under_way_begins_where_it_was_timed(seconds: float, start: float) -> None:
    heard = reply("Hello there,", "my friend.")
    assert heard.word_start(round(seconds * RATE)) == round(start * RATE)
