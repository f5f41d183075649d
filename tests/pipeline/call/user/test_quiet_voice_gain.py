"""Gain in front of voice activity: who gets it, and who does not."""

from pipeline.call.user.quiet_voice_gain import ECHO_HOLD, HOLD, MOST_DB, QuietVoiceGain

ROOM_DB = -78.0


def in_a_quiet_room() -> QuietVoiceGain:
    gain = QuietVoiceGain()
    for _ in range(10):
        gain.db(ROOM_DB)
    return gain


def test_a_quiet_voice_in_a_quiet_room_is_raised() -> None:
    assert in_a_quiet_room().db(-43.0) == MOST_DB


def test_a_loud_voice_is_not_raised_nor_what_is_quiet_in_it() -> None:
    gain = in_a_quiet_room()
    assert gain.db(-20.0) == 0
    assert {gain.db(-50.0) for _ in range(HOLD - 1)} == {0}
    for _ in range(3):
        gain.db(ROOM_DB)
    assert gain.db(-43.0) == MOST_DB


def test_who_is_far_away_in_a_loud_room_is_not_raised() -> None:
    gain = QuietVoiceGain()
    assert {gain.db(-48.0) for _ in range(200)} == {0}


def test_an_echo_is_not_raised_nor_its_tail() -> None:
    gain = in_a_quiet_room()
    assert gain.db(-43.0, echo=True) == 0
    assert {gain.db(-43.0) for _ in range(ECHO_HOLD - 1)} == {0}
    assert gain.db(-43.0) == MOST_DB
