"""From the outgoing queue to RTP packets, one per 20 ms."""

import math
from dataclasses import dataclass

import numpy as np

from media.codecs import AudioCodec
from media.playout import FRAME_SAMPLES, Playout
from media.values import FRAME_S, Pcm, PlayoutEvent

MAX_STALL_S = 0.06
"""A stall of the loop up to this long is caught up with a burst; a longer one is skipped."""

_OPUS = AudioCodec("opus", 96)
_HANGOVER_FRAMES = 2
_ASSUMED_LOSS = 0.1
_NEGLIGIBLE_LOSS = 0.01
_LEAST_LOSS_PERCENT = 10  # below 8 % libopus spends nothing on redundancy at 28 kbit/s
_ZEROS: Pcm = np.zeros(FRAME_SAMPLES, dtype=np.int16)


@dataclass(frozen=True, slots=True)
class RtpOut:
    """One packet to send.

    Attributes:
        sequence_number: 16 bit.
        timestamp: 32 bit, at the clock rate of the codec.
        marker: first packet of a talk spurt (RFC 3551 section 4.1).
        payload: what the codec makes of it.
        events: what happened in the queue at this frame; to hand to `PeerListener.on_playout`.
        pcm: what the payload holds; None for silence.
    """

    sequence_number: int
    timestamp: int
    marker: bool
    payload: bytes
    events: tuple[PlayoutEvent, ...]
    pcm: Pcm | None


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

    Frames keep to the grid that the first call lays down, whatever the loop's lateness. Never ahead of real time; a
    stall of up to 60 ms is caught up with a burst of at most 3 frames, a longer one is skipped but for its last frame.
    """

    def __init__(self, frame_s: float = FRAME_S, max_stall_s: float = MAX_STALL_S) -> None:
        self._frame_s = frame_s
        self._max_burst = round(max_stall_s / frame_s)
        self._origin: float | None = None
        self._counted = 0

    def due(self, now: float, early_s: float = 1e-6) -> Due:
        """Frames due; counts them as sent. The first call starts the clock with one frame.

        Args:
            now: s.
            early_s: frames due within this count as well. At least a microsecond: a driver that slept until `next_at`
                must not be told to sleep again for a rounding.
        """
        if self._origin is None:
            self._origin = now
        reached = math.floor((now - self._origin + early_s) / self._frame_s) + 1
        frames = max(reached - self._counted, 0)
        self._counted += frames
        if frames > self._max_burst:
            return Due(frames=1, skipped=frames - 1)
        return Due(frames=frames, skipped=0)

    def shift(self, seconds: float) -> None:
        """Move the grid: later, or earlier where negative. Nothing before the first call of `due`."""
        if self._origin is not None:
            self._origin += seconds

    @property
    def next_at(self) -> float:
        """When the next frame is due, s; 0 before the first call of `due`, so at once."""
        return 0.0 if self._origin is None else self._origin + self._counted * self._frame_s


class AudioSender:
    """Playout, encoder and RTP counters of one outgoing stream. Sans-I/O.

    The driver: `due = clock.due(now)`, `sender.skip(due.skipped)`, then `next_packet(now)` for each of `due.frames`.

    Frames are encoded just in time: 0.2 ms of one core for 20 ms of speech at complexity 5 (see
    `python -m bench.media_cores`), 1 % of a core while the voice speaks, and nothing to take back at a barge-in.
    Silence costs no encoder: two frames of it are encoded after speech (the first carries the last 6.5 ms of speech,
    the encoder's look-ahead), then a constant 3-byte CELT frame is sent, or one of 40 ms where the queue rests: packets
    cost more than anything else in a silent call. A decoder starts its speech mode anew after a
    CELT frame (RFC 6716 section 4.5.2), so the encoder is reset at the onset too, and both start from zero.

    Args:
        playout: the queue.
        bitrate: bit/s of speech.
        complexity: of the encoder, 0 to 10.
        sequence_number: of the first packet; random (RFC 3550 section 5.1).
        timestamp: of the first packet; random.
        codec: that was negotiated.
    """

    def __init__(
        self,
        playout: Playout,
        bitrate: int = 28_000,
        complexity: int = 5,
        sequence_number: int = 0,
        timestamp: int = 0,
        codec: AudioCodec = _OPUS,
    ) -> None:
        self.packets_sent = 0
        self.bytes_sent = 0
        """RTP payload bytes (the octet count of sender reports)."""
        self._playout = playout
        self._encoder = codec.encoding(bitrate, complexity)
        self._frame_ticks = self._encoder.clock_rate // 50
        self._sequence_number = sequence_number & 0xFFFF
        self._timestamp = timestamp & 0xFFFFFFFF
        self._sent_at: float | None = None
        self._sent_timestamp = self._timestamp
        self._silent_frames = _HANGOVER_FRAMES
        self._mark = False
        self._ahead = 0  # frames that the last packet held beyond its own
        self._loss = _ASSUMED_LOSS
        self._encoder.set_packet_loss(self.packet_loss_percent)

    @property
    def resting(self) -> bool:
        """Whether silence goes out in packets of 40 ms, or will when what is left of the speech is out."""
        return self._playout.resting

    def next_packet(self, now: float) -> RtpOut | None:
        """Encode and number the next 20 ms; None where the packet before was of 40 ms.

        Args:
            now: when it goes out; stamped on events and used for `rtp_timestamp`.
        """
        if self._ahead:
            self._ahead -= 1
            return None
        pcm, events = self._playout.next_frame(now)
        marker = self._mark
        frames = 1
        long_silence = self._encoder.long_silence
        if pcm is None and long_silence and self.resting and self._silent_frames >= _HANGOVER_FRAMES:
            payload, frames = long_silence, 2
        elif pcm is None:
            payload = self._silence()
        else:
            if self._silent_frames >= _HANGOVER_FRAMES:
                self._encoder.reset()
            marker = marker or self._silent_frames > 0
            self._silent_frames = 0
            payload = self._encoder.encode(pcm)
        packet = RtpOut(self._sequence_number, self._timestamp, marker, payload, tuple(events), pcm)
        self._mark = False
        self._sent_at, self._sent_timestamp = now, self._timestamp
        self._sequence_number = (self._sequence_number + 1) & 0xFFFF
        self._advance(frames)
        self._ahead = frames - 1
        self.packets_sent += 1
        self.bytes_sent += len(payload)
        return packet

    def skip(self, frames: int) -> None:
        """Let the timestamps run over missed time, so that they stay true; the queue stays where it is.

        The next packet is marked, as the first one after a pause in transmission.

        Args:
            frames: of 20 ms, 0 or more.
        """
        sent_ahead = min(frames, self._ahead)
        self._ahead -= sent_ahead
        self._advance(frames - sent_ahead)
        self._mark = self._mark or frames > sent_ahead

    def rtp_timestamp(self, now: float) -> int:
        """The RTP timestamp that corresponds to `now`, for sender reports (RFC 3550 section 6.4.1)."""
        elapsed = 0.0 if self._sent_at is None else now - self._sent_at
        return (self._sent_timestamp + round(elapsed * self._encoder.clock_rate)) & 0xFFFFFFFF

    def on_receiver_report(self, fraction_lost: float) -> None:
        """Adapt the redundancy to the loss that the far end reports: up at once, down over some reports.

        Until the first report 10 % are assumed, so that a lossy path is served from the first word.

        Args:
            fraction_lost: 0 to 1, of the packets since the last report.
        """
        fraction = min(max(fraction_lost, 0.0), 1.0)
        self._loss = max(fraction, 0.7 * self._loss + 0.3 * fraction)
        self._encoder.set_packet_loss(self.packet_loss_percent)

    @property
    def packet_loss_percent(self) -> int:
        """The loss that the encoder prepares for, in percent: 0 for less than 1 %, else 10 and more."""
        return 0 if self._loss < _NEGLIGIBLE_LOSS else max(round(100 * self._loss), _LEAST_LOSS_PERCENT)

    def close(self) -> None:
        """Free the encoder; `next_packet` must not be called any more."""
        self._encoder.close()

    def _advance(self, frames: int) -> None:
        self._timestamp = (self._timestamp + frames * self._frame_ticks) & 0xFFFFFFFF

    def _silence(self) -> bytes:
        if self._silent_frames >= _HANGOVER_FRAMES:
            return self._encoder.silence
        self._silent_frames += 1
        return self._encoder.encode(_ZEROS)
