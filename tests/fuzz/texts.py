"""Targets of texts that a language model or a user writes and a voice is to say."""

import random

from pipeline.text.chunker import TextChunker
from pipeline.text.normalise import normalise
from pipeline.text.spoken import speak
from pipeline.text.thinking import ThoughtFilter, without_thoughts
from tests.fuzz.mutation import mutated
from tests.fuzz.target import Target, as_text, plain
from tests.pipeline.text.worst_texts import UNITS, worst

_LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "pt", "ru", "zh", "hi", "ar", "en-GB")
_WORDS = (
    *(b"https://a.org/b?c=d#e", b"a@b.org", b"$3.50", b"1,000.5", b"10:30", b"2026-11-26", b"\xe2\x82\xac5", b"3/4"),
    *(
        b"Henry VIII",
        b"50%",
        b"```\n",
        b"<b>",
        b"&lt;",
        b"[x](y)",
        b"**",
        b"__",
        b"| a | b |\n",
        b"- ",
        b"1. ",
        b"Dr. ",
    ),
    *(
        b"<think>",
        b"</think>",
        b"<|im_end|>",
        "½".encode(),
        "²".encode(),
        "👍🏽".encode(),
        "٣".encode(),
        "你好".encode(),
    ),
    *(b"99999999999999999999", b"1e999", b"-0", b"\n\n", b"...", b" ", b"\0", "\u202e".encode()),
)


def _speak(data: bytes) -> None:
    language, text = _LANGUAGES[data[0] % len(_LANGUAGES)] if data else "en", as_text(data[1:])
    spoken = speak(text, language)
    assert len(spoken.spans) == len(spoken.text.split())
    start = 0
    for span in spoken.spans:
        assert start <= span.start < span.end <= len(text), (span, text)
        start = span.start
    # Dates and numbers grow, and not beyond measure.
    assert len(spoken.text) < 200 + 60 * len(text)
    once = normalise(text)
    assert normalise(once) == once


def _cut(data: bytes) -> None:
    language, text = _LANGUAGES[data[0] % len(_LANGUAGES)] if data else "en", as_text(data[1:])
    dice = random.Random(len(data))
    whole = TextChunker(language)
    expected = whole.push(text) + whole.finish()
    assert "".join(expected).rstrip() == text.rstrip()
    pieces, at, chunker = [], 0, TextChunker(language)
    while at < len(text):
        size = dice.choice((1, 2, 5, 30))
        pieces += chunker.push(text[at : at + size])
        at += size
    assert pieces + chunker.finish() == expected
    thoughts = ThoughtFilter()
    told = "".join(thoughts.feed(character) for character in text) + thoughts.finish()
    assert told == (lambda other: other.feed(text) + other.finish())(ThoughtFilter())
    assert len(without_thoughts(text)) <= len(text)


def _mutated(data: bytes, dice: random.Random) -> bytes:
    return mutated(data, dice, _WORDS)


def _seeds() -> list[bytes]:
    said = (
        "On 3 May 2024 at 10:30, Dr. Smith paid $3.50 for 1,000 kg (50% off) at https://a.org/b.\n\n- one\n- two",
        "# Title\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```py\nprint(1)\n```\n**Bold**, _thin_, [here](http://x.y) <br>",
        "<think>Let me think.</think>Am 3. Mai um 10:30 Uhr kostete es 1.000,50 €. 你好, мир! Henry VIII's ½ 👍🏽",
    )
    return [bytes([number]) + text.encode() for number, text in enumerate(said)] + [
        b"\0" + worst(unit, 200).encode() for unit in UNITS
    ]


TARGETS = (
    Target("spoken", "text made speakable, with the source of every word", plain(_speak), _seeds, _mutated,
           longest=2_000, runs=250),
    Target("chunker", "replies cut into clauses, thoughts taken out", plain(_cut), _seeds, _mutated, longest=2_000,
           runs=200),
)  # fmt: skip
