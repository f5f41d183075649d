"""The codecs of a call over RTP: Opus, and the two laws of G.711 for far ends that have no Opus.

Behind the decoders the clock runs at 48 kHz whatever the codec's own does, so that one jitter buffer serves all: 8 kHz
timestamps count six times. What differs is put here, a class each way for each kind of codec.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np

from media import g711
from media.opus import (
    CLOCK_RATE,
    DTX_SILENCE,
    LONG_SILENCE,
    SILENCE,
    OpusDecoder,
    OpusEncoder,
    OpusError,
    has_fec,
    packet_duration,
)
from media.opus_format import OpusFormat
from media.telephone_band import Encoding, Narrower, Widener, to_linear, to_wire
from media.values import RECEIVE_RATE, SEND_RATE, Pcm

CodecName: TypeAlias = Literal["opus", "PCMU", "PCMA"]

_LAWS: dict[CodecName, Encoding] = {"PCMU": "mulaw", "PCMA": "alaw"}

FRAME_BYTES = g711.RATE // 50
"""Of G.711 in 20 ms."""

MAX_G711 = 12 * FRAME_BYTES // 2
"""Bytes of a payload; 120 ms, as of Opus."""


@dataclass(frozen=True, slots=True)
class AudioCodec:
    """What was negotiated for the audio.

    Attributes:
        name: of the codec, as SDP has it.
        payload_type: of it.
        key_payload_type: of telephone events (RFC 4733); None where the far end sends none.
    """

    name: CodecName
    payload_type: int
    key_payload_type: int | None = None

    @property
    def clock_rate(self) -> int:
        """Of its RTP timestamps, Hz."""
        return CLOCK_RATE if self.name == "opus" else g711.RATE

    def decoding(self) -> "Decoding":
        """A new decoder."""
        return OpusDecoding(RECEIVE_RATE) if self.name == "opus" else G711Decoding(_LAWS[self.name])

    def encoding(self, form: OpusFormat, complexity: int) -> "EncodingOut":
        """A new encoder; form and complexity are for Opus."""
        if self.name == "opus":
            return OpusEncoding(form, complexity)
        return G711Encoding(_LAWS[self.name])


class Decoding(Protocol):
    """Payloads in, 16 kHz out. Raises `OpusError` for payloads that cannot be decoded."""

    def ticks(self, payload: bytes) -> int:
        """Length of a payload, at 48 kHz."""

    def has_redundancy(self, payload: bytes) -> bool:
        """Whether it has the frame before in it, too (`decode_fec`)."""

    def decode(self, payload: bytes) -> Pcm:
        """Its sound."""

    def decode_fec(self, payload: bytes, samples: int) -> Pcm:
        """The sound of the frame before it."""

    def conceal(self, samples: int) -> Pcm:
        """Something in place of what is lost."""

    def reset(self) -> None:
        """Another stream begins."""

    def close(self) -> None:
        """Free everything."""


class EncodingOut(Protocol):
    """24 kHz in, payloads out.

    Attributes:
        clock_rate: of the RTP timestamps, Hz.
        packet_ms: length of a packet of sound, 20, 40 or 60.
        silence: payload of 20 ms of it.
        long_silence: of 40 ms; None where there is none.
        dtx_silence: payload that says now and then that silence goes on which is not sent; None where all is sent.
    """

    clock_rate: int
    packet_ms: int
    silence: bytes
    long_silence: bytes | None
    dtx_silence: bytes | None

    def encode(self, pcm: Pcm) -> bytes:
        """The payload of 20 ms, shape (480,), or of up to `packet_ms`."""

    def set_packet_loss(self, percent: int) -> None:
        """So much is lost on the way."""

    def reset(self) -> None:
        """Sound begins again behind silence."""

    def close(self) -> None:
        """Free everything."""


class OpusDecoding(OpusDecoder):
    """Implements `Decoding`."""

    @staticmethod
    def ticks(payload: bytes) -> int:
        """See `Decoding`."""
        return packet_duration(payload)

    @staticmethod
    def has_redundancy(payload: bytes) -> bool:
        """See `Decoding`."""
        return has_fec(payload)


class OpusEncoding(OpusEncoder):
    """Implements `EncodingOut`."""

    clock_rate = CLOCK_RATE
    silence = SILENCE
    long_silence: bytes | None = LONG_SILENCE

    def __init__(self, form: OpusFormat, complexity: int) -> None:
        super().__init__(
            SEND_RATE, form.bitrate, complexity, fec=form.fec, cbr=form.cbr, playback_rate=form.playback_rate
        )
        self.packet_ms = form.packet_ms
        self.dtx_silence = DTX_SILENCE if form.dtx else None


class G711Decoding:
    """Implements `Decoding` for a law. What is lost sounds as what came last; the caller fades it out."""

    def __init__(self, law: Encoding) -> None:
        self._law = law
        self._widener = Widener()
        self._last: Pcm = np.zeros(FRAME_BYTES * 2, np.int16)

    def ticks(self, payload: bytes) -> int:
        """See `Decoding`."""
        if not 0 < len(payload) <= MAX_G711:
            raise OpusError(f"{len(payload)} bytes of G.711 in a packet, at most {MAX_G711} are taken")
        return len(payload) * CLOCK_RATE // g711.RATE

    def has_redundancy(self, payload: bytes) -> bool:
        """See `Decoding`: G.711 has none."""
        return False

    def decode(self, payload: bytes) -> Pcm:
        """See `Decoding`."""
        self._last = self._widener.feed(np.frombuffer(to_linear(payload, self._law), "<i2"))
        return self._last

    def decode_fec(self, payload: bytes, samples: int) -> Pcm:
        """See `Decoding`: never asked for."""
        return self.conceal(samples)

    def conceal(self, samples: int) -> Pcm:
        """See `Decoding`."""
        return np.resize(self._last, samples)

    def reset(self) -> None:
        """See `Decoding`."""
        self._widener.reset()
        self._last = np.zeros_like(self._last)

    def close(self) -> None:
        """See `Decoding`."""


class G711Encoding:
    """Implements `EncodingOut` for a law."""

    clock_rate = g711.RATE
    packet_ms = 20
    long_silence: bytes | None = None
    dtx_silence: bytes | None = None

    def __init__(self, law: Encoding) -> None:
        self.silence = to_wire(np.zeros(FRAME_BYTES, np.int16), law)
        self._law = law
        self._narrower = Narrower()

    def encode(self, pcm: Pcm) -> bytes:
        """See `EncodingOut`."""
        return to_wire(self._narrower.feed(pcm), self._law)

    def set_packet_loss(self, percent: int) -> None:
        """See `EncodingOut`: nothing can be done about it."""

    def reset(self) -> None:
        """See `EncodingOut`."""
        self._narrower.reset()

    def close(self) -> None:
        """See `EncodingOut`."""
