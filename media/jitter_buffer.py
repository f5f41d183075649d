"""Puts RTP packets back into order and decides how long a missing one is worth waiting for."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Packet:
    """Audio that came.

    Attributes:
        payload: what to decode.
        duration: length in clock ticks, less `skip`.
        skip: ticks at its start whose place has been filled already; decode all and drop these.
        at: arrival time, s.
    """

    payload: bytes
    duration: int
    skip: int
    at: float


@dataclass(frozen=True, slots=True)
class Lost:
    """Audio that has not come in time.

    Attributes:
        duration: length in clock ticks.
        next_payload: the packet right behind, for its redundancy; None when it is not there.
        at: when it should have arrived, s.
    """

    duration: int
    next_payload: bytes | None
    at: float


@dataclass(frozen=True, slots=True)
class Silence:
    """Audio that the sender did not send (DTX): a gap of timestamps without a gap of sequence numbers.

    Attributes:
        duration: length in clock ticks.
        at: when it should have arrived, s.
    """

    duration: int
    at: float


Slot: TypeAlias = Packet | Lost | Silence


class JitterBuffer:
    """Adaptive jitter buffer for a listener that is no sound card: releases each packet the moment it is next in order."""

    def push(self, sequence_number: int, timestamp: int, payload: bytes, duration: int, now: float) -> None:
        """Take a packet. `duration` in ticks; 0 for one that carries no audio but takes a sequence number."""

    def pop(self, now: float) -> list[Slot]:
        """Everything that is due by now, in order and without gaps. Call after each push and every 20 ms."""
