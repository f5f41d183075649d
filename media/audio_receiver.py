"""From RTP packets to 20 ms frames for the models."""

from dataclasses import dataclass

from media.rtcp import ReceptionStatistics
from media.values import Pcm


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """20 ms of incoming audio.

    Attributes:
        pcm: shape (320,) at `RECEIVE_RATE`.
        at: when its last sample arrived, s (never falls from frame to frame).
    """

    pcm: Pcm
    at: float


@dataclass(frozen=True, slots=True)
class ReceiverStats:
    """Counters of an `AudioReceiver`, named and defined as in `media.values.PeerStats`."""

    packets_received: int = 0
    packets_lost: int = 0
    packets_discarded: int = 0
    bytes_received: int = 0
    fec_recovered: int = 0
    concealed: int = 0
    jitter_s: float = 0.0
    jitter_buffer_s: float = 0.0


class AudioReceiver:
    """One incoming audio stream. Sans-I/O; all times are `time.monotonic()` seconds.

    Args:
        payload_type: of Opus in the negotiated SDP. Packets of other types (telephone events, comfort noise) only keep
            the sequence going.
    """

    def __init__(self, payload_type: int) -> None: ...

    reception: ReceptionStatistics | None
    """For receiver reports; None before the first packet. A new SSRC starts new statistics."""

    last_packet_at: float | None
    """Arrival of the last RTP packet, of any payload type."""

    def receive(
        self,
        payload_type: int,
        sequence_number: int,
        timestamp: int,
        ssrc: int,
        marker: int,
        payload: bytes,
        now: float,
    ) -> list[AudioFrame]:
        """Take an RTP packet; returns the frames that it completes, usually one."""

    def poll(self, now: float) -> list[AudioFrame]:
        """Frames that have become due by the passing of time. Call every 20 ms."""

    def bye(self, ssrc: int) -> None:
        """RTCP BYE: silence from now on, unless the sender goes on all the same."""

    @property
    def ssrc(self) -> int | None:
        """The sender that is heard now."""

    def stats(self) -> ReceiverStats:
        """The counters as of now, over all SSRCs."""

    def close(self) -> None:
        """Free the decoder; packets are ignored from then on."""
