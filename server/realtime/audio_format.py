"""Audio as it travels in events: base64 of 24 kHz samples, or of G.711 at 8 kHz."""

import base64
import binascii
from typing import Any

import numpy as np
import soxr

from media import g711
from media.audio_file import PcmStream
from media.values import RECEIVE_RATE, SEND_RATE, Pcm
from server.realtime.errors import RealtimeError

PCM_RATE = 24_000


class Decoder:
    """Base64 in, 16 kHz samples out; remembers half samples and the resampler's state between two events.

    Args:
        wire: "format" of the session's input.
    """

    def __init__(self, wire: dict[str, Any]) -> None:
        self.wire = wire
        law = wire["type"] != "audio/pcm"
        self._stream = PcmStream(g711.RATE if law else PCM_RATE, RECEIVE_RATE)
        self._law = {"audio/pcmu": g711.decode_mu_law, "audio/pcma": g711.decode_a_law}.get(wire["type"])

    def decode(self, text: str, param: str, *, last: bool = False) -> Pcm:
        """The samples of an event, shape (n,).

        Raises:
            RealtimeError: it is no base64.
        """
        try:
            data = base64.b64decode(text.encode("ascii"), validate=True)
        except (binascii.Error, ValueError):
            message = f"Invalid '{param}': expected base64 of {self.wire['type']}."
            raise RealtimeError("invalid_value", message, param) from None
        if self._law is not None:
            data = self._law(data).astype("<i2").tobytes()
        return self._stream.feed(data, last=last)


class Encoder:
    """24 kHz samples in, bytes of the wire out.

    Args:
        wire: "format" of the session's output.
    """

    def __init__(self, wire: dict[str, Any]) -> None:
        self.wire = wire
        self._law = {"audio/pcmu": g711.encode_mu_law, "audio/pcma": g711.encode_a_law}.get(wire["type"])
        self._resampler = soxr.ResampleStream(SEND_RATE, g711.RATE, 1, dtype="int16") if self._law else None

    def encode(self, pcm: Pcm) -> bytes:
        """The bytes of some samples; of G.711 a few milliseconds come with the next."""
        if self._law is None or self._resampler is None:
            return pcm.astype("<i2", copy=False).tobytes()
        resampled: Pcm = self._resampler.resample_chunk(pcm)
        return self._law(resampled) if len(resampled) else b""


def silence(seconds: float) -> Pcm:
    """So much of it, at 16 kHz."""
    return np.zeros(round(seconds * RECEIVE_RATE), np.int16)
