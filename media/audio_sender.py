"""The outgoing audio of a call: from the queue to RTP packets, one per 20 ms."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from media.codecs import AudioCodec
from media.opus_format import OpusFormat
from media.playout import FRAME_SAMPLES, Playout
from media.values import FRAME_S, Pcm, PlayoutEvent

MAX_STALL_S = 0.06
"""A stall of the loop up to this long is caught up with a burst; a longer one is skipped."""

_OPUS = AudioCodec("opus", 96)
_HANGOVER_FRAMES = 2
_ASSUMED_LOSS = 0.1
_NEGLIGIBLE_LOSS = 0.01
_LEAST_LOSS_PERCENT = 10  # below 8 % libopus spends nothing on redundancy at 28 kbit/s
_DTX_FRAMES = 20
"""Frames from one packet of a silence that is not sent to the next: 400 ms, as libopus does."""
_USUAL = OpusFormat()
_ZEROS: Pcm = np.zeros(FRAME_SAMPLES, dtype=np.int16)


@dataclass(frozen=True, slots=True)
class RtpOut:
    """One packet to send.

    Attributes:
        sequence_number: 16 bit.
        timestamp: 32 bit, at the clock rate of the codec.
        marker: first packet of a talk spurt (RFC 3551 section 4.1).
        payload: what the codec makes of it.
    """

    sequence_number: int
    timestamp: int
    marker: bool
    payload: bytes


@dataclass(frozen=True, slots=True)
class OutFrame:
    """20 ms of the outgoing stream.

    Attributes:
        packet: to send now; None where an earlier one held this frame too, or silence is not sent.
        pcm: the sound, shape (480,); None for silence.
        events: what happened in the queue at this frame; to hand to `PeerListener.on_playout`.
    """

    packet: RtpOut | None
    pcm: Pcm | None = None
    events: Sequence[PlayoutEvent] = ()


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

    The driver: `due = clock.due(now)`, `sender.skip(due.skipped)`, then `next_frame(now)` for each of `due.frames`.

    Frames are encoded just in time: 0.2 ms of one core for 20 ms of speech at complexity 5 (see
    `python -m bench.media_cores`), 1 % of a core while the voice speaks, and nothing to take back at a barge-in.
    Silence costs no encoder: two frames of it are encoded after speech (the first carries the last 6.5 ms of speech,
    the encoder's look-ahead), then a constant 3-byte CELT frame is sent, or one of 40 ms where the queue rests: packets
    cost more than anything else in a silent call. A decoder starts its speech mode anew after a
    CELT frame (RFC 6716 section 4.5.2), so the encoder is reset at the onset too, and both start from zero.

    Packets of 40 or 60 ms take their later frames from the queue ahead of time, so that sound begins no later than with
    20 ms; it ends or is cut up to 20 or 40 ms later.

    Args:
        playout: the queue.
        form: how Opus is sent.
        complexity: of its encoder, 0 to 10.
        sequence_number: of the first packet; random (RFC 3550 section 5.1).
        timestamp: of the first packet; random.
        codec: that was negotiated.
    """

    def __init__(
        self,
        playout: Playout,
        form: OpusFormat = _USUAL,
        complexity: int = 5,
        sequence_number: int = 0,
        timestamp: int = 0,
        codec: AudioCodec = _OPUS,
    ) -> None:
        self.packets_sent = 0
        self.bytes_sent = 0
        """RTP payload bytes (the octet count of sender reports)."""
        self._playout = playout
        self._encoder = codec.encoding(form, complexity)
        self._frame_ticks = self._encoder.clock_rate // 50
        self._sequence_number = sequence_number & 0xFFFF
        self._timestamp = timestamp & 0xFFFFFFFF
        self._sent_at: float | None = None
        self._sent_timestamp = self._timestamp
        self._silent_frames = _HANGOVER_FRAMES
        self._mark = False
        self._ahead = 0  # frames that the last packet held beyond its own
        self._held: deque[tuple[Pcm | None, Sequence[PlayoutEvent]]] = deque()  # what those were, where they were sound
        self._untold: list[PlayoutEvent] = []
        self._unsent = 0  # frames of silence since the last packet, where silence is not sent
        self._loss = _ASSUMED_LOSS
        self._encoder.set_packet_loss(self.packet_loss_percent)

    @property
    def resting(self) -> bool:
        """Whether silence goes out in packets of 40 ms, or will when what is left of the speech is out."""
        return self._playout.resting and not self._held

    def next_frame(self, now: float) -> OutFrame:
        """The next 20 ms, and the packet that begins with them.

        Args:
            now: when it goes out; stamped on events and used for `rtp_timestamp`.
        """
        untold, self._untold = self._untold, []
        if self._ahead:
            self._ahead -= 1
            if not self._held:
                return OutFrame(None, None, untold)
            held, events = self._held.popleft()
            return OutFrame(None, held, [*untold, *events])
        pcm, happened = self._playout.next_frame(now)
        packet = self._silence(now) if pcm is None else self._speech(pcm, now)
        return OutFrame(packet, pcm, [*untold, *happened])

    def skip(self, frames: int) -> None:
        """Let the timestamps run over missed time, so that they stay true; the queue stays where it is.

        The next packet is marked, as the first one after a pause in transmission.

        Args:
            frames: of 20 ms, 0 or more.
        """
        sent_ahead = min(frames, self._ahead)
        self._ahead -= sent_ahead
        for _ in range(min(sent_ahead, len(self._held))):
            self._untold += self._held.popleft()[1]
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
        """Free the encoder; `next_frame` must not be called any more."""
        self._encoder.close()

    def _speech(self, pcm: Pcm, now: float) -> RtpOut:
        """A packet of sound; its further frames are taken from the queue now and told when they are due."""
        if self._silent_frames >= _HANGOVER_FRAMES:
            self._encoder.reset()
        marker = self._silent_frames > 0
        self._silent_frames = self._unsent = 0
        frames = self._encoder.packet_ms // 20
        sound = [pcm]
        for ahead in range(1, frames):
            more, events = self._playout.next_frame(now + ahead * FRAME_S)
            self._held.append((more, events))
            sound.append(_ZEROS if more is None else more)
        return self._packet(self._encoder.encode(pcm if frames == 1 else np.concatenate(sound)), now, frames, marker)

    def _silence(self, now: float) -> RtpOut | None:
        if self._silent_frames < _HANGOVER_FRAMES:
            self._silent_frames += 1
            return self._packet(self._encoder.encode(_ZEROS), now)
        encoder = self._encoder
        if encoder.dtx_silence is not None:
            return self._little_silence(encoder.dtx_silence, now)
        if encoder.long_silence is not None and self.resting:
            return self._packet(encoder.long_silence, now, 2)
        return self._packet(encoder.silence, now)

    def _little_silence(self, sign: bytes, now: float) -> RtpOut | None:
        """One frame that leaves the decoder at zero, then a sign of life now and then."""
        turn, self._unsent = self._unsent % _DTX_FRAMES, self._unsent + 1
        if turn == 0:
            return self._packet(self._encoder.silence if self._unsent == 1 else sign, now)
        self._advance(1)
        return None

    def _packet(self, payload: bytes, now: float, frames: int = 1, marker: bool = False) -> RtpOut:
        packet = RtpOut(self._sequence_number, self._timestamp, marker or self._mark, payload)
        self._mark = False
        self._sent_at, self._sent_timestamp = now, self._timestamp
        self._sequence_number = (self._sequence_number + 1) & 0xFFFF
        self._advance(frames)
        self._ahead = frames - 1
        self.packets_sent += 1
        self.bytes_sent += len(payload)
        return packet

    def _advance(self, frames: int) -> None:
        self._timestamp = (self._timestamp + frames * self._frame_ticks) & 0xFFFFFFFF
