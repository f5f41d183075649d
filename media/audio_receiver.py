"""The incoming audio of a call: from RTP packets to 20 ms frames for the models."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from media.codecs import AudioCodec
from media.jitter_buffer import JitterBuffer
from media.jitter_slots import Lost, Packet
from media.opus import CLOCK_RATE, OpusError
from media.rtcp import ReceptionStatistics
from media.rtp import RtpPacket
from media.telephone_events import TelephoneEvents
from media.values import RECEIVE_RATE, AudioFrame, Pcm

FRAME_SAMPLES = RECEIVE_RATE // 50
"""Samples of a frame: 20 ms."""

_TICKS_PER_SAMPLE = CLOCK_RATE // RECEIVE_RATE
_PLC_STEP_TICKS = CLOCK_RATE // 400
_SWITCH_AFTER_S = 0.1
_SILENT_PAYLOAD = 8
"""Bytes: a payload of digital silence has no more (three in libopus)."""
# Gain at the start and end of the first, second ... frame of concealment in a row. libopus fades too, but slowly and
# only down to its guess of the background; here zeros follow after three frames that are lost, and must not
# cut into a sound.
_CONCEALMENT_FADE = ((1.0, 1.0), (1.0, 0.5), (0.5, 0.0))


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
    """One incoming audio stream: jitter buffer, decoder, concealment, frames. Sans-I/O.

    All times are `time.monotonic()` seconds. Never raises for what comes from the network.

    Args:
        codec: that was negotiated, or the payload type of Opus. Packets of other types (comfort noise) only keep the
            sequence going.
    """

    def __init__(self, codec: AudioCodec | int) -> None:
        self.keys: deque[str] = deque(maxlen=64)
        """Keys of a telephone that were pressed; they are taken out by the reader."""
        self.reception: ReceptionStatistics | None = None
        """For receiver reports; None before the first packet. Another SSRC starts other statistics."""
        self.last_packet_at: float | None = None
        """Arrival of the last RTP packet, of any payload type."""
        self._codec = AudioCodec("opus", codec) if isinstance(codec, int) else codec
        self._ticks = CLOCK_RATE // self._codec.clock_rate
        self._events = TelephoneEvents()
        self._buffer = JitterBuffer(CLOCK_RATE)
        self._decoder = self._codec.decoding()
        self._packets = self._bytes = self._undecodable = self._fec_recovered = self._concealed = 0
        self._ssrc: int | None = None
        self._heard_at = 0.0
        self._stranger: tuple[RtpPacket, float] | None = None
        self._concealed_in_a_row = 0
        self._silent_payload: bytes | None = None
        self._held: Pcm = np.empty(0, dtype=np.int16)
        self._before_switch: list[AudioFrame] = []
        self._odd_ticks = 0
        self._last_at = float("-inf")
        self._closed = False

    @property
    def ssrc(self) -> int | None:
        """The sender that is heard now."""
        return self._ssrc

    def take(self, packet: RtpPacket, now: float) -> None:
        """Take an RTP packet; `poll` returns the frames that it completes.

        Args:
            packet: an empty payload is dropped before the decoder.
            now: arrival.
        """
        if self._closed:
            return
        self.last_packet_at = now
        if packet.ssrc != self._ssrc:
            if not self._may_switch(packet.ssrc, now):
                self._replace_stranger((packet, now))
                return
            self._before_switch += self.poll(now)
            self._switch(packet.ssrc)
        elif self._stranger is not None:
            self._replace_stranger(None)
        self._take(packet, now)

    def poll(self, now: float) -> list[AudioFrame]:
        """Frames that have become due by the passing of time. Call every 20 ms."""
        frames, self._before_switch = self._before_switch, []
        if self._closed:
            return frames
        for slot in self._buffer.pop(now):
            samples = self._samples(slot.duration)
            if isinstance(slot, Packet):
                self._cut(self._decode(slot, samples), slot.at, frames)
            elif isinstance(slot, Lost):
                self._cut(self._conceal(slot, samples), slot.at, frames)
            else:
                self._cut(np.zeros(samples, dtype=np.int16), slot.at, frames, spread=True, missing=slot.missing)
        return frames

    def bye(self, ssrc: int) -> None:
        """RTCP BYE: silence from now on, unless the sender goes on all the same."""
        if ssrc == self._ssrc:
            self._buffer.expect_silence()

    def stats(self) -> ReceiverStats:
        """The counters as of now, over all SSRCs."""
        return ReceiverStats(
            packets_received=self._packets,
            packets_lost=self._buffer.lost,
            packets_discarded=self._buffer.discarded + self._undecodable,
            bytes_received=self._bytes,
            fec_recovered=self._fec_recovered,
            concealed=self._concealed,
            jitter_s=0.0 if self.reception is None else self.reception.jitter_s,
            jitter_buffer_s=self._buffer.delay_s,
        )

    def close(self) -> None:
        """Free the decoder; packets are ignored from then on."""
        self._closed = True
        self._decoder.close()

    # Which sender is heard.

    def _may_switch(self, ssrc: int, now: float) -> bool:
        """Whether another SSRC takes over: at once when the old one is silent, else with its second packet in a row."""
        if self._ssrc is None or now - self._heard_at >= _SWITCH_AFTER_S:
            return True
        return self._stranger is not None and self._stranger[0].ssrc == ssrc

    def _replace_stranger(self, stranger: tuple[RtpPacket, float] | None) -> None:
        if self._stranger is not None:
            self._undecodable += 1
        self._stranger = stranger

    def _switch(self, ssrc: int) -> None:
        if self._ssrc is not None:
            self._buffer.restart()
            self._decoder.reset()
        self._ssrc = ssrc
        self._events.restart()
        self.reception = ReceptionStatistics(ssrc, self._codec.clock_rate)
        stranger, self._stranger = self._stranger, None
        if stranger is not None and stranger[0].ssrc == ssrc:
            self._take(*stranger)
        elif stranger is not None:
            self._undecodable += 1

    # From packets to audio.

    def _take(self, packet: RtpPacket, at: float) -> None:
        self._heard_at = at
        self._packets += 1
        self._bytes += len(packet.payload)
        if self.reception is not None:
            self.reception.received(packet.sequence_number, packet.timestamp, at)
        duration = 0
        if packet.payload_type == self._codec.key_payload_type:
            key = self._events.take(packet.payload, packet.timestamp)
            if key is not None:
                self.keys.append(key)
        elif packet.payload_type == self._codec.payload_type:
            if packet.payload:
                try:
                    duration = self._decoder.ticks(packet.payload)
                except OpusError:
                    # Not pushed, so that its place counts as lost and the next packet's redundancy can fill it.
                    self._undecodable += 1
                    return
            else:
                self._undecodable += 1
        timestamp = packet.timestamp * self._ticks & 0xFFFFFFFF
        self._buffer.push(packet.sequence_number, timestamp, packet.payload, duration, at)

    def _decode(self, packet: Packet, samples: int) -> Pcm:
        if packet.payload == self._silent_payload:
            self._concealed_in_a_row = 0
            # A muted microphone: the decoder has come to rest on this payload and would say the same again.
            return np.zeros(samples, dtype=np.int16)
        try:
            pcm = _last(self._decoder.decode(packet.payload), samples)
        except OpusError:
            self._undecodable += 1
            self._concealed += 1
            return self._extrapolate(packet.duration, samples)
        self._concealed_in_a_row = 0
        silent = len(packet.payload) <= _SILENT_PAYLOAD and not pcm.any()
        self._silent_payload = packet.payload if silent else None
        return pcm

    def _conceal(self, lost: Lost, samples: int) -> Pcm:
        if lost.next_payload is not None and self._decoder.has_redundancy(lost.next_payload):
            try:
                pcm = self._decoder.decode_fec(lost.next_payload, _plc_samples(lost.duration))
            except OpusError:
                self._undecodable += 1
            else:
                self._fec_recovered += 1
                self._concealed_in_a_row = 0
                return _last(pcm, samples)
        self._concealed += 1
        return self._extrapolate(lost.duration, samples)

    def _extrapolate(self, duration: int, samples: int) -> Pcm:
        begin, end = (0.0, 0.0)
        if self._concealed_in_a_row < len(_CONCEALMENT_FADE):
            begin, end = _CONCEALMENT_FADE[self._concealed_in_a_row]
        self._concealed_in_a_row += 1
        try:
            pcm = _first(self._decoder.conceal(_plc_samples(duration)), samples)
            return pcm if begin == end == 1.0 else (pcm * np.linspace(begin, end, samples)).astype(np.int16)
        except OpusError:
            # libopus documents no such case; a newly made decoder and silence are what is left.
            self._decoder.close()
            self._decoder = self._codec.decoding()
            return np.zeros(samples, dtype=np.int16)

    def _samples(self, duration: int) -> int:
        """Ticks to samples; what does not divide is carried over, so that no time is lost in the long run."""
        samples, self._odd_ticks = divmod(duration + self._odd_ticks, _TICKS_PER_SAMPLE)
        return samples

    def _cut(
        self, pcm: Pcm, at: float, frames: list[AudioFrame], *, spread: bool = False, missing: bool = False
    ) -> None:
        """Cut into frames what has come together.

        Args:
            pcm: the next audio.
            at: when its last sample arrived.
            frames: where to put them.
            spread: whether its samples arrived one after the other, and not all with the last.
            missing: see `AudioFrame`.
        """
        if self._held.size:
            pcm = np.concatenate((self._held, pcm))
        end = len(pcm) - len(pcm) % FRAME_SAMPLES
        for start in range(0, end, FRAME_SAMPLES):
            behind = (len(pcm) - start - FRAME_SAMPLES) / RECEIVE_RATE if spread else 0.0
            self._last_at = max(self._last_at, at - behind)
            frames.append(AudioFrame(pcm[start : start + FRAME_SAMPLES], self._last_at, missing, at - behind))
        self._held = pcm[end:]


def _plc_samples(duration: int) -> int:
    """What libopus must be asked for to cover a duration: it conceals in steps of 2.5 ms, at most 120 ms."""
    return -(-duration // _PLC_STEP_TICKS) * _PLC_STEP_TICKS // _TICKS_PER_SAMPLE


def _last(pcm: Pcm, samples: int) -> Pcm:
    """The last samples; where one more is wanted than there are (rounding of ticks), the first is repeated."""
    if len(pcm) < samples:
        return np.pad(pcm, (samples - len(pcm), 0), mode="edge")
    return pcm[len(pcm) - samples :]


def _first(pcm: Pcm, samples: int) -> Pcm:
    """The first samples; where one more is wanted than there are (rounding of ticks), the last is repeated."""
    if len(pcm) < samples:
        return np.pad(pcm, (0, samples - len(pcm)), mode="edge")
    return pcm[:samples]
