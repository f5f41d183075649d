"""G.711 over RTP: a call between two links is heard both ways, with keys, losses and silence."""

import struct
from collections.abc import Callable

import numpy as np
import pytest

from media.audio_link import AudioLink, LinkSettings
from media.audio_sender import Due
from media.codecs import MAX_G711, AudioCodec, CodecName, G711Decoding
from media.opus import OpusError
from media.opus_format import OpusFormat
from media.playout import Playout
from media.rtp import RtpPacket
from media.values import RECEIVE_RATE
from tests.media.calls import Notes, loud_part, pitch, tone

USUAL = OpusFormat()
PCMU, PCMA = AudioCodec("PCMU", 0, 101), AudioCodec("PCMA", 8, 101)


def link(
    codec: AudioCodec,
    notes: Notes,
    playout: Playout,
    send: Callable[[bytes], None],
    opus: OpusFormat = USUAL,
) -> AudioLink:
    settings = LinkSettings(
        payload_type=codec.payload_type,
        sent_payload_type=codec.payload_type,
        ssrc=7,
        cname="link",
        sends=True,
        receives=True,
        opus=opus,
        silence_timeout_s=30,
        codec=codec,
    )
    return AudioLink(settings, playout, notes, send, 0.0)


def sent_by(codec: AudioCodec, frames: int = 50, opus: OpusFormat = USUAL) -> list[RtpPacket]:
    """What a link sends that says a tone."""
    playout, sent = Playout(), list[bytes]()
    playout.write(tone(500, frames / 50))
    playout.finish()
    sender = link(codec, Notes(), playout, sent.append, opus)
    for number in range(frames + 5):
        sender.tick(Due(1, 0), number * 0.02, read=True)
    sender.close()
    return [RtpPacket.parse(data) for data in sent if data[1] & 0x7F < 64 or data[1] & 0x7F > 95]


@pytest.mark.parametrize("codec", [PCMU, PCMA])
def test_a_tone_goes_out_as_g711_and_is_heard_at_its_pitch(codec: AudioCodec) -> None:
    packets = sent_by(codec)
    assert {packet.payload_type for packet in packets} == {codec.payload_type}
    assert {len(packet.payload) for packet in packets} == {160}
    first = packets[0]
    assert [(packet.timestamp - first.timestamp) & 0xFFFFFFFF for packet in packets[:4]] == [0, 160, 320, 480]
    notes = Notes()
    receiver = link(codec, notes, Playout(), lambda data: None)
    for number, packet in enumerate(packets):
        receiver.packet_received(packet.serialize(), number * 0.02)
    assert len(notes.heard()) == len(packets) * 320
    assert pitch(loud_part(notes.heard()), RECEIVE_RATE) == pytest.approx(500, abs=10)
    assert receiver.stats(9.0).packets_lost == receiver.stats(9.0).packets_discarded == 0
    receiver.close()


def test_long_packets_and_silence_that_is_not_sent_are_for_opus() -> None:
    form = OpusFormat(packet_ms=40, dtx=True)
    assert [len(packet.payload) for packet in sent_by(PCMU, opus=form)] == [160] * 55
    long = sent_by(AudioCodec("opus", 111), opus=form)
    assert [(packet.timestamp - long[0].timestamp) & 0xFFFFFFFF for packet in long[:3]] == [0, 1_920, 3_840]
    assert len(long) < 30


def test_what_is_lost_is_concealed_in_its_length() -> None:
    packets = sent_by(PCMU)
    notes = Notes()
    receiver = link(PCMU, notes, Playout(), lambda data: None)
    for number, packet in enumerate(packets):
        if number not in (20, 21):
            receiver.packet_received(packet.serialize(), number * 0.02)
        receiver.tick(Due(0, 0), number * 0.02, read=True)
    stats = receiver.stats(9.0)
    assert (stats.packets_lost, stats.concealed) == (2, 2)
    assert len(notes.heard()) == len(packets) * 320
    gap = notes.heard()[20 * 320 : 21 * 320]
    assert np.abs(gap).max() > 1_000
    receiver.close()


def test_timestamps_of_eight_kilohertz_may_wrap() -> None:
    notes = Notes()
    receiver = link(PCMU, notes, Playout(), lambda data: None)
    for number in range(20):
        timestamp = (2**32 - 800 + 160 * number) & 0xFFFFFFFF
        receiver.packet_received(RtpPacket(0, False, number, timestamp, 9, b"\xff" * 160).serialize(), number * 0.02)
    assert len(notes.heard()) == 20 * 320
    assert receiver.stats(1.0).packets_lost == 0
    receiver.close()


def test_keys_between_sound_are_told_and_leave_no_gap() -> None:
    notes = Notes()
    receiver = link(PCMU, notes, Playout(), lambda data: None)
    for frame in range(30):
        if 10 <= frame < 14:
            payload = struct.pack("!BBH", 11, 10, 160 * (frame - 9))
            packet = RtpPacket(101, frame == 10, frame, 1_600, 9, payload)
        else:
            packet = RtpPacket(0, False, frame, 160 * frame, 9, b"\xff" * 160)
        receiver.packet_received(packet.serialize(), frame * 0.02)
        receiver.tick(Due(0, 0), frame * 0.02, read=True)
    assert notes.keys == ["#"]
    assert receiver.stats(1.0).packets_lost == 0
    receiver.close()


def test_keys_beside_opus_are_told_too() -> None:
    notes = Notes()
    receiver = link(AudioCodec("opus", 111, 110), notes, Playout(), lambda data: None)
    receiver.packet_received(RtpPacket(110, True, 0, 960, 9, b"\x05\x0a\x00\xa0").serialize(), 0.0)
    assert notes.keys == ["5"]
    receiver.close()


def test_silence_is_the_laws_own() -> None:
    expected: dict[CodecName, int] = {"PCMU": 0xFF, "PCMA": 0xD5}
    for name, value in expected.items():
        encoder = AudioCodec(name, 0).encoding(OpusFormat(), 5)
        assert encoder.silence == bytes([value]) * 160
        assert encoder.encode(np.zeros(480, np.int16)) == encoder.silence


@pytest.mark.parametrize("length", [0, MAX_G711 + 1, 1_400])
def test_payloads_of_no_sensible_length_are_refused(length: int) -> None:
    with pytest.raises(OpusError):
        G711Decoding("mulaw").ticks(b"\xff" * length)
