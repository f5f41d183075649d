"""A seeded network in virtual time: what a sender sends goes in, what arrives and when comes out."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

FRAME_TICKS = 960
CLOCK_RATE = 48_000


@dataclass(frozen=True, slots=True)
class RtpFields:
    """An RTP packet and when it was sent (s)."""

    sequence_number: int
    timestamp: int
    payload: bytes
    sent_at: float
    duration: int = FRAME_TICKS
    ssrc: int = 7


@dataclass(frozen=True, slots=True)
class Arrival:
    packet: RtpFields
    at: float


@dataclass(frozen=True, slots=True)
class Outage:
    """From `start` to `end` (s) nothing comes through: it is dropped, or held back and delivered at the end."""

    start: float
    end: float
    held: bool = False


@dataclass(slots=True)
class Network:
    """Delays, loses, swaps and doubles packets.

    Attributes:
        seed: of everything random here.
        delay: of every packet, s.
        loss: probability that a packet is lost on its own.
        burst: probability that a packet begins a burst of losses.
        burst_length: packets lost in a burst.
        jitter: further delay, uniform between 0 and this, s.
        fifo: whether jitter keeps the order, as a queue does.
        reorder: probability that a packet is overtaken by the next one.
        duplicate: probability that a packet comes twice.
        outages: times when nothing comes through.
    """

    seed: int = 1
    delay: float = 0.03
    loss: float = 0.0
    burst: float = 0.0
    burst_length: int = 4
    jitter: float = 0.0
    fifo: bool = True
    reorder: float = 0.0
    duplicate: float = 0.0
    outages: tuple[Outage, ...] = ()

    def deliver(self, packets: Iterable[RtpFields]) -> list[Arrival]:
        """Everything that arrives, by arrival time."""
        rng = random.Random(self.seed)
        arrivals: list[Arrival] = []
        burst_left = 0
        last = 0.0
        for packet in packets:
            at = packet.sent_at + self.delay + rng.uniform(0.0, self.jitter)
            lost, begins = rng.random() < self.loss, rng.random() < self.burst
            overtaken, doubled = rng.random() < self.reorder, rng.random() < self.duplicate
            burst_left = self.burst_length if begins else max(burst_left - 1, 0)
            outage = next((o for o in self.outages if o.start <= packet.sent_at < o.end), None)
            if lost or burst_left or (outage and not outage.held):
                continue
            if outage:
                at = max(at, outage.end + self.delay)
            if self.fifo:
                at = last = max(at, last)
            if overtaken:
                at += packet.duration / CLOCK_RATE + 0.005
            arrivals.append(Arrival(packet, at))
            if doubled:
                arrivals.append(Arrival(packet, at + 0.001))
        return sorted(arrivals, key=lambda arrival: arrival.at)


def steady(
    count: int, sequence_number: int = 1000, timestamp: int = 50_000, duration: int = FRAME_TICKS, start: float = 10.0
) -> list[RtpFields]:
    """A sender that never pauses; the payload names the packet by its index."""
    return [
        RtpFields(
            (sequence_number + i) & 0xFFFF,
            (timestamp + i * duration) & 0xFFFFFFFF,
            f"packet {i}".encode(),
            start + i * duration / CLOCK_RATE,
            duration,
        )
        for i in range(count)
    ]


def discontinuous(spoken: list[tuple[int, int]], start: float = 10.0) -> list[RtpFields]:
    """A DTX sender: packets of 20 ms in speech, one DTX packet (1 byte) per 400 ms in silence.

    Args:
        spoken: first and last frame (exclusive) of each stretch of speech; it ends with the last one.
        start: when frame 0 is sent, s.
    """
    packets = []
    sequence = 0
    silent_for = 0
    for frame in range(spoken[-1][1]):
        speaking = any(first <= frame < end for first, end in spoken)
        silent_for = 0 if speaking else silent_for + 1
        if speaking or silent_for % 20 == 1:
            payload = f"packet {frame}".encode() if speaking else b"\x48"
            packets.append(RtpFields(sequence, frame * FRAME_TICKS, payload, start + frame * 0.02))
            sequence += 1
    return packets


def ticks(arrivals: list[Arrival], until: float, period: float = 0.02) -> Iterator[tuple[float, RtpFields | None]]:
    """Arrivals and the receiver's clock merged: (now, packet) or (now, None) at a tick."""
    pending = list(arrivals)
    tick = (arrivals[0].at if arrivals else 0.0) + 0.007
    while pending or tick <= until:
        if pending and pending[0].at <= tick:
            arrival = pending.pop(0)
            yield arrival.at, arrival.packet
        else:
            yield tick, None
            tick += period
