"""AudioSocket as messages: cut anywhere, and nothing that is none."""

import contextlib
import random
import struct
import uuid

import pytest

from server.telephone.audio_socket import (
    AudioSocketError,
    AudioSocketReader,
    Failed,
    HungUp,
    Identified,
    Key,
    Message,
    Sound,
    hang_up,
    sound,
)

CALL = uuid.uuid4()


def message(kind: int, payload: bytes = b"") -> bytes:
    return struct.pack("!BH", kind, len(payload)) + payload


WHOLE = (
    message(1, CALL.bytes) + message(0x10, b"\x01\x00" * 160) + message(3, b"5") + message(0xFF, b"\x02") + hang_up()
)
READ: list[Message] = [Identified(str(CALL)), Sound(8_000, b"\x01\x00" * 160), Key("5"), Failed(2), HungUp()]


def test_a_call_is_read_whole() -> None:
    assert AudioSocketReader().feed(WHOLE) == READ


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_it_is_the_same_however_tcp_cuts_it(size: int) -> None:
    reader = AudioSocketReader()
    found = [each for at in range(0, len(WHOLE), size) for each in reader.feed(WHOLE[at : at + size])]
    assert found == READ


def test_wider_sound_says_how_wide_it_is() -> None:
    assert AudioSocketReader().feed(message(0x12, b"\x00\x00")) == [Sound(16_000, b"\x00\x00")]


def test_what_is_sent_is_what_is_read() -> None:
    assert AudioSocketReader().feed(sound(b"\x05\x00") + hang_up()) == [Sound(8_000, b"\x05\x00"), HungUp()]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (message(1, b"short"), "16 bytes"),
        (message(3, b"x"), "no key"),
        (message(3, b""), "no key"),
        (b"GET / HTTP/1.1\r\n", "0x47"),
    ],
)
def test_what_is_wrong_is_named(wrong: bytes, named: str) -> None:
    with pytest.raises(AudioSocketError, match=named):
        AudioSocketReader().feed(wrong)


def test_random_bytes_are_read_or_refused_and_never_pile_up() -> None:
    dice = random.Random(4)
    for _ in range(200):
        reader = AudioSocketReader()
        with contextlib.suppress(AudioSocketError):
            for _ in range(100):
                reader.feed(dice.randbytes(dice.randint(0, 400)))
                assert len(reader._held) <= 65_538 + 400
