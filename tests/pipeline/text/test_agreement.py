"""Interim transcripts by local agreement."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.agreement import LocalAgreement


def test_words_are_confirmed_when_two_hypotheses_in_a_row_agree() -> None:
    agreement = LocalAgreement()
    assert agreement.push(["what", "is", "the"]) == []
    assert agreement.push(["what", "is", "the", "weather"]) == ["what", "is", "the"]
    assert agreement.push(["what", "is", "the", "whether", "in"]) == []
    assert agreement.push(["what", "is", "the", "weather", "in", "Paris"]) == []
    assert agreement.push(["what", "is", "the", "weather", "in", "Paris", "today"]) == ["weather", "in", "Paris"]
    assert agreement.pending == ("today",)


def test_case_and_punctuation_do_not_matter() -> None:
    agreement = LocalAgreement()
    agreement.push(["Hello", "World."])
    assert agreement.push(["hello,", "world", "how"]) == ["hello,", "world"]


def test_a_confirmed_word_is_neither_retracted_nor_said_twice_when_the_model_rewords_it() -> None:
    agreement = LocalAgreement()
    agreement.push(["I", "have", "twenty", "five", "cats"])
    assert agreement.push(["I", "have", "twenty", "five", "cats", "and"]) == ["I", "have", "twenty", "five", "cats"]
    assert agreement.push(["I", "have", "25", "cats", "and", "one", "dog"]) == ["and"]
    assert agreement.push(["I", "have", "25", "cats", "and", "one", "dog", "too"]) == ["one", "dog"]
    assert agreement.confirmed == ("I", "have", "twenty", "five", "cats", "and", "one", "dog")


def test_finish_confirms_the_final_hypothesis() -> None:
    agreement = LocalAgreement()
    agreement.push(["what", "is"])
    agreement.push(["what", "is", "the"])
    assert agreement.finish(["what", "is", "the", "time"]) == ["the", "time"]
    assert agreement.confirmed == ("what", "is", "the", "time")
    assert agreement.finish() == []


def test_finish_without_a_hypothesis_confirms_what_is_pending() -> None:
    agreement = LocalAgreement()
    agreement.push(["hello"])
    assert agreement.finish() == ["hello"]


def test_reset_begins_a_new_turn() -> None:
    agreement = LocalAgreement()
    agreement.push(["hello"])
    agreement.reset()
    assert agreement.push(["hello"]) == []
    assert agreement.confirmed == ()


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=8), max_size=12))
def test_the_confirmed_prefix_only_grows(hypotheses: list[list[str]]) -> None:
    agreement = LocalAgreement()
    before: tuple[str, ...] = ()
    for words in hypotheses:
        newly = agreement.push(words)
        assert agreement.confirmed == (*before, *newly)
        before = agreement.confirmed


@given(st.lists(st.text("abcdef", min_size=1), max_size=20))
def test_a_steady_transcript_is_confirmed_one_hypothesis_late(words: list[str]) -> None:
    agreement = LocalAgreement()
    for n in range(len(words) + 1):
        agreement.push(words[:n])
        assert agreement.confirmed == tuple(words[: max(0, n - 1)])
