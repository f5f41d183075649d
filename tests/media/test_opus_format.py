"""What clients say about the Opus that they like, and what is sent to them for it."""

import numpy as np
import pytest

from media.audio_sender import AudioSender, OutFrame
from media.opus import DTX_SILENCE, SILENCE, OpusDecoder, OpusEncoder, has_fec, packet_duration
from media.opus_format import Dtx, OpusFormat, OpusWish, agreed, read_wish
from media.playout import Playout
from media.sdp import parse_offer
from media.values import PlayoutChange
from tests.media.signals import voice
from tests.media.test_sdp import AUDIO, answer, session

CHROMIUM = ["a=rtpmap:111 opus/48000/2", "a=fmtp:111 minptime=10;useinbandfec=1"]
FIREFOX = ["a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1"]
LOW = ["a=fmtp:111 useinbandfec=1; usedtx=1; maxaveragebitrate=12000; cbr=1; maxplaybackrate=16000", "a=ptime:40"]


def frames(sender: AudioSender, count: int, start: float = 0.0) -> list[OutFrame]:
    return [sender.next_frame(start + i * 0.02) for i in range(count)]


def sent(sender: AudioSender, count: int) -> list[bytes]:
    return [frame.packet.payload for frame in frames(sender, count) if frame.packet is not None]


@pytest.mark.parametrize(
    ("lines", "payload_type", "wish"),
    [
        (CHROMIUM, 111, OpusWish(fec=True)),
        (FIREFOX, 109, OpusWish(fec=True)),
        (LOW, 111, OpusWish(12_000, fec=True, dtx=True, cbr=True, playback_rate=16_000, ptime_ms=40)),
        (["a=rtpmap:96 opus/48000/2"], 96, OpusWish()),
        (["a=fmtp:63 useinbandfec=1"], 111, OpusWish()),
        (
            ["a=fmtp:111 maxaveragebitrate=500;usedtx", "a=ptime:soon", "a=maxptime:30"],
            111,
            OpusWish(6_000, max_ptime_ms=30),
        ),
    ],
)
def test_wishes_are_read_with_the_values_of_the_standard_where_nothing_is_said(
    lines: list[str], payload_type: int, wish: OpusWish
) -> None:
    assert read_wish(lines, payload_type) == wish


@pytest.mark.parametrize(
    ("wish", "packet_ms", "dtx", "form"),
    [
        (OpusWish(fec=True), 20, "asked", OpusFormat()),
        (OpusWish(fec=True, max_bitrate=64_000), 40, "asked", OpusFormat(packet_ms=40)),
        (OpusWish(max_bitrate=12_000, dtx=True, ptime_ms=40), 20, "asked", OpusFormat(12_000, 40, fec=False, dtx=True)),
        (OpusWish(dtx=True, ptime_ms=10), 20, "never", OpusFormat(fec=False)),
        (OpusWish(max_ptime_ms=20, fec=True), 60, "always", OpusFormat(packet_ms=20, dtx=True)),
        (OpusWish(ptime_ms=120, fec=True), 20, "asked", OpusFormat(packet_ms=60)),
        (OpusWish(ptime_ms=30, max_ptime_ms=10, fec=True), 20, "asked", OpusFormat(packet_ms=20)),
    ],
)
def test_packets_are_as_long_as_either_side_likes_and_bits_as_few(
    wish: OpusWish, packet_ms: int, dtx: Dtx, form: OpusFormat
) -> None:
    assert agreed(wish, 28_000, packet_ms, dtx) == form


def test_a_client_on_a_narrow_line_is_answered_as_it_asked() -> None:
    offer = parse_offer(session(AUDIO.replace(CHROMIUM[1], LOW[0] + "\n" + LOW[1]), bundle="0"))
    told = answer(offer).split("\r\n")
    assert "a=ptime:40" in told
    assert "a=fmtp:111 minptime=10;useinbandfec=1;stereo=0;maxaveragebitrate=16000;usedtx=1" in told


@pytest.mark.parametrize("packet_ms", [40, 60])
def test_long_packets_hold_the_whole_sound_and_begin_at_once(packet_ms: int) -> None:
    playout, pcm = Playout(), voice(1.2, 24_000)
    sender = AudioSender(playout, OpusFormat(64_000, packet_ms), timestamp=0)
    frames(sender, 2)
    playout.write(pcm)
    playout.finish()
    spoken = frames(sender, 60, 0.04)
    packets = [frame.packet for frame in spoken if frame.packet is not None]
    assert packets[0].marker
    assert [packet.timestamp for packet in packets] == list(range(1920, 1920 + 57_600, packet_ms * 48))
    assert {packet_duration(packet.payload) for packet in packets} == {packet_ms * 48}
    heard = np.concatenate([frame.pcm for frame in spoken if frame.pcm is not None])
    assert np.array_equal(heard[480:-480], pcm[480:-480])
    decoder = OpusDecoder(24_000)
    audio = np.concatenate([decoder.decode(packet.payload) for packet in packets])
    delay = 312 // 2  # the look-ahead of 6.5 ms
    assert np.corrcoef(audio[delay + 2400 : 24_000], pcm[2400 : 24_000 - delay])[0, 1] > 0.9


def test_what_happens_within_a_long_packet_is_told_when_it_is_due() -> None:
    playout = Playout()
    sender = AudioSender(playout, OpusFormat(packet_ms=40))
    playout.write(voice(0.04, 24_000))
    playout.finish()
    told = [(i, event.change, event.at) for i, frame in enumerate(frames(sender, 3)) for event in frame.events]
    assert told == [(0, PlayoutChange.STARTED, 0.0), (1, PlayoutChange.DRAINED, 0.02)]


def test_a_stall_within_a_long_packet_loses_no_event() -> None:
    playout = Playout()
    sender = AudioSender(playout, OpusFormat(packet_ms=40), timestamp=0)
    playout.write(voice(0.04, 24_000))
    playout.finish()
    frames(sender, 1)
    sender.skip(4)
    (frame,) = frames(sender, 1, 0.1)
    assert [event.change for event in frame.events] == [PlayoutChange.DRAINED]
    assert frame.packet is not None
    assert frame.packet.timestamp == 5 * 960


def test_silence_that_is_not_sent_costs_a_packet_in_400_ms() -> None:
    playout = Playout()
    sender = AudioSender(playout, OpusFormat(dtx=True), timestamp=0)
    quiet = frames(sender, 100)
    packets = [frame.packet for frame in quiet if frame.packet is not None]
    assert [packet.payload for packet in packets] == [SILENCE, *[DTX_SILENCE] * 4]
    assert [packet.timestamp for packet in packets] == [frame * 960 for frame in (0, 20, 40, 60, 80)]
    assert [packet.sequence_number for packet in packets] == list(range(5))
    playout.write(voice(0.2, 24_000))
    playout.finish()
    (first, *_) = [frame.packet for frame in frames(sender, 30, 2.0) if frame.packet is not None]
    assert (first.marker, first.timestamp, first.sequence_number) == (True, 100 * 960, 5)


def test_events_are_told_where_nothing_is_sent() -> None:
    playout = Playout()
    sender = AudioSender(playout, OpusFormat(dtx=True))
    playout.write(voice(0.1, 24_000))
    changes = [event.change for frame in frames(sender, 30) for event in frame.events]
    playout.finish()
    changes += [event.change for frame in frames(sender, 3) for event in frame.events]
    assert changes == [PlayoutChange.STARTED, PlayoutChange.STARVED, PlayoutChange.DRAINED]


def test_a_decoder_stays_silent_through_a_silence_that_is_not_sent() -> None:
    playout = Playout()
    sender = AudioSender(playout, OpusFormat(dtx=True))
    playout.write(voice(0.5, 24_000))
    playout.finish()
    decoder = OpusDecoder(24_000)
    packets = [frame.packet for frame in frames(sender, 100)]
    heard = [decoder.conceal(480) if packet is None else decoder.decode(packet.payload) for packet in packets]
    assert np.abs(heard[5]).max() > 1000
    assert np.abs(np.concatenate(heard[32:]).astype(int)).max() <= 2


def test_redundancy_comes_with_reported_loss_and_goes_with_it_and_only_to_who_can_use_it() -> None:
    def share(form: OpusFormat, lost: float, reports: int) -> float:
        playout = Playout()
        sender = AudioSender(playout, form)
        for _ in range(reports):
            sender.on_receiver_report(lost)
        playout.write(voice(2.0, 24_000))
        payloads = sent(sender, 100)
        return sum(map(has_fec, payloads)) / len(payloads)

    assert share(OpusFormat(), 0.0, 30) == 0.0
    assert share(OpusFormat(), 0.05, 1) > 0.5
    assert share(OpusFormat(20_000, 40), 0.05, 1) > 0.5
    assert share(OpusFormat(fec=False), 0.05, 1) == 0.0


@pytest.mark.parametrize("bitrate", [12_000, 20_000, 28_000])
def test_the_bitrate_is_what_was_agreed(bitrate: int) -> None:
    playout = Playout()
    playout.write(voice(4.0, 24_000))
    sender = AudioSender(playout, OpusFormat(bitrate, 40, fec=False))
    bits = sum(map(len, sent(sender, 200))) * 8
    assert 0.5 * bitrate < bits / 4.0 < 1.1 * bitrate


def test_a_constant_bitrate_is_constant_and_a_narrow_band_narrow() -> None:
    pcm = voice(1.0, 24_000)

    def encoded(encoder: OpusEncoder) -> list[bytes]:
        return [encoder.encode(pcm[start : start + 480]) for start in range(0, len(pcm), 480)]

    assert len({len(payload) for payload in encoded(OpusEncoder(bitrate=24_000, cbr=True))}) == 1
    # Configurations 0 to 3 are narrow-band speech (RFC 6716 section 3.1).
    assert {payload[0] >> 5 for payload in encoded(OpusEncoder(bitrate=24_000, playback_rate=8_000))} == {0}
