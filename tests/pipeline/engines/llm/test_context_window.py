"""A long conversation loses its oldest messages, by blocks, so that what is left keeps its beginning."""

import itertools
from collections.abc import Sequence

import pytest

from pipeline.engines.llm.context_window import ContextOverflowError, fit_messages
from pipeline.engines.protocols import Message

SYSTEM = Message("system", "be kind " * 5)


def words(messages: Sequence[Message]) -> int:
    return sum(len(message.content.split()) for message in messages)


def turns(count: int, length: int = 10) -> tuple[Message, ...]:
    talk = [
        Message("assistant" if index % 2 else "user", " ".join(f"w{index}" for _ in range(length)))
        for index in range(count)
    ]
    return (SYSTEM, *talk)


def test_what_fits_is_left_alone() -> None:
    assert fit_messages(turns(9), 100, words) == turns(9)


def test_the_oldest_go_and_the_system_message_and_the_last_one_stay() -> None:
    messages = turns(31)
    kept = fit_messages(messages, 100, words)
    assert words(kept) <= 100
    assert kept[0] == SYSTEM
    assert kept[1:] == messages[len(messages) - len(kept) + 1 :]


def test_what_is_left_begins_with_the_user() -> None:
    for count in range(11, 60, 2):
        assert fit_messages(turns(count), 100, words)[1].role == "user"


def test_a_full_conversation_keeps_its_beginning_for_several_turns() -> None:
    firsts = [fit_messages(turns(count, length=5), 200, words)[1].content for count in range(61, 141, 2)]
    changes = sum(before != after for before, after in itertools.pairwise(firsts))
    # 40 turns of 10 words are 400 words: 8 blocks of 50. One message at a time would be 39 changes.
    assert changes <= 9


def test_a_last_message_that_is_too_long_by_itself_is_refused_with_both_sizes() -> None:
    with pytest.raises(ContextOverflowError, match=r"130 tokens.*takes 100"):
        fit_messages((*turns(4), Message("user", "long " * 120)), 100, words)
