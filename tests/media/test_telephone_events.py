"""Keys in RTP (RFC 4733): each once, however often its packets come."""

import struct

from media.telephone_events import TelephoneEvents


def event(code: int, duration: int = 160, *, end: bool = False) -> bytes:
    return struct.pack("!BBH", code, 0x80 | 10 if end else 10, duration)


def keys(*packets: tuple[bytes, int]) -> list[str]:
    events = TelephoneEvents()
    return [key for payload, timestamp in packets if (key := events.take(payload, timestamp)) is not None]


def test_a_key_is_told_with_its_first_packet_and_once() -> None:
    long = [(event(5, 160 * number), 8_000) for number in range(1, 20)] + [(event(5, 3_200, end=True), 8_000)] * 3
    assert keys(*long) == ["5"]


def test_the_same_key_twice_is_two_keys() -> None:
    assert keys((event(1), 8_000), (event(1, end=True), 8_000), (event(1), 16_000)) == ["1", "1"]


def test_all_sixteen_have_their_names() -> None:
    assert "".join(keys(*((event(code), 8_000 * (code + 1)) for code in range(16)))) == "0123456789*#ABCD"


def test_the_end_of_a_key_that_is_late_is_no_other_key() -> None:
    assert keys((event(1), 8_000), (event(2), 16_000), (event(1, end=True), 8_000)) == ["1", "2"]


def test_a_key_whose_beginning_was_lost_is_told_with_what_is_left_of_it() -> None:
    assert keys((event(7, 3_200, end=True), 8_000)) == ["7"]


def test_timestamps_may_wrap() -> None:
    assert keys((event(1), 2**32 - 80), (event(2), 4_000)) == ["1", "2"]


def test_other_events_and_broken_packets_are_no_keys() -> None:
    assert keys((event(16), 8_000), (event(192), 8_000), (b"", 8_000), (b"\x01\x0a", 8_000)) == []


def test_another_sender_begins_anew() -> None:
    events = TelephoneEvents()
    events.take(event(1), 2**31)
    events.restart()
    assert events.take(event(2), 5) == "2"
