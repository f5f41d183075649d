"""RTP packets: what aiortc writes is read, what we write is read by aiortc, and what is no packet is refused."""

import os
import random

import aiortc.rtp
import pytest

from media.rtp import RtpPacket


def test_a_packet_with_everything_around_its_payload_is_read() -> None:
    sent = aiortc.rtp.RtpPacket(111, 1, 65_535, 4_294_967_295, 4_000_000_000, b"voice")
    sent.csrc = [1, 2, 3]
    sent.padding_size = 7
    sent.extensions.mid = "0"
    sent.extensions.audio_level = (True, 30)
    extensions = aiortc.rtp.HeaderExtensionsMap()
    extensions.configure(
        aiortc.RTCRtpParameters(
            headerExtensions=[
                aiortc.RTCRtpHeaderExtensionParameters(1, "urn:ietf:params:rtp-hdrext:sdes:mid"),
                aiortc.RTCRtpHeaderExtensionParameters(2, "urn:ietf:params:rtp-hdrext:ssrc-audio-level"),
            ]
        )
    )
    assert RtpPacket.parse(sent.serialize(extensions)) == (111, True, 65_535, 4_294_967_295, 4_000_000_000, b"voice")


def test_what_is_written_is_read_by_others() -> None:
    read = aiortc.rtp.RtpPacket.parse(RtpPacket(96, False, 17, 960, 5, b"x").serialize())
    assert (read.payload_type, read.marker, read.sequence_number, read.timestamp, read.ssrc) == (96, 0, 17, 960, 5)
    assert read.payload == b"x"
    assert RtpPacket.parse(RtpPacket(96, True, 17, 960, 5, b"").serialize()).marker


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80" * 11,
        b"\x00" * 40,
        b"\x8f" + bytes(20),  # 15 contributing sources announced, two there
        b"\x90" + bytes(13),  # an extension announced, half its header there
        b"\x90" + bytes(13) + b"\xff\xff",  # an extension longer than the packet
        b"\xa0" + bytes(11) + b"\x00",  # padding of no bytes
        b"\xa0" + bytes(11) + b"\x09",  # padding longer than the packet
    ],
)
def test_what_is_no_packet_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"RTP|extension|padding"):
        RtpPacket.parse(data)


def test_noise_is_read_as_aiortc_reads_it_or_refused() -> None:
    dice = random.Random(5)
    for _ in range(3000):
        data = bytes([dice.randrange(128, 192)]) + os.urandom(dice.randrange(60))
        try:
            ours: RtpPacket | None = RtpPacket.parse(data)
        except ValueError:
            ours = None
        try:
            theirs: aiortc.rtp.RtpPacket | None = aiortc.rtp.RtpPacket.parse(data)
        except ValueError:
            theirs = None
        assert (ours is None) == (theirs is None), data.hex()
        if ours is not None and theirs is not None:
            assert ours.payload == theirs.payload
