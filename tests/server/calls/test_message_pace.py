"""How fast a client may say things on a data channel, in virtual time."""

from server.bounds import (
    FLOOD_MESSAGES,
    MAX_MESSAGE_BURST,
    MAX_MESSAGE_CHARS_BURST,
    MESSAGE_CHARS_A_SECOND,
    MESSAGES_A_SECOND,
)
from server.calls.message_pace import PAUSE_S, MessagePace


def test_a_long_conversation_may_be_told_at_once_and_then_as_much_as_people_say() -> None:
    pace = MessagePace(0.0)
    assert all(pace.take(100, 0.0) for _ in range(MAX_MESSAGE_BURST))
    assert not pace.take(100, 0.0)
    now = PAUSE_S + 0.1
    for _ in range(1_000):
        now += 1.0 / MESSAGES_A_SECOND
        assert pace.take(MESSAGE_CHARS_A_SECOND // MESSAGES_A_SECOND // 2, now)
    assert pace.refused == 0


def test_few_messages_of_many_characters_are_too_many_as_well() -> None:
    pace = MessagePace(0.0)
    taken = sum(pace.take(16_000, number * 0.001) for number in range(1_000))
    assert MAX_MESSAGE_CHARS_BURST // 16_000 <= taken <= (MAX_MESSAGE_CHARS_BURST + MESSAGE_CHARS_A_SECOND) // 16_000


def test_one_that_goes_on_and_on_is_a_flood_however_slowly_room_comes_back() -> None:
    pace, sent = MessagePace(0.0), 0
    while not pace.flooded:
        pace.take(15_000, sent * 0.005)
        sent += 1
        assert sent < 2_000
    assert pace.refused == FLOOD_MESSAGES


def test_one_that_pauses_is_heard_again() -> None:
    pace = MessagePace(0.0)
    while pace.take(100, 0.0):
        pass
    for _ in range(FLOOD_MESSAGES // 2):
        assert not pace.take(100, 1.0)
    assert pace.take(100, 1.0 + PAUSE_S)
    assert not pace.flooded
