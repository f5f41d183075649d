"""The jitter buffer in virtual time: what comes out, in which order, and how much later than it came in."""

import random
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import pytest

from media.jitter_buffer import JitterBuffer, Lost, Packet, Silence, Slot
from tests.media.network import (
    CLOCK_RATE,
    FRAME_TICKS,
    Network,
    Outage,
    RtpFields,
    discontinuous,
    steady,
    ticks,
)


@dataclass(frozen=True, slots=True)
class Out:
    """A slot, when it came out, and where its audio lies (s since the first)."""

    slot: Slot
    released: float
    position: float


def run(network: Network, packets: list[RtpFields], tail: float = 0.0) -> tuple[list[Out], JitterBuffer]:
    """Send packets through a network into a buffer; its clock ticks on for `tail` seconds after the last arrival."""
    buffer = JitterBuffer()
    arrivals = network.deliver(packets)
    outs: list[Out] = []
    position = 0
    for now, packet in ticks(arrivals, arrivals[-1].at + tail):
        if packet is not None:
            buffer.push(packet.sequence_number, packet.timestamp, packet.payload, packet.duration, now)
        for slot in buffer.pop(now):
            outs.append(Out(slot, now, position / CLOCK_RATE))
            position += slot.duration
    return outs, buffer


def delays(outs: list[Out]) -> list[float]:
    """Per packet: seconds between its arrival and its release."""
    return [out.released - out.slot.at for out in outs if isinstance(out.slot, Packet)]


def lateness(outs: list[Out], start: float = 10.0, path: float = 0.03) -> list[float]:
    """Per slot: seconds between the moment when it came out and the earliest at which it could have."""
    return [out.released - (start + path + out.position) for out in outs]


def payloads(outs: list[Out]) -> list[bytes]:
    return [out.slot.payload for out in outs if isinstance(out.slot, Packet)]


def total(outs: list[Out]) -> float:
    return sum(out.slot.duration for out in outs) / CLOCK_RATE


def test_without_loss_or_jitter_nothing_is_delayed() -> None:
    outs, _ = run(Network(), steady(500))
    assert len(outs) == 500
    assert max(delays(outs)) == 0.0


def test_jitter_alone_delays_nothing_and_loses_nothing() -> None:
    packets = steady(1000)
    outs, buffer = run(Network(jitter=0.04), packets)
    assert payloads(outs) == [packet.payload for packet in packets]
    assert max(delays(outs)) == 0.0
    assert buffer.lost == buffer.discarded == 0


@pytest.mark.parametrize("jitter", [0.0, 0.01, 0.02])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_five_percent_loss_leaves_at_most_80_ms_and_fills_every_slot(jitter: float, seed: int) -> None:
    packets = steady(3000)
    outs, buffer = run(Network(seed=seed, loss=0.05, jitter=jitter, fifo=False, reorder=0.01), packets)
    assert all(out.slot.duration == FRAME_TICKS for out in outs)
    assert total(outs) == pytest.approx(60.0, abs=0.05)
    assert max(lateness(outs)) <= 0.08
    assert max(delays(outs)) <= 0.08
    kinds = Counter(type(out.slot) for out in outs)
    assert kinds[Silence] == 0
    assert 0.03 < kinds[Lost] / 3000 < 0.08
    assert buffer.lost == pytest.approx(150, abs=50)


def test_a_lost_packet_comes_with_the_next_one_for_its_redundancy() -> None:
    packets = steady(40)
    del packets[30]
    outs, _ = run(Network(), packets)
    lost = [out for out in outs if isinstance(out.slot, Lost)]
    assert [out.slot.next_payload for out in lost if isinstance(out.slot, Lost)] == [b"packet 31"]
    assert lost[0].position == pytest.approx(0.6)
    assert lost[0].released == pytest.approx(10.03 + 31 * 0.02, abs=0.001)


def test_of_several_lost_in_a_row_only_the_last_has_a_neighbour() -> None:
    packets = steady(40)
    del packets[30:33]
    outs, buffer = run(Network(), packets)
    lost = [out.slot.next_payload for out in outs if isinstance(out.slot, Lost)]
    assert lost == [None, None, b"packet 33"]
    assert buffer.lost == 3


def test_where_packets_overtake_each_other_they_are_put_in_order_and_waited_for() -> None:
    packets = steady(200)
    arrivals = [arrival.packet.sequence_number for arrival in Network(seed=5, reorder=0.1).deliver(packets)]
    outs, _ = run(Network(seed=5, reorder=0.1), packets)
    settled = [out for out in outs if out.position >= 1.0]
    assert sum(later < earlier for earlier, later in pairwise(arrivals[50:])) >= 10
    assert payloads(settled) == [packet.payload for packet in packets[50:]]
    assert not any(isinstance(out.slot, Lost) for out in settled)
    assert max(delays(settled)) <= 0.03


def test_a_duplicate_is_discarded_and_counted() -> None:
    packets = steady(200)
    outs, buffer = run(Network(duplicate=0.3), packets)
    assert payloads(outs) == [packet.payload for packet in packets]
    assert 30 <= buffer.discarded <= 90
    assert buffer.lost == 0


def test_a_packet_that_comes_after_it_was_given_up_is_discarded_not_lost() -> None:
    buffer = JitterBuffer()
    packets = steady(30)
    for packet in packets[:25] + packets[26:]:
        buffer.push(packet.sequence_number, packet.timestamp, packet.payload, packet.duration, packet.sent_at)
        buffer.pop(packet.sent_at)
    assert (buffer.lost, buffer.discarded) == (1, 0)
    late = packets[25]
    buffer.push(late.sequence_number, late.timestamp, late.payload, late.duration, packets[-1].sent_at)
    assert buffer.pop(packets[-1].sent_at) == []
    assert (buffer.lost, buffer.discarded) == (0, 1)


@pytest.mark.parametrize("held", [False, True], ids=["lost", "held back"])
def test_after_an_outage_of_500_ms_the_delay_comes_back_down(held: bool) -> None:
    outage = Outage(13.0, 13.5, held)
    outs, buffer = run(Network(seed=4, loss=0.02, jitter=0.01, outages=(outage,)), steady(500))
    late = lateness(outs)
    during = [value for out, value in zip(outs, late, strict=True) if 13.0 <= out.released < 13.5]
    after = [value for out, value in zip(outs, late, strict=True) if out.released > 13.6]
    settled = [value for out, value in zip(outs, late, strict=True) if out.released > 15.6]
    assert max(during) <= 0.2
    assert max(after) <= 0.16
    assert max(settled) <= 0.08
    assert total(outs) == pytest.approx(10.0, abs=0.05)
    assert buffer.target_s <= 0.03


def test_a_stall_is_concealed_for_60_ms_and_silent_then() -> None:
    outs, _ = run(Network(), steady(50), tail=1.0)
    kinds = [type(out.slot) for out in outs[50:]]
    assert kinds[:3] == [Lost, Lost, Lost]
    assert set(kinds[3:]) == {Silence}
    assert total(outs) == pytest.approx(2.0 - 0.12, abs=0.04)


def test_a_stall_shorter_than_120_ms_costs_no_audio() -> None:
    packets = steady(200)
    outs, _ = run(Network(outages=(Outage(12.0, 12.1, held=True),)), packets)
    assert payloads(outs) == [packet.payload for packet in packets]


def test_a_path_that_becomes_200_ms_longer_is_followed() -> None:
    packets = steady(400)
    longer = [
        RtpFields(p.sequence_number, p.timestamp, p.payload, p.sent_at + (0.2 if i >= 200 else 0.0))
        for i, p in enumerate(packets)
    ]
    outs, buffer = run(Network(), longer)
    heard = payloads(outs)
    assert len(heard) >= 396
    assert heard[-150:] == [packet.payload for packet in packets[-150:]]
    assert total(outs) == pytest.approx(8.2, abs=0.05)
    assert buffer.discarded <= 4


def test_dtx_silence_comes_out_while_it_happens() -> None:
    outs, buffer = run(Network(), discontinuous([(0, 50), (150, 200)]))
    assert max(lateness(outs)) <= 0.081
    silent = sum(out.slot.duration for out in outs if isinstance(out.slot, Silence)) / CLOCK_RATE
    assert silent == pytest.approx(2.0 - 5 * 0.02)
    assert buffer.lost == buffer.discarded == 0
    assert total(outs) == pytest.approx(4.0)


def test_after_dtx_silence_speech_is_not_delayed() -> None:
    outs, _ = run(Network(jitter=0.02), discontinuous([(0, 50), (157, 207), (300, 350)]))
    speech = [out for out in outs if isinstance(out.slot, Packet) and len(out.slot.payload) > 2]
    assert len(speech) == 150
    assert max(out.released - out.slot.at for out in speech) == 0.0
    assert all(out.slot.skip == 0 for out in speech if isinstance(out.slot, Packet))


def test_silence_announced_by_bye_is_not_concealed() -> None:
    buffer = JitterBuffer()
    for packet in steady(10):
        buffer.push(packet.sequence_number, packet.timestamp, packet.payload, packet.duration, packet.sent_at)
        buffer.pop(packet.sent_at)
    buffer.expect_silence()
    assert {type(slot) for slot in buffer.pop(11.0)} == {Silence}


@pytest.mark.parametrize(("sequence_number", "timestamp"), [(65_500, 2**32 - 40 * 960), (65_535, 2**32 - 1), (0, 0)])
def test_sequence_numbers_and_timestamps_may_wrap(sequence_number: int, timestamp: int) -> None:
    packets = steady(300, sequence_number, timestamp)
    outs, buffer = run(Network(loss=0.05, jitter=0.01), packets)
    assert total(outs) == pytest.approx(6.0, abs=0.05)
    assert max(lateness(outs)) <= 0.08
    assert buffer.discarded == 0


def test_a_restarted_sender_is_heard_from_its_second_packet_on() -> None:
    before = steady(100)
    after = steady(100, sequence_number=40_000, timestamp=3_000_000_000, start=12.0)
    outs, buffer = run(Network(), before + after)
    assert payloads(outs) == [packet.payload for packet in before + after]
    assert max(delays(outs)) == pytest.approx(0.02)
    assert total(outs) == pytest.approx(4.0, abs=0.03)
    assert buffer.discarded == buffer.lost == 0


def test_a_stray_packet_changes_nothing() -> None:
    packets = steady(100)
    stray = RtpFields(50_000, 4_000_000_000, b"stray", 11.005)
    outs, buffer = run(Network(fifo=False), [*packets, stray])
    assert payloads(outs) == [packet.payload for packet in packets]
    assert buffer.discarded == 1


def test_a_timestamp_jump_without_a_gap_is_followed_at_once() -> None:
    packets = steady(100)
    jumped = [
        RtpFields(p.sequence_number, p.timestamp + (100_000_000 if i >= 50 else 0), p.payload, p.sent_at)
        for i, p in enumerate(packets)
    ]
    outs, _ = run(Network(), jumped)
    assert payloads(outs) == [packet.payload for packet in packets]
    assert total(outs) == pytest.approx(2.0, abs=0.03)


def test_after_a_pause_in_which_the_timestamps_stood_still_the_sender_is_heard_within_100_ms() -> None:
    packets = [
        RtpFields(p.sequence_number, p.timestamp, p.payload, p.sent_at + (1.0 if i >= 100 else 0.0))
        for i, p in enumerate(steady(200))
    ]
    outs, buffer = run(Network(), packets)
    assert len(payloads(outs)) >= 196
    assert total(outs) == pytest.approx(5.0, abs=0.05)
    assert buffer.lost == 0


@pytest.mark.parametrize("milliseconds", [10, 20, 40, 60])
def test_frames_of_any_length_are_put_in_order_and_filled(milliseconds: int) -> None:
    duration = milliseconds * 48
    packets = steady(6000 // milliseconds, duration=duration)
    outs, _ = run(Network(loss=0.05, jitter=0.01), packets)
    assert total(outs) == pytest.approx(6.0, abs=0.13)
    assert max(lateness(outs)) <= 0.08 + duration / CLOCK_RATE
    assert all(out.slot.duration == duration for out in outs if isinstance(out.slot, Packet))


def test_packets_without_audio_only_take_a_sequence_number() -> None:
    buffer = JitterBuffer()
    slots: list[Slot] = []
    for packet in steady(50):
        duration = 0 if packet.payload == b"packet 25" else FRAME_TICKS
        timestamp = packet.timestamp - (FRAME_TICKS if packet.sequence_number > 1025 else 0)
        now = packet.sent_at
        buffer.push(packet.sequence_number, timestamp, packet.payload, duration, now)
        slots += buffer.pop(now)
    assert {type(slot) for slot in slots} == {Packet}
    assert len(slots) == 49


def test_memory_is_bounded_whatever_arrives() -> None:
    buffer = JitterBuffer(capacity=64)
    buffer.push(0, 0, b"first", FRAME_TICKS, 0.0)
    for i in range(2, 2000):
        buffer.push(i, FRAME_TICKS + i, b"x", 1, 0.001)
    assert sum(isinstance(slot, Packet) for slot in buffer.pop(1.0)) == 64
    assert buffer.discarded == 1999 - 64


def test_a_flood_yields_no_more_audio_than_time_passes() -> None:
    buffer = JitterBuffer()
    seconds = 0.0
    for i in range(5000):
        now = i * 0.001
        buffer.push(i & 0xFFFF, i * 5760, b"x", 5760, now)
        seconds += sum(slot.duration for slot in buffer.pop(now)) / CLOCK_RATE
    assert seconds <= 5.0 * 1.1 + 4.0


def test_hostile_numbers_never_break_it() -> None:
    rng = random.Random(9)
    buffer = JitterBuffer()
    now = 0.0
    seconds = 0.0
    for _ in range(20_000):
        now += rng.choice([0.0, 0.001, 0.02])
        buffer.push(rng.getrandbits(16), rng.getrandbits(32), b"x", rng.choice([0, 120, 960, 5760]), now)
        seconds += sum(slot.duration for slot in buffer.pop(now)) / CLOCK_RATE
    for packet in steady(100, start=now):
        buffer.push(packet.sequence_number, packet.timestamp, packet.payload, packet.duration, packet.sent_at)
        heard = [slot for slot in buffer.pop(packet.sent_at) if isinstance(slot, Packet)]
    assert heard[-1].payload == b"packet 99"
    assert seconds <= now * 1.5 + 5
