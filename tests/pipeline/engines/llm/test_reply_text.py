"""Replies are put together from whole characters and end before a stop text."""

import random

from pipeline.engines.llm.reply_text import ReplyAssembler


def test_a_character_cut_between_two_tokens_comes_whole() -> None:
    text = ReplyAssembler()
    assert text.feed(b"Caf\xc3") == "Caf"
    assert text.feed(b"\xa9 au lait") == "é au lait"


def test_half_a_character_at_the_end_is_dropped() -> None:
    text = ReplyAssembler()
    assert text.feed(b"ok \xf0\x9f\x98") == "ok "
    assert text.finish() == ""


def test_a_stop_text_spread_over_tokens_never_leaks() -> None:
    text = ReplyAssembler(["\nUser:"])
    said = [text.feed(piece) for piece in (b"Paris.", b"\n", b"Us", b"er: and", b" then")]
    assert "".join(said) == "Paris."
    assert text.stopped
    assert text.finish() == ""


def test_what_only_looked_like_a_stop_text_is_said_after_all() -> None:
    text = ReplyAssembler(["END"])
    assert text.feed(b"The E") == "The "
    assert text.feed(b"NERGY") == "ENERGY"
    assert text.feed(b" EN") == " "
    assert text.finish() == "EN"
    assert not text.stopped


def test_the_earliest_of_several_stop_texts_ends_the_reply() -> None:
    text = ReplyAssembler(["two", "one", ""])
    assert text.feed(b"zero one two") == "zero "
    assert text.stopped


def test_the_same_words_come_out_however_the_bytes_are_cut() -> None:
    whole = "Ein Käse für 3 € 😀, bitte. ##STOP## Nie gehört."
    data = whole.encode()
    rng = random.Random(4)
    for _ in range(200):
        cuts = sorted(rng.sample(range(1, len(data)), 8))
        text = ReplyAssembler(["##STOP##", "##NO"])
        pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        assert "".join(map(text.feed, pieces)) + text.finish() == "Ein Käse für 3 € 😀, bitte. "


def test_thoughts_are_left_out_also_where_the_prompt_began_one() -> None:
    told, begun = ReplyAssembler(), ReplyAssembler(in_thought=True)
    assert [told.feed(piece) for piece in (b"<thi", b"nk>Hm", b".</think>", b"\n\nParis", b".")] == [
        "",
        "",
        "",
        "Paris",
        ".",
    ]
    assert [begun.feed(piece) for piece in (b"Hm", b".</thi", b"nk>Paris")] == ["", "", "Paris"]
    assert begun.feed(b" <") + begun.finish() == " <"
