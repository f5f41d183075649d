"""From real Opus packets through a bad network to frames."""

import random
from itertools import pairwise

import numpy as np
import pytest

from media.audio_receiver import AudioReceiver
from media.opus import OpusDecoder, OpusEncoder
from media.rtp import RtpPacket
from media.values import AudioFrame
from tests.media.network import Network, Outage, RtpFields, discontinuous, ticks
from tests.media.signals import offset_of, segmental_snr, voice

OPUS = 111


def opus_stream(
    seconds: float, loss_percent: int = 20, start: float = 10.0, ssrc: int = 7, sequence_number: int = 65_500
) -> list[RtpFields]:
    """A voice in packets of 20 ms."""
    pcm = voice(seconds, 24_000)
    encoder = OpusEncoder()
    encoder.set_packet_loss(loss_percent)
    return [
        RtpFields(
            (sequence_number + i) & 0xFFFF,
            (2**32 - 960 * 30 + i * 960) & 0xFFFFFFFF,
            encoder.encode(pcm[i * 480 : (i + 1) * 480]),
            start + i * 0.02,
            ssrc=ssrc,
        )
        for i in range(int(seconds * 50))
    ]


def received(
    receiver: AudioReceiver,
    payload_type: int,
    sequence_number: int,
    timestamp: int,
    ssrc: int,
    payload: bytes,
    now: float,
) -> list[AudioFrame]:
    receiver.take(RtpPacket(payload_type, False, sequence_number, timestamp, ssrc, payload), now)
    return receiver.poll(now)


def take(receiver: AudioReceiver, packet: RtpFields, now: float, payload_type: int = OPUS) -> list[AudioFrame]:
    return received(receiver, payload_type, packet.sequence_number, packet.timestamp, packet.ssrc, packet.payload, now)


def run(network: Network, packets: list[RtpFields], tail: float = 0.0) -> tuple[list[AudioFrame], AudioReceiver]:
    receiver = AudioReceiver(OPUS)
    frames: list[AudioFrame] = []
    arrivals = network.deliver(packets)
    for now, packet in ticks(arrivals, arrivals[-1].at + tail):
        frames += receiver.poll(now) if packet is None else take(receiver, packet, now)
    return frames, receiver


def samples(frames: list[AudioFrame]) -> np.ndarray:
    return np.concatenate([frame.pcm for frame in frames])


def level(frames: list[AudioFrame]) -> float:
    return float(np.abs(samples(frames).astype(float)).mean())


@pytest.fixture(scope="module")
def speech() -> list[RtpFields]:
    return opus_stream(6.0)


@pytest.fixture(scope="module")
def intact(speech: list[RtpFields]) -> np.ndarray:
    decoder = OpusDecoder()
    return np.concatenate([decoder.decode(packet.payload) for packet in speech])


def test_a_good_network_yields_the_decoded_audio_at_its_arrival(speech: list[RtpFields], intact: np.ndarray) -> None:
    frames, receiver = run(Network(delay=0.03), speech)
    assert np.array_equal(samples(frames), intact)
    assert all(frame.pcm.shape == (320,) and frame.pcm.dtype == np.int16 for frame in frames)
    assert [frame.at for frame in frames] == pytest.approx([packet.sent_at + 0.03 for packet in speech])
    stats = receiver.stats()
    assert (stats.packets_received, stats.packets_lost, stats.packets_discarded) == (300, 0, 0)
    assert stats.bytes_received == sum(len(packet.payload) for packet in speech)
    assert stats.jitter_buffer_s < 0.001


def test_lost_packets_are_recovered_from_the_next_ones(speech: list[RtpFields], intact: np.ndarray) -> None:
    frames, receiver = run(Network(seed=2, loss=0.05), speech)
    plain, _ = run(Network(seed=2, loss=0.05), opus_stream(6.0, loss_percent=0))
    stats = receiver.stats()
    assert len(frames) == 300
    assert stats.packets_lost == stats.fec_recovered + stats.concealed
    assert stats.fec_recovered >= 0.5 * stats.packets_lost > 3
    unprotected = OpusDecoder()
    reference = np.concatenate([unprotected.decode(packet.payload) for packet in opus_stream(6.0, loss_percent=0)])
    every = set(range(10, 300))
    assert segmental_snr(intact, samples(frames), every) > segmental_snr(reference, samples(plain), every)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_loss_jitter_and_reordering_leave_no_gap_and_little_delay(speech: list[RtpFields], seed: int) -> None:
    frames, receiver = run(Network(seed=seed, loss=0.05, jitter=0.02, fifo=False, reorder=0.02), speech)
    assert len(frames) == pytest.approx(300, abs=2)
    assert receiver.stats().jitter_buffer_s <= 0.02
    assert all(later.at >= earlier.at for earlier, later in pairwise(frames))


def test_a_stall_fades_into_silence_and_the_time_stays_right(speech: list[RtpFields]) -> None:
    # In the middle of a syllable, where a cut would be loud.
    frames, receiver = run(Network(outages=(Outage(12.16, 13.16),)), speech)
    assert len(frames) == pytest.approx(300, abs=1)
    assert level(frames[105:111]) > 100
    assert level(frames[111:150]) == 0.0
    assert np.abs(frames[110].pcm[-20:].astype(int)).max() < 0.1 * np.abs(frames[108].pcm.astype(int)).max()
    assert level(frames[168:]) > 500
    assert receiver.stats().packets_lost == 50
    missing = [index for index, frame in enumerate(frames) if frame.missing]
    assert missing == list(range(missing[0], missing[-1] + 1))
    assert 40 <= len(missing) <= 50


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_stalls_leave_no_trace_in_the_audio_nor_in_its_times(
    speech: list[RtpFields], intact: np.ndarray, seed: int
) -> None:
    rng = random.Random(seed)
    outages, at = [], 10.3
    while at < 14.5:
        length = rng.uniform(0.1, 1.2)
        outages.append(Outage(at, at + length, held=True))
        at += length + rng.uniform(0.1, 0.8)
    frames, receiver = run(Network(outages=tuple(outages)), speech, tail=0.2)
    assert np.array_equal(samples(frames), intact)
    assert all(later.at >= earlier.at for earlier, later in pairwise(frames))
    assert all(0.0 <= frame.at - (packet.sent_at + 0.03) <= 0.121 for frame, packet in zip(frames, speech, strict=True))
    assert not any(frame.missing for frame in frames)
    stats = receiver.stats()
    assert stats.packets_discarded == stats.packets_lost == stats.concealed == 0


def test_what_a_stall_held_back_is_heard_before_another_ssrc(speech: list[RtpFields], intact: np.ndarray) -> None:
    receiver = AudioReceiver(OPUS)
    frames: list[AudioFrame] = []
    for packet in speech[:100]:
        frames += take(receiver, packet, packet.sent_at)
    for packet in speech[100:150]:
        receiver.take(RtpPacket(OPUS, False, packet.sequence_number, packet.timestamp, 7, packet.payload), 13.0)
    for packet in opus_stream(1.0, start=13.2, ssrc=8, sequence_number=3):
        frames += take(receiver, packet, packet.sent_at)
    assert np.array_equal(samples(frames[:150]), intact[: 150 * 320])


def test_dtx_silence_is_heard_as_zeros_while_it_happens() -> None:
    spoken = opus_stream(1.0, start=0.0)
    packets = [
        RtpFields(
            p.sequence_number, p.timestamp, spoken[i % 50].payload if len(p.payload) > 2 else p.payload, p.sent_at
        )
        for i, p in enumerate(discontinuous([(0, 50), (150, 200)]))
    ]
    receiver = AudioReceiver(OPUS)
    heard: list[tuple[float, AudioFrame]] = []
    arrivals = Network(delay=0.03).deliver(packets)
    for now, packet in ticks(arrivals, 14.0):
        heard += [(now, f) for f in (receiver.poll(now) if packet is None else take(receiver, packet, now))]
    silent = [(now, frame) for now, frame in heard if not frame.pcm.any()]
    assert len(silent) >= 75
    assert max(now - frame.at for now, frame in silent) <= 0.085
    assert len(heard) == pytest.approx(200, abs=8)


@pytest.mark.parametrize(("code", "milliseconds"), [(0, 10), (3, 60)])
def test_packets_of_any_duration_are_cut_into_frames_of_20_ms(code: int, milliseconds: int) -> None:
    # 10 ms: CELT frames (RFC 6716 table 2, configuration 30); 60 ms: three 20 ms frames in one packet (code 3).
    payload = b"\xf0\xff\xfe" if code == 0 else b"\xfb\x03" + b"\xff\xfe" * 3
    ticks_each = milliseconds * 48
    receiver = AudioReceiver(OPUS)
    frames: list[AudioFrame] = []
    for i in range(1200 // milliseconds):
        frames += received(receiver, OPUS, i, i * ticks_each, 7, payload, 10 + i * milliseconds / 1000)
    assert len(frames) == 60
    assert {len(frame.pcm) for frame in frames} == {320}


def test_ten_thousand_hostile_payloads_leave_the_next_speech_clean(speech: list[RtpFields], intact: np.ndarray) -> None:
    rng = random.Random(5)
    receiver = AudioReceiver(OPUS)
    for i in range(10_000):
        payload = rng.randbytes(rng.choice([0, 1, 2, 3, 20, 200, 1400]))
        received(receiver, OPUS, i & 0xFFFF, i * 960, 7, payload, i * 0.02)
    base = 10_000
    frames: list[AudioFrame] = []
    for i, packet in enumerate(speech):
        frames += received(receiver, OPUS, base + i, (base + i) * 960, 7, packet.payload, (base + i) * 0.02)
    assert receiver.stats().packets_discarded > 500
    # The noise has left a part of a frame behind, so that the frames now lie askew.
    heard = samples(frames[-270:])
    aligned = intact[offset_of(heard, intact) :]
    assert segmental_snr(aligned, heard, set(range(len(aligned) // 320 - 5))) > 20.0


def test_an_undecodable_packet_is_filled_from_the_next_ones_redundancy(speech: list[RtpFields]) -> None:
    packets = list(speech)
    packets[100] = RtpFields(speech[100].sequence_number, speech[100].timestamp, b"\x4b\xff", speech[100].sent_at)
    frames, receiver = run(Network(), packets)
    stats = receiver.stats()
    assert len(frames) == 300
    assert stats.fec_recovered + stats.concealed == 1
    assert stats.packets_discarded == 1


def test_empty_payloads_and_other_payload_types_leave_no_trace_in_the_audio(
    speech: list[RtpFields], intact: np.ndarray
) -> None:
    receiver = AudioReceiver(OPUS)
    frames: list[AudioFrame] = []
    extra = 0
    for i, packet in enumerate(speech):
        sequence = packet.sequence_number + extra
        frames += received(receiver, OPUS, sequence & 0xFFFF, packet.timestamp, 7, packet.payload, packet.sent_at)
        if i % 10 == 5:
            extra += 1
            kind, payload = (OPUS, b"") if i % 20 == 5 else (126, b"\x05\x0a\x00\xa0")
            sequence = packet.sequence_number + extra
            frames += received(receiver, kind, sequence & 0xFFFF, packet.timestamp, 7, payload, packet.sent_at)
    assert np.array_equal(samples(frames), intact)
    assert receiver.stats().packets_lost == 0


def test_another_ssrc_is_heard_from_its_second_packet_on(speech: list[RtpFields]) -> None:
    other = opus_stream(2.0, start=16.0, ssrc=8, sequence_number=3)
    frames, receiver = run(Network(), speech + other)
    assert receiver.ssrc == 8
    assert len(frames) == pytest.approx(400, abs=1)
    fresh = OpusDecoder()
    assert np.array_equal(samples(frames[-100:]), np.concatenate([fresh.decode(packet.payload) for packet in other]))
    assert receiver.reception is not None
    assert receiver.reception.ssrc == 8
    assert receiver.stats().packets_received == 400
    assert receiver.stats().packets_lost == 0


def test_a_stray_ssrc_does_not_take_over(speech: list[RtpFields], intact: np.ndarray) -> None:
    receiver = AudioReceiver(OPUS)
    frames: list[AudioFrame] = []
    for i, packet in enumerate(speech):
        if i % 7 == 3:
            frames += received(receiver, OPUS, 9, 9, 99, b"\xf8\xff\xfe", packet.sent_at)
        frames += take(receiver, packet, packet.sent_at)
    assert np.array_equal(samples(frames), intact)
    assert receiver.ssrc == 7


def test_a_sender_that_goes_on_after_bye_is_heard_again(speech: list[RtpFields]) -> None:
    receiver = AudioReceiver(OPUS)
    for packet in speech[:100]:
        take(receiver, packet, packet.sent_at)
    receiver.bye(7)
    quiet: list[AudioFrame] = []
    for i in range(50):
        quiet += receiver.poll(12.0 + i * 0.02)
    assert len(quiet) == pytest.approx(46, abs=1)
    assert level(quiet) == 0.0
    assert receiver.stats().concealed == 0
    again = [f for packet in speech[150:] for f in take(receiver, packet, packet.sent_at)]
    assert level(again[10:]) > 500


def test_jitter_is_measured_as_rfc_3550_has_it(speech: list[RtpFields]) -> None:
    _, calm = run(Network(), speech)
    _, rough = run(Network(jitter=0.02, fifo=False), speech)
    assert calm.stats().jitter_s < 0.0001
    # The mean difference of two uniform delays is a third of their range.
    assert rough.stats().jitter_s == pytest.approx(0.0067, abs=0.003)


def test_a_closed_receiver_ignores_what_comes(speech: list[RtpFields]) -> None:
    receiver = AudioReceiver(OPUS)
    take(receiver, speech[0], 10.0)
    receiver.close()
    assert take(receiver, speech[1], 10.02) == []
    assert receiver.poll(20.0) == []


def test_speech_after_a_muted_microphone_sounds_as_if_every_silent_packet_had_been_decoded(
    speech: list[RtpFields],
) -> None:
    payloads = [packet.payload for packet in speech[:100]] + [b"\xfc\xff\xfe"] * 60
    payloads += [packet.payload for packet in speech[100:200]]
    receiver, decoder = AudioReceiver(OPUS), OpusDecoder()
    frames: list[AudioFrame] = []
    for i, payload in enumerate(payloads):
        frames += received(receiver, OPUS, i, i * 960, 7, payload, i * 0.02)
    assert np.array_equal(samples(frames), np.concatenate([decoder.decode(payload) for payload in payloads]))
