"""The frames of the journal: length, checksum and number in front of every record.

    length u32 | crc32 u32 | number u64 | length of the JSON part u32 | JSON | bytes

Little endian; length counts what follows the header, the checksum covers everything behind itself.
"""

import struct
import zlib
from dataclasses import dataclass

_HEADER = struct.Struct("<IIQI")
_COVERED = struct.Struct("<QI")
HEADER_BYTES = _HEADER.size

MAX_FRAME_BYTES = 16 * 1024 * 1024
"""Longer lengths are damage."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A record: its number in the journal, its JSON, and bytes that would not fit JSON."""

    number: int
    json: bytes
    blob: bytes = b""


def frame_size(json: bytes, blob: bytes) -> int:
    """Bytes that a record takes on disk."""
    return HEADER_BYTES + len(json) + len(blob)


def pack(frame: Frame) -> bytes:
    """The frame as bytes."""
    body = frame.json + frame.blob
    crc = zlib.crc32(body, zlib.crc32(_COVERED.pack(frame.number, len(frame.json))))
    return _HEADER.pack(len(body), crc, frame.number, len(frame.json)) + body


def unpack(data: bytes | memoryview, offset: int) -> tuple[Frame, int] | None:
    """The frame at an offset and where the next one begins; None where there is no whole, sound frame."""
    if offset + HEADER_BYTES > len(data):
        return None
    length, crc, number, split = _HEADER.unpack_from(data, offset)
    start = offset + HEADER_BYTES
    end = start + length
    if length > MAX_FRAME_BYTES or split > length or end > len(data):
        return None
    body = bytes(data[start:end])
    if zlib.crc32(body, zlib.crc32(_COVERED.pack(number, split))) != crc:
        return None
    return Frame(number, body[:split], body[split:]), end
