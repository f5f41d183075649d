"""RTP packets (RFC 3550 section 5.1), no more of them than a voice needs: fifty a second, each way, in every call."""

import struct
from typing import NamedTuple

_HEADER = struct.Struct("!BBHII")
_EXTENSION = struct.Struct("!HH")
_VERSION_2 = 2 << 6


class RtpPacket(NamedTuple):
    """A packet without its padding, contributing sources and header extensions.

    Attributes:
        payload_type: 0 to 127.
        marker: in audio the first packet after a silence (RFC 3551 section 4.1).
        sequence_number: 16 bit.
        timestamp: 32 bit, at the clock rate of the payload.
        ssrc: of the sender.
        payload: what is to be decoded.
    """

    payload_type: int
    marker: bool
    sequence_number: int
    timestamp: int
    ssrc: int
    payload: bytes

    @classmethod
    def parse(cls, data: bytes) -> "RtpPacket":
        """Read a packet.

        Raises:
            ValueError: it is none.
        """
        if len(data) < _HEADER.size:
            raise ValueError("shorter than an RTP header")
        first, second, sequence_number, timestamp, ssrc = _HEADER.unpack_from(data)
        if first >> 6 != 2:
            raise ValueError("not RTP version 2")
        start, end = _HEADER.size + 4 * (first & 0x0F), len(data)
        if first & 0x10:
            if end < start + _EXTENSION.size:
                raise ValueError("the header extension is cut off")
            start += _EXTENSION.size + 4 * _EXTENSION.unpack_from(data, start)[1]
        if first & 0x20:
            if not data[-1]:
                raise ValueError("padding of length 0")
            end -= data[-1]
        if start > end:
            raise ValueError("the header or the padding is longer than the packet")
        return cls(second & 0x7F, second > 0x7F, sequence_number, timestamp, ssrc, data[start:end])

    def serialize(self) -> bytes:
        """The packet as it is sent."""
        second = self.payload_type | (0x80 if self.marker else 0)
        header = _HEADER.pack(_VERSION_2, second, self.sequence_number, self.timestamp, self.ssrc)
        return header + self.payload
