"""Sound as telephone lines carry it: 8 kHz, as G.711 or as plain samples, from and to the rates of a call.

The filters are linear-phase and give exactly as many samples as the ratio asks for, so that 20 ms stay 20 ms; a general
resampler gives what it has, a few milliseconds late.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from media import g711
from media.values import RECEIVE_RATE, SEND_RATE, Pcm

Encoding: TypeAlias = Literal["mulaw", "alaw", "linear"]
"""G.711 in its two laws (a byte a sample), or s16le."""

PASS_HZ = 3_700.0
"""Where the filters have lost half of the amplitude; the band of a telephone ends at 3.4 kHz."""

_KAISER_BETA = 6.0
"""60 dB of what lies outside is gone."""

_DOWN, _UP = SEND_RATE // g711.RATE, RECEIVE_RATE // g711.RATE

_DECODE = {"mulaw": g711.decode_mu_law, "alaw": g711.decode_a_law}
_ENCODE = {"mulaw": g711.encode_mu_law, "alaw": g711.encode_a_law}


@dataclass(frozen=True, slots=True)
class WireFormat:
    """How a line carries sound.

    Attributes:
        encoding: of a sample.
        rate: Hz; of "linear" whatever the far end says, of G.711 8000.
    """

    encoding: Encoding
    rate: int = g711.RATE

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample."""
        return 2 if self.encoding == "linear" else 1


def to_linear(data: bytes, encoding: Encoding) -> bytes:
    """What a line brought, as s16le at the same rate."""
    decode = _DECODE.get(encoding)
    return data if decode is None else decode(data).astype("<i2", copy=False).tobytes()


def to_wire(pcm: Pcm, encoding: Encoding) -> bytes:
    """Samples as a line carries them, at the same rate."""
    encode = _ENCODE.get(encoding)
    return pcm.astype("<i2", copy=False).tobytes() if encode is None else encode(pcm)


class Narrower:
    """24 kHz in, 8 kHz out: what lies above the telephone's band is left out. Remembers 4 ms between two pieces."""

    def __init__(self) -> None:
        self._taps = _low_pass(97, SEND_RATE)
        self._before = _nothing(len(self._taps) - 1)
        self._skip = 0

    def feed(self, pcm: Pcm) -> Pcm:
        """Every third of the samples: shape (n,) in, (n / 3,) out, 2 ms late; of any n, one more or less."""
        if not len(pcm):
            return pcm
        signal = np.concatenate((self._before, pcm.astype(np.float32)))
        self._before = signal[len(signal) - len(self._taps) + 1 :]
        narrow = np.convolve(signal, self._taps, "valid")[self._skip :: _DOWN]
        self._skip = (self._skip - len(pcm)) % _DOWN
        return _rounded(narrow)

    def reset(self) -> None:
        """Forget what came before."""
        self._before = _nothing(len(self._taps) - 1)
        self._skip = 0


class Widener:
    """8 kHz in, 16 kHz out: the band stays what it is. Remembers 4 ms between two pieces."""

    def __init__(self) -> None:
        taps = _low_pass(64, RECEIVE_RATE) * _UP
        self._phases = [taps[phase::_UP] for phase in range(_UP)]
        self._before = _nothing(len(self._phases[0]) - 1)

    def feed(self, pcm: Pcm) -> Pcm:
        """Twice the samples: shape (n,) in, (2 n,) out; 2 ms late."""
        signal = np.concatenate((self._before, pcm.astype(np.float32)))
        self._before = signal[len(signal) - len(self._phases[0]) + 1 :]
        wide = np.empty(len(pcm) * _UP, np.float32)
        for phase, taps in enumerate(self._phases):
            wide[phase::_UP] = np.convolve(signal, taps, "valid")
        return _rounded(wide)

    def reset(self) -> None:
        """Forget what came before."""
        self._before = _nothing(len(self._phases[0]) - 1)


class WireEncoder:
    """What a call says (24 kHz) as a line carries it.

    Args:
        wire: 8 kHz, or "linear" at 24 kHz.

    Raises:
        ValueError: another rate.
    """

    def __init__(self, wire: WireFormat) -> None:
        if wire.rate not in (g711.RATE, SEND_RATE):
            raise ValueError(f"a line is told {g711.RATE} or {SEND_RATE} samples a second, not {wire.rate}")
        self._wire = wire
        self._narrower = Narrower() if wire.rate == g711.RATE else None

    def encode(self, pcm: Pcm) -> bytes:
        """The bytes of some samples, as long as these are."""
        return to_wire(pcm if self._narrower is None else self._narrower.feed(pcm), self._wire.encoding)


def _low_pass(taps: int, rate: int) -> NDArray[np.float32]:
    """A filter of gain one: a sinc under a Kaiser window."""
    at = np.arange(taps) - (taps - 1) / 2
    shape = np.sinc(2 * PASS_HZ / rate * at) * np.kaiser(taps, _KAISER_BETA)
    kept: NDArray[np.float32] = (shape / shape.sum()).astype(np.float32)
    return kept


def _nothing(samples: int) -> NDArray[np.float32]:
    return np.zeros(samples, np.float32)


def _rounded(signal: NDArray[np.float32]) -> Pcm:
    return np.clip(np.rint(signal), -32_768, 32_767).astype(np.int16)
