"""RTCP (RFC 3550 section 6) of a call with one stream each way: reports out, reports in, round trip."""

import random

from aiortc.rtp import AnyRtcpPacket, RtcpReceiverInfo


class ReceptionStatistics:
    """What a receiver report says about one incoming stream (RFC 3550 sections 6.4.1, A.1, A.3 and A.8)."""

    def __init__(self, ssrc: int, clock_rate: int = 48_000) -> None: ...

    def received(self, sequence_number: int, timestamp: int, now: float) -> None:
        """Count a packet. Call for every RTP packet of the SSRC, late and duplicate ones too."""

    def sender_report(self, ntp_timestamp: int, now: float) -> None:
        """Note a sender report, for LSR and DLSR."""

    def report(self, now: float) -> RtcpReceiverInfo:
        """The report block as of now; begins a new interval for the fraction lost."""

    packets_received: int
    jitter_s: float
    packets_lost: int


class RtcpSession:
    """Writes and reads the RTCP of one peer. Sans-I/O.

    Args:
        ssrc: of our own stream.
        cname: canonical name for SDES; says nothing about the user.
        rng: seeded source of the randomised report intervals (0.5-1.5 s).
    """

    def __init__(self, ssrc: int, cname: str, rng: random.Random) -> None: ...

    round_trip_s: float | None
    remote_fraction_lost: float | None

    def report_due(self, now: float) -> bool:
        """Whether it is time for a report; when True, the next one is drawn (0.5-1.5 s later)."""

    def report(
        self, now: float, packets_sent: int, bytes_sent: int, rtp_timestamp: int, reception: ReceptionStatistics | None
    ) -> bytes:
        """A compound packet: SR (RR while nothing was sent) and SDES."""

    def bye(self, now: float) -> bytes:
        """A compound packet: empty RR, SDES and BYE."""

    def handle(self, packet: AnyRtcpPacket, now: float, reception: ReceptionStatistics | None) -> tuple[int, ...]:
        """Take a packet that came in (`aiortc.rtp.RtcpPacket.parse`); returns the SSRCs that said BYE."""
