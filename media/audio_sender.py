"""From the outgoing queue to RTP packets, one per 20 ms."""

from dataclasses import dataclass

from media.playout import Playout
from media.values import PlayoutEvent


@dataclass(frozen=True, slots=True)
class RtpOut:
    """One packet to send.

    Attributes:
        sequence_number: 16 bit.
        timestamp: 32 bit, 48 kHz clock.
        marker: first packet of a talk spurt (RFC 3551 section 4.1).
        payload: Opus.
        audio_level: -dBov, 0 (loudest) to 127 (silence), for the header extension of RFC 6464.
        events: what happened in the queue at this frame; to hand to `PeerListener.on_playout`.
    """

    sequence_number: int
    timestamp: int
    marker: bool
    payload: bytes
    audio_level: int
    events: tuple[PlayoutEvent, ...]


@dataclass(frozen=True, slots=True)
class Due:
    """What a `FrameClock` says.

    Attributes:
        frames: packets to send now, 0 to 3.
        skipped: frames of missed time to leave out before them (`AudioSender.skip`).
    """

    frames: int
    skipped: int


class FrameClock:
    """Tells when frames are due. Sans-I/O: the driver sleeps until `next_at` and asks `due`.

    Never ahead of real time; a stall of up to 60 ms is caught up with a burst, a longer one is skipped.
    """

    def due(self, now: float) -> Due:
        """Frames due at `now`; counts them as sent. The first call starts the clock."""

    @property
    def next_at(self) -> float:
        """When the next frame is due, s."""


class AudioSender:
    """Playout, encoder and RTP counters of one outgoing stream.

    Driver: `due = clock.due(now); sender.skip(due.skipped); for _ in range(due.frames): send(sender.next_packet(now))`.
    """

    def __init__(
        self,
        playout: Playout,
        bitrate: int = 28_000,
        complexity: int = 5,
        sequence_number: int = 0,
        timestamp: int = 0,
    ) -> None: ...

    packets_sent: int
    bytes_sent: int
    """RTP payload bytes (the octet count of sender reports)."""

    def next_packet(self, now: float) -> RtpOut:
        """Encode and number the next 20 ms."""

    def skip(self, frames: int) -> None:
        """Let the timestamps run over missed time; the queue stays where it is."""

    def rtp_timestamp(self, now: float) -> int:
        """The RTP timestamp that corresponds to `now`, for sender reports."""

    def on_receiver_report(self, fraction_lost: float) -> None:
        """Adapt the redundancy to the loss that the far end reports (0 to 1)."""

    def close(self) -> None:
        """Free the encoder."""
