"""Asterisk's AudioSocket, as messages: https://docs.asterisk.org/Configuration/Channel-Drivers/AudioSocket/. Sans-I/O.

A message is a type (one byte), a length (two bytes, big endian) and so many bytes. Sound is s16le, 320 bytes of it are
20 ms at 8 kHz.
"""

import struct
import uuid
from dataclasses import dataclass
from typing import TypeAlias

from pipeline.call.inputs import KEYS

_HEADER = struct.Struct("!BH")

HANG_UP, IDENTITY, KEY, SOUND, FAILED = 0x00, 0x01, 0x03, 0x10, 0xFF

RATES = {SOUND: 8_000, 0x11: 12_000, 0x12: 16_000, 0x13: 24_000, 0x14: 32_000, 0x15: 44_100, 0x16: 48_000}
"""Of sound, by type; a call has one of them from its beginning to its end."""


class AudioSocketError(Exception):
    """What came is no AudioSocket, or of no use; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Identified:
    """The first message: which call this is, a uuid as text."""

    uuid: str


@dataclass(frozen=True, slots=True)
class Sound:
    """s16le at `rate`."""

    rate: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Key:
    """A key was pressed."""

    key: str


@dataclass(frozen=True, slots=True)
class HungUp:
    """The call is over."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Asterisk says what went wrong."""

    code: int


Message: TypeAlias = Identified | Sound | Key | HungUp | Failed


class AudioSocketReader:
    """Takes bytes as they come, gives messages."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole now. A message is 65,538 bytes at most, so no more than that is held.

        Raises:
            AudioSocketError: something came that is none; nothing behind it can be read.
        """
        self._held += data
        found: list[Message] = []
        at = 0
        while len(self._held) - at >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._held, at)
            if kind not in RATES and kind not in (HANG_UP, IDENTITY, KEY, FAILED):
                raise AudioSocketError(f"there is no message of type 0x{kind:02x}")
            if len(self._held) - at < _HEADER.size + length:
                break
            at += _HEADER.size
            found.append(_message(kind, bytes(self._held[at : at + length])))
            at += length
        del self._held[:at]
        return found


def _message(kind: int, payload: bytes) -> Message:
    if kind == IDENTITY:
        if len(payload) != 16:
            raise AudioSocketError(f"a uuid has 16 bytes, not {len(payload)}")
        return Identified(str(uuid.UUID(bytes=payload)))
    if kind == KEY:
        key = payload.decode("ascii", "replace").upper()
        if key not in KEYS:
            raise AudioSocketError(f"{key!r} is no key of a telephone")
        return Key(key)
    if kind in RATES:
        return Sound(RATES[kind], payload)
    return HungUp() if kind == HANG_UP else Failed(payload[0] if payload else 0)


def sound(data: bytes) -> bytes:
    """A message of sound, s16le at 8 kHz; Asterisk plays what it gets when it gets it."""
    return _HEADER.pack(SOUND, len(data)) + data


def hang_up() -> bytes:
    """The message with which a call is left."""
    return _HEADER.pack(HANG_UP, 0)
