"""RTCP (RFC 3550 section 6) of a call with one stream each way: reports out, reports in, round trip."""

import random

from aiortc.rtp import (
    AnyRtcpPacket,
    RtcpByePacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSourceInfo,
    RtcpSrPacket,
    clamp_packets_lost,
)

MIN_INTERVAL_S, MAX_INTERVAL_S = 0.5, 1.5
"""Bounds between which the pause before the next report is drawn (RFC 3550 section 6.2, for a session of two)."""

_SDES_CNAME = 1
_MAX_DROPOUT, _MAX_MISORDER = 3000, 100
_NO_SEQUENCE = -1


def ntp_timestamp(now: float) -> int:
    """64-bit NTP format of a monotonic time, in 2 ** -32 s.

    RFC 3550 section 6.4.1 allows elapsed time in place of the wall clock; nothing here needs lip-sync with other hosts.
    """
    return int(now * 4_294_967_296) & 0xFFFFFFFFFFFFFFFF


def compact_ntp(timestamp: int) -> int:
    """The middle 32 bits of an NTP timestamp, in 2 ** -16 s (RFC 3550 section 4)."""
    return timestamp >> 16 & 0xFFFFFFFF


class ReceptionStatistics:
    """What a receiver report says about one incoming stream (RFC 3550 sections 6.4.1, A.1, A.3 and A.8).

    Args:
        ssrc: of the stream.
        clock_rate: RTP ticks per second.
    """

    def __init__(self, ssrc: int, clock_rate: int = 48_000) -> None:
        self.ssrc = ssrc
        self.packets_received = 0
        """Packets counted since the stream (re)started, duplicates too, as RFC 3550 has it."""
        self._rate = clock_rate
        self._base = 0
        self._cycles = 0
        self._highest = _NO_SEQUENCE
        self._suspect = _NO_SEQUENCE
        self._expected_before = self._received_before = 0
        self._transit: float | None = None
        self._media = 0.0
        self._last_timestamp = 0
        self._jitter = 0.0
        self._sender_report = 0
        self._sender_report_at: float | None = None

    @property
    def jitter_s(self) -> float:
        """Interarrival jitter in seconds."""
        return self._jitter / self._rate

    @property
    def highest_sequence(self) -> int:
        """Highest sequence number, extended by the count of its cycles."""
        return self._cycles + max(self._highest, 0)

    @property
    def expected(self) -> int:
        """Packets that should have come."""
        return 0 if self._highest < 0 else self.highest_sequence - self._base + 1

    @property
    def packets_lost(self) -> int:
        """Expected less received; negative when there were more duplicates than losses."""
        return self.expected - self.packets_received

    def received(self, sequence_number: int, timestamp: int, now: float) -> None:
        """Count a packet. Call for every RTP packet of the SSRC, late and duplicate ones too."""
        if self._highest < 0:
            self._start(sequence_number)
        delta = (sequence_number - self._highest) & 0xFFFF
        if delta < _MAX_DROPOUT:
            if sequence_number < self._highest:
                self._cycles += 0x10000
            self._highest = sequence_number
        elif delta <= 0x10000 - _MAX_MISORDER:
            if sequence_number != self._suspect:
                self._suspect = (sequence_number + 1) & 0xFFFF
                return
            self._start(sequence_number)
        self.packets_received += 1
        self._update_jitter(timestamp, now)

    def sender_report(self, ntp: int, now: float) -> None:
        """Note the NTP timestamp of a sender report, for LSR and DLSR."""
        self._sender_report = compact_ntp(ntp)
        self._sender_report_at = now

    def report(self, now: float) -> RtcpReceiverInfo:
        """The report block as of now; begins a new interval for the fraction lost."""
        expected = self.expected - self._expected_before
        lost = expected - (self.packets_received - self._received_before)
        self._expected_before, self._received_before = self.expected, self.packets_received
        delay = 0.0 if self._sender_report_at is None else now - self._sender_report_at
        return RtcpReceiverInfo(
            ssrc=self.ssrc,
            fraction_lost=min((lost << 8) // expected, 255) if expected > 0 and lost > 0 else 0,
            packets_lost=clamp_packets_lost(self.packets_lost),
            highest_sequence=self.highest_sequence & 0xFFFFFFFF,
            jitter=min(int(self._jitter), 0xFFFFFFFF),
            lsr=self._sender_report,
            dlsr=min(int(delay * 65536), 0xFFFFFFFF),
        )

    def _start(self, sequence_number: int) -> None:
        self._base = self._highest = sequence_number
        self._suspect = _NO_SEQUENCE
        self._cycles = self.packets_received = 0
        self._expected_before = self._received_before = 0
        self._transit = None

    def _update_jitter(self, timestamp: int, now: float) -> None:
        # The difference of two 32-bit timestamps is taken on the circle, so that a wrap is no jump of 25 hours.
        if self._transit is None:
            media = float(timestamp)
        else:
            delta = (timestamp - self._last_timestamp + 0x80000000 & 0xFFFFFFFF) - 0x80000000
            media = self._media + delta
        transit = now * self._rate - media
        if self._transit is not None:
            self._jitter += (abs(transit - self._transit) - self._jitter) / 16
        self._media, self._transit, self._last_timestamp = media, transit, timestamp


class RtcpSession:
    """Writes and reads the RTCP of one peer. Sans-I/O.

    Args:
        ssrc: of our own stream.
        cname: canonical name for SDES (at most 255 bytes of UTF-8); says nothing about the user (RFC 7022).
        rng: seeded source of the randomised report intervals.
    """

    def __init__(self, ssrc: int, cname: str, rng: random.Random) -> None:
        self.round_trip_s: float | None = None
        """From the last report about our stream; None before the first."""
        self.remote_fraction_lost: float | None = None
        """Of what we sent, 0 to 1, from the last report about our stream; None before the first."""
        self._ssrc = ssrc
        self._cname = cname.encode()[:255]
        self._rng = rng
        self._next_report_at: float | None = None

    def report_due(self, now: float) -> bool:
        """Whether it is time for a report; when True, the next one is drawn (0.5-1.5 s later).

        The first call starts the clock and is False.
        """
        due = self._next_report_at is not None and now >= self._next_report_at
        if due or self._next_report_at is None:
            self._next_report_at = now + self._rng.uniform(MIN_INTERVAL_S, MAX_INTERVAL_S)
        return due

    def report(
        self, now: float, packets_sent: int, bytes_sent: int, rtp_timestamp: int, reception: ReceptionStatistics | None
    ) -> bytes:
        """A compound packet: SR (RR while nothing was sent) and SDES.

        Args:
            now: monotonic, s.
            packets_sent: RTP packets since the start.
            bytes_sent: RTP payload bytes since the start.
            rtp_timestamp: of our stream at `now` (`AudioSender.rtp_timestamp`).
            reception: of the stream that comes in; None before it does. Its report interval ends.
        """
        reports = [] if reception is None else [reception.report(now)]
        report: RtcpSrPacket | RtcpRrPacket
        if packets_sent:
            info = RtcpSenderInfo(
                ntp_timestamp=ntp_timestamp(now),
                rtp_timestamp=rtp_timestamp & 0xFFFFFFFF,
                packet_count=packets_sent & 0xFFFFFFFF,
                octet_count=bytes_sent & 0xFFFFFFFF,
            )
            report = RtcpSrPacket(ssrc=self._ssrc, sender_info=info, reports=reports)
        else:
            report = RtcpRrPacket(ssrc=self._ssrc, reports=reports)
        return bytes(report) + self._sdes()

    def bye(self) -> bytes:
        """A compound packet that ends our stream: empty RR, SDES and BYE (RFC 3550 section 6.6)."""
        return bytes(RtcpRrPacket(ssrc=self._ssrc)) + self._sdes() + bytes(RtcpByePacket(sources=[self._ssrc]))

    def handle(self, packet: AnyRtcpPacket, now: float, reception: ReceptionStatistics | None) -> tuple[int, ...]:
        """Take one packet that came in, as `aiortc.rtp.RtcpPacket.parse` gives them.

        Args:
            packet: of any kind; what is neither SR, RR nor BYE is ignored.
            now: arrival, s.
            reception: of the stream that comes in; hears of its sender reports.

        Returns:
            The SSRCs that said BYE.
        """
        if isinstance(packet, RtcpByePacket):
            return tuple(packet.sources)
        if isinstance(packet, RtcpSrPacket) and reception is not None and packet.ssrc == reception.ssrc:
            reception.sender_report(packet.sender_info.ntp_timestamp, now)
        if isinstance(packet, RtcpSrPacket | RtcpRrPacket):
            for info in packet.reports:
                if info.ssrc == self._ssrc:
                    self._take_report(info, now)
        return ()

    def _take_report(self, info: RtcpReceiverInfo, now: float) -> None:
        self.remote_fraction_lost = info.fraction_lost / 256
        self.round_trip_s = round_trip(info, now) if info.lsr else self.round_trip_s

    def _sdes(self) -> bytes:
        return bytes(RtcpSdesPacket([RtcpSourceInfo(ssrc=self._ssrc, items=[(_SDES_CNAME, self._cname)])]))


def round_trip(info: RtcpReceiverInfo, now: float) -> float:
    """Round-trip time in seconds from a report block: A - LSR - DLSR (RFC 3550 section 6.4.1).

    Args:
        info: with the LSR of a report that we stamped with `ntp_timestamp`.
        now: its arrival, s.

    Returns:
        Never negative: the fields are rounded to 15 us, and a far end may lie.
    """
    elapsed = compact_ntp(ntp_timestamp(now)) - info.lsr - info.dlsr & 0xFFFFFFFF
    return 0.0 if elapsed >= 0x80000000 else elapsed / 65536
