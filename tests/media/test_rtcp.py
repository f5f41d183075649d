"""RTCP against the letter of RFC 3550 and against aiortc's own parser."""

import random

import pytest
from aiortc.rtp import (
    RtcpByePacket,
    RtcpPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpSdesPacket,
    RtcpSrPacket,
)

from media.rtcp import ReceptionStatistics, RtcpSession, compact_ntp, ntp_timestamp, round_trip
from tests.media.network import Network, steady

OURS, THEIRS = 11, 22


def session(seed: int = 1) -> RtcpSession:
    return RtcpSession(OURS, "a-name", random.Random(seed))


def test_loss_is_counted_in_total_and_per_interval() -> None:
    statistics = ReceptionStatistics(THEIRS)
    for sequence in range(100):
        if sequence % 4 != 1:
            statistics.received(sequence, sequence * 960, sequence * 0.02)
    first = statistics.report(2.0)
    assert (first.ssrc, first.packets_lost, first.fraction_lost, first.highest_sequence) == (THEIRS, 25, 64, 99)
    for sequence in range(100, 200):
        statistics.received(sequence, sequence * 960, sequence * 0.02)
    second = statistics.report(4.0)
    assert (second.packets_lost, second.fraction_lost) == (25, 0)
    assert statistics.expected == 200


def test_an_interval_without_packets_reports_no_loss() -> None:
    statistics = ReceptionStatistics(THEIRS)
    statistics.received(5, 0, 0.0)
    statistics.report(1.0)
    assert statistics.report(2.0).fraction_lost == 0


def test_duplicates_make_the_loss_negative_but_never_the_fraction() -> None:
    statistics = ReceptionStatistics(THEIRS)
    for sequence in (1, 2, 2, 3, 3):
        statistics.received(sequence, sequence * 960, sequence * 0.02)
    report = statistics.report(1.0)
    assert (report.packets_lost, report.fraction_lost) == (-2, 0)
    assert RtcpReceiverInfo.parse(bytes(report)).packets_lost == -2


def test_the_highest_sequence_counts_its_cycles() -> None:
    statistics = ReceptionStatistics(THEIRS)
    for i in range(70_000):
        statistics.received((65_000 + i) & 0xFFFF, (i * 960) & 0xFFFFFFFF, i * 0.02)
    assert statistics.report(0.0).highest_sequence == 65_000 + 69_999
    assert statistics.packets_lost == 0


def test_reordering_is_no_loss() -> None:
    statistics = ReceptionStatistics(THEIRS)
    for sequence in (65_534, 0, 65_535, 2, 1):
        statistics.received(sequence, 0, 0.0)
    assert statistics.expected == 5
    assert statistics.packets_lost == 0


def test_a_restart_needs_two_packets_and_begins_anew() -> None:
    statistics = ReceptionStatistics(THEIRS)
    for sequence in range(100):
        statistics.received(sequence, sequence * 960, sequence * 0.02)
    statistics.received(30_000, 7, 2.0)
    assert statistics.highest_sequence == 99
    statistics.received(30_001, 967, 2.02)
    assert statistics.highest_sequence == 30_001
    assert statistics.packets_lost == 0


def test_jitter_follows_the_formula_across_a_timestamp_wrap() -> None:
    statistics = ReceptionStatistics(THEIRS)
    rng = random.Random(4)
    expected, before = 0.0, None
    for i in range(500):
        arrival = i * 0.02 + rng.uniform(0.0, 0.03)
        statistics.received(i, (2**32 - 48_000 + i * 960) & 0xFFFFFFFF, arrival)
        transit = arrival - i * 0.02
        if before is not None:
            expected += (abs(transit - before) - expected) / 16
        before = transit
    assert statistics.jitter_s == pytest.approx(expected, rel=1e-6)
    assert statistics.report(10.0).jitter == int(statistics.jitter_s * 48_000)


def test_statistics_agree_with_what_a_network_lost() -> None:
    packets = steady(2000)
    arrivals = Network(seed=8, loss=0.1, jitter=0.02, fifo=False).deliver(packets)
    statistics = ReceptionStatistics(7)
    for arrival in arrivals:
        statistics.received(arrival.packet.sequence_number, arrival.packet.timestamp, arrival.at)
    assert statistics.packets_lost == pytest.approx(2000 - len(arrivals), abs=2)


def test_last_sender_report_and_delay_are_reported() -> None:
    statistics = ReceptionStatistics(THEIRS)
    statistics.received(1, 0, 0.0)
    assert (statistics.report(1.0).lsr, statistics.report(1.0).dlsr) == (0, 0)
    statistics.sender_report(0x0123_4567_89AB_CDEF, 5.0)
    report = statistics.report(5.25)
    assert (report.lsr, report.dlsr) == (0x4567_89AB, 16_384)


def test_a_sender_sends_a_sender_report_and_its_name() -> None:
    statistics = ReceptionStatistics(THEIRS)
    statistics.received(1, 0, 0.0)
    data = session().report(100.5, 50, 4000, 2**32 + 5, statistics)
    report, names = RtcpPacket.parse(data)
    assert isinstance(report, RtcpSrPacket)
    assert isinstance(names, RtcpSdesPacket)
    assert report.ssrc == OURS
    assert report.sender_info.ntp_timestamp == (100 << 32) + (1 << 31)
    assert report.sender_info.rtp_timestamp == 5
    assert (report.sender_info.packet_count, report.sender_info.octet_count) == (50, 4000)
    assert [block.ssrc for block in report.reports] == [THEIRS]
    assert names.chunks[0].items == [(1, b"a-name")]


def test_who_has_not_sent_sends_a_receiver_report() -> None:
    report = RtcpPacket.parse(session().report(1.0, 0, 0, 0, None))[0]
    assert isinstance(report, RtcpRrPacket)
    assert report.reports == []


def test_goodbye_is_a_valid_compound_packet() -> None:
    first, second, third = RtcpPacket.parse(session().bye())
    assert isinstance(first, RtcpRrPacket)
    assert isinstance(second, RtcpSdesPacket)
    assert isinstance(third, RtcpByePacket)
    assert third.sources == [OURS]


def test_two_sessions_measure_the_round_trip_and_the_loss() -> None:
    ours, theirs = session(), RtcpSession(THEIRS, "b", random.Random(2))
    heard_by_us, heard_by_them = ReceptionStatistics(THEIRS), ReceptionStatistics(OURS)
    for sequence in range(80):
        heard_by_us.received(sequence, 0, 0.0)
        if sequence % 5 != 1:
            heard_by_them.received(sequence, 0, 0.0)
    offset = 5000.0
    for packet in RtcpPacket.parse(ours.report(10.0, 80, 800, 0, heard_by_us)):
        theirs.handle(packet, offset + 10.04, heard_by_them)
    for packet in RtcpPacket.parse(theirs.report(offset + 10.5, 80, 800, 0, heard_by_them)):
        ours.handle(packet, 10.56, heard_by_us)
    assert ours.round_trip_s == pytest.approx(0.1, abs=0.001)
    assert ours.remote_fraction_lost == pytest.approx(0.2, abs=0.01)
    assert theirs.round_trip_s is None
    assert heard_by_us.report(11.0).lsr == compact_ntp(ntp_timestamp(offset + 10.5))


def test_reports_about_other_streams_are_ignored() -> None:
    ours = session()
    info = RtcpReceiverInfo(99, 128, 5, 5, 0, 1, 1)
    assert ours.handle(RtcpRrPacket(THEIRS, [info]), 1.0, None) == ()
    assert ours.remote_fraction_lost is None


def test_goodbyes_are_handed_on() -> None:
    assert session().handle(RtcpByePacket([THEIRS, 33]), 1.0, None) == (THEIRS, 33)


def test_a_lying_report_gives_no_negative_round_trip() -> None:
    info = RtcpReceiverInfo(OURS, 0, 0, 0, 0, lsr=compact_ntp(ntp_timestamp(50.0)), dlsr=65536)
    assert round_trip(info, 50.5) == 0.0


def test_reports_are_due_every_half_to_one_and_a_half_seconds() -> None:
    ours = session(seed=7)
    times = [i * 0.02 for i in range(10_000) if ours.report_due(i * 0.02)]
    pauses = [later - earlier for earlier, later in zip([0.0, *times], times, strict=False)]
    assert min(pauses) >= 0.5
    assert max(pauses) <= 1.52
    assert sum(pauses) / len(pauses) == pytest.approx(1.0, abs=0.1)
    again = session(seed=7)
    assert times == [i * 0.02 for i in range(10_000) if again.report_due(i * 0.02)]
