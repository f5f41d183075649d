"""G.711: the two companding laws of telephone lines, 8 kHz, one byte a sample (ITU-T G.711)."""

import numpy as np
from numpy.typing import NDArray

from media.values import Pcm

RATE = 8_000

_MU_BIAS = 0x84
_MU_CLIP = 32_635


def _mu_law_table() -> Pcm:
    codes = ~np.arange(256, dtype=np.int32) & 0xFF
    exponent, mantissa = (codes >> 4) & 7, codes & 0x0F
    magnitude = (((mantissa << 3) + _MU_BIAS) << exponent) - _MU_BIAS
    return np.where(codes & 0x80, -magnitude, magnitude).astype(np.int16)


def _a_law_table() -> Pcm:
    codes = np.arange(256, dtype=np.int32) ^ 0x55
    exponent, mantissa = (codes >> 4) & 7, codes & 0x0F
    small = (mantissa << 4) + 8
    magnitude = np.where(exponent == 0, small, (small + 0x100) << np.maximum(exponent - 1, 0))
    return np.where(codes & 0x80, magnitude, -magnitude).astype(np.int16)


_MU_LAW, _A_LAW = _mu_law_table(), _a_law_table()


def decode_mu_law(data: bytes) -> Pcm:
    """Samples of mu-law bytes, shape (len(data),)."""
    return _MU_LAW[np.frombuffer(data, np.uint8)]


def decode_a_law(data: bytes) -> Pcm:
    """Samples of A-law bytes, shape (len(data),)."""
    return _A_LAW[np.frombuffer(data, np.uint8)]


def encode_mu_law(pcm: Pcm) -> bytes:
    """Samples as mu-law bytes."""
    samples = pcm.astype(np.int32)
    magnitude = np.minimum(np.abs(samples), _MU_CLIP) + _MU_BIAS
    exponent = _exponent(magnitude)
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    codes = ~(np.where(samples < 0, 0x80, 0) | (exponent << 4) | mantissa) & 0xFF
    return bytes(codes.astype(np.uint8))


def encode_a_law(pcm: Pcm) -> bytes:
    """Samples as A-law bytes."""
    samples = pcm.astype(np.int32)
    magnitude = np.minimum(np.where(samples < 0, -samples - 1, samples), 32_767)
    exponent = np.where(magnitude < 0x100, 0, _exponent(magnitude))
    mantissa = np.where(exponent == 0, magnitude >> 4, magnitude >> (exponent + 3)) & 0x0F
    codes = (np.where(samples < 0, 0, 0x80) | (exponent << 4) | mantissa) ^ 0x55
    return bytes(codes.astype(np.uint8))


def _exponent(magnitude: NDArray[np.int32]) -> NDArray[np.int32]:
    """Number of the segment (0 to 7) that a magnitude lies in: that of its highest bit, from bit 7 on."""
    found: NDArray[np.int32] = np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int32) - 7
    return np.clip(found, 0, 7)
