"""What comes out of a jitter buffer, slot by slot."""

from typing import NamedTuple, TypeAlias


class Packet(NamedTuple):
    """Audio that came.

    Attributes:
        payload: what to decode.
        duration: length in clock ticks, less `skip`.
        skip: ticks at its start whose place has been filled already; decode all and drop these.
        at: arrival time, s; of a packet that a stall held up the time at which it would have come without.
    """

    payload: bytes
    duration: int
    skip: int
    at: float


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
