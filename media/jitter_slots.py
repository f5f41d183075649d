"""Slots of a jitter buffer: packets, and what comes out in the place of those that did not come."""

from typing import NamedTuple, TypeAlias


class Packet(NamedTuple):
    """Audio that came, in the jitter buffer and out of it.

    Attributes:
        sequence: sequence number, unwrapped.
        timestamp: of its first sample, clock ticks, unwrapped.
        payload: what to decode.
        duration: length in clock ticks, less `skip`; 0 for a packet that carries no audio.
        at: arrival time, s; of a packet that a stall held up the time at which it would have come without.
        skip: ticks at its start whose place has been filled already; decode all and drop these.
    """

    sequence: int
    timestamp: int
    payload: bytes
    duration: int
    at: float
    skip: int = 0


class Lost(NamedTuple):
    """Audio that has not come in time.

    Attributes:
        duration: length in clock ticks.
        next_payload: the packet right behind, for its redundancy; None when it is not there.
        at: when it should have arrived, s.
    """

    duration: int
    next_payload: bytes | None
    at: float


class Silence(NamedTuple):
    """Audio that the sender did not send (DTX): a gap of timestamps without a gap of sequence numbers.

    Attributes:
        duration: length in clock ticks.
        at: when its end should have arrived, s.
        missing: it stands for audio that was lost, or for time in which the sender stood still.
    """

    duration: int
    at: float
    missing: bool = False


Slot: TypeAlias = Packet | Lost | Silence
