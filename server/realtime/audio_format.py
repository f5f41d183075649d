"""Audio as it travels in events: base64 of 24 kHz samples, or of G.711 at 8 kHz."""

import binascii
from typing import Any

import numpy as np

from media import g711
from media.audio_file import PcmStream
from media.telephone_band import WireEncoder, WireFormat
from media.values import RECEIVE_RATE, SEND_RATE, Pcm
from server.realtime.errors import RealtimeError

PCM_RATE = 24_000

_WIRES = {
    "audio/pcm": WireFormat("linear", SEND_RATE),
    "audio/pcmu": WireFormat("mulaw"),
    "audio/pcma": WireFormat("alaw"),
}
"""How a reply travels, by the type of its format."""


class Decoder:
    """Base64 in, 16 kHz samples out; remembers half samples and the resampler's state between two events.

    Args:
        wire: "format" of the session's input.
    """

    def __init__(self, wire: dict[str, Any]) -> None:
        self.wire = wire
        law = wire["type"] != "audio/pcm"
        self._stream = PcmStream(g711.RATE if law else PCM_RATE, RECEIVE_RATE, live=True)
        self._law = {"audio/pcmu": g711.decode_mu_law, "audio/pcma": g711.decode_a_law}.get(wire["type"])

    def decode(self, text: str, param: str, *, last: bool = False) -> Pcm:
        """The samples of an event, shape (n,).

        Raises:
            RealtimeError: it is no base64.
        """
        try:
            data = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
        except (binascii.Error, ValueError):
            message = f"Invalid '{param}': expected base64 of {self.wire['type']}."
            raise RealtimeError("invalid_value", message, param) from None
        if self._law is not None:
            data = self._law(data).astype("<i2").tobytes()
        return self._stream.feed(data, last=last)


def encoder_of(wire: dict[str, Any]) -> WireEncoder:
    """Makes 24 kHz samples what the "format" of a session's output says, each piece as long as it is."""
    return WireEncoder(_WIRES[wire["type"]])


def silence(seconds: float) -> Pcm:
    """So much of it, at 16 kHz."""
    return np.zeros(round(seconds * RECEIVE_RATE), np.int16)
