"""The jitter buffer in virtual time: what comes out, in which order, and how much later than it came in."""

import random
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.jitter_buffer import JitterBuffer
from media.jitter_slots import Lost, Packet, Silence, Slot
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
from tests.thorough import share


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


def random_stalls(seed: int, count: int = 40, longest: float = 2.0) -> tuple[tuple[Outage, ...], float]:
    """Stalls of 0.1 s and more behind each other at random, all held back, and when it is over (s)."""
    rng = random.Random(seed)
    outages, at = [], 10.5
    for _ in range(count):
        length = rng.uniform(0.1, longest)
        outages.append(Outage(at, at + length, held=True))
        at += length + rng.uniform(0.3, 2.0)
    return tuple(outages), at + 0.5


def test_while_a_stall_lasts_nothing_is_let_out() -> None:
    outs, _ = run(Network(), steady(50), tail=1.0)
    assert len(outs) == 50


@pytest.mark.parametrize("jitter", [0.0, 0.02])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_forty_stalls_held_back_follows_whole_and_in_order_and_nothing_takes_its_place(
    seed: int, jitter: float
) -> None:
    outages, end = random_stalls(seed)
    packets = steady(round((end - 10) * 50))
    outs, buffer = run(Network(seed=seed, jitter=jitter, outages=outages), packets)
    assert payloads(outs) == [packet.payload for packet in packets]
    assert all(isinstance(out.slot, Packet) and out.slot.skip == 0 for out in outs)
    assert buffer.lost == buffer.discarded == 0
    # Every packet is let out when it comes, and dated when it should have come.
    assert max(out.released - out.slot.at for out in outs) <= 2.0
    assert all(-0.001 <= out.slot.at - (10.03 + out.position) <= 0.14 for out in outs)
    assert all(later.slot.at >= earlier.slot.at - 0.12 for earlier, later in pairwise(outs))


@given(
    stalls=st.lists(st.tuples(st.floats(0.05, 1.5), st.floats(0.1, 5.0), st.booleans()), max_size=6),
    loss=st.sampled_from([0.0, 0.03]),
    reorder=st.sampled_from([0.0, 0.03]),
    duplicate=st.sampled_from([0.0, 0.05]),
    seed=st.integers(0, 99),
)
@settings(max_examples=share(30), deadline=None, derandomize=True)
def test_every_packet_that_comes_behind_a_stall_is_let_out_once_and_in_order(
    stalls: list[tuple[float, float, bool]], loss: float, reorder: float, duplicate: float, seed: int
) -> None:
    """Held back or swallowed, with loss, reordering and duplicates beside: what came in order comes out, once each."""
    outages, at = [], 10.5
    for pause, length, held in stalls:
        outages.append(Outage(at + pause, at + pause + length, held))
        at += pause + length
    packets = steady(round((at - 9.0) * 50), sequence_number=65_000, timestamp=2**32 - 50_000)
    network = Network(seed=seed, loss=loss, reorder=reorder, duplicate=duplicate, outages=tuple(outages))
    came = {arrival.packet.payload for arrival in network.deliver(packets)}
    outs, _ = run(network, packets, tail=0.5)
    heard = payloads(outs)
    order = [int(payload.split()[1]) for payload in heard]
    assert order == sorted(set(order))
    missed = len(came - set(heard))
    if not reorder:
        assert missed == 0
    # A packet that is overtaken may come after it was given up, stall or no stall.
    assert missed <= 0.5 * reorder * len(packets) + 2
    assert total(outs) == pytest.approx(0.02 * len(packets), abs=0.1)


def test_what_a_stall_swallowed_is_filled_when_the_sender_is_heard_again() -> None:
    packets = steady(200)
    outs, buffer = run(Network(outages=(Outage(11.995, 12.995),)), packets)
    assert payloads(outs) == [packet.payload for packet in packets[:100] + packets[150:]]
    fill = outs[100:-50]
    assert [type(out.slot) for out in fill] == [Lost, Lost, Lost, Silence, Lost]
    assert isinstance(fill[3].slot, Silence)
    assert fill[3].slot.missing
    assert isinstance(fill[4].slot, Lost)
    assert fill[4].slot.next_payload == b"packet 150"
    assert total(outs) == pytest.approx(4.0)
    assert buffer.lost == 50


def test_a_stall_that_swallows_a_part_and_holds_back_the_rest_costs_that_part() -> None:
    packets = steady(200)
    outs, _ = run(Network(outages=(Outage(12.0, 12.5), Outage(12.5, 13.0, held=True))), packets)
    assert payloads(outs) == [packet.payload for packet in packets[:100] + packets[125:]]
    assert total(outs) == pytest.approx(4.0)


@pytest.mark.parametrize("batch", [5, 10, 25])
def test_a_sender_whose_packets_come_in_batches_is_heard_whole(batch: int) -> None:
    packets = steady(500)
    batched = [
        RtpFields(p.sequence_number, p.timestamp, p.payload, packets[min(i // batch * batch + batch, 500) - 1].sent_at)
        for i, p in enumerate(packets)
    ]
    outs, buffer = run(Network(), batched)
    assert payloads(outs) == [packet.payload for packet in packets]
    assert total(outs) == pytest.approx(10.0)
    assert max(out.released - out.slot.at for out in outs) <= batch * 0.02
    assert buffer.discarded == 0


def test_speech_that_began_in_a_stall_behind_dtx_silence_is_whole() -> None:
    packets = discontinuous([(0, 50), (160, 210)])
    outs, buffer = run(Network(outages=(Outage(12.9, 13.9, held=True),)), packets)
    speech = [out for out in outs if isinstance(out.slot, Packet) and len(out.slot.payload) > 2]
    assert len(speech) == 100
    assert all(isinstance(out.slot, Packet) and out.slot.skip == 0 for out in speech)
    # The silence that the clock let out in the meantime, at most half a second, is time on top.
    assert total(outs) == pytest.approx(4.2, abs=0.5)
    assert buffer.discarded == buffer.lost == 0


def test_a_path_that_becomes_200_ms_longer_is_followed() -> None:
    packets = steady(400)
    longer = [
        RtpFields(p.sequence_number, p.timestamp, p.payload, p.sent_at + (0.2 if i >= 200 else 0.0))
        for i, p in enumerate(packets)
    ]
    outs, buffer = run(Network(), longer)
    assert payloads(outs) == [packet.payload for packet in packets]
    assert total(outs) == pytest.approx(8.2, abs=0.05)
    assert outs[-1].slot.at == pytest.approx(outs[-1].released)
    assert buffer.discarded == 0


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
    assert payloads(outs) == [packet.payload for packet in packets]
    assert total(outs) == pytest.approx(5.0, abs=0.05)
    assert {out.slot.missing for out in outs if isinstance(out.slot, Silence)} == {True}
    assert buffer.lost == buffer.discarded == 0


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
    assert seconds <= 5.0 * 1.05 + 3.0 + 1.0


def test_a_flood_behind_a_stall_yields_no_more_than_ten_seconds_at_once() -> None:
    buffer = JitterBuffer()
    for packet in steady(100):
        buffer.push(packet.sequence_number, packet.timestamp, packet.payload, packet.duration, packet.sent_at)
        buffer.pop(packet.sent_at)
    heard = 0
    for i in range(100, 3000):
        buffer.push(1000 + i, 50_000 + i * FRAME_TICKS, b"x", FRAME_TICKS, 72.0)
        heard += sum(isinstance(slot, Packet) for slot in buffer.pop(72.0))
    assert heard == pytest.approx(500, abs=2)
    assert buffer.discarded >= 2390


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
