"""Opus (RFC 6716) through a thin ctypes binding onto libopus, with no more of it than the wire needs."""

import ctypes
import ctypes.util
import importlib.util
import platform
from functools import cache
from pathlib import Path

import numpy as np

from media.values import RECEIVE_RATE, SEND_RATE, MediaError, Pcm

CLOCK_RATE = 48_000
"""RTP clock rate (Hz) of Opus whatever the audio's own rate is (RFC 7587 section 4.1)."""

SILENCE = b"\xf8\xff\xfe"
"""A mono 20 ms CELT frame that decodes to zeros: silence that needs no encoder."""

LONG_SILENCE = b"\xf9\xff\xfe\xff\xfe"
"""Two such frames in one packet: 40 ms (RFC 6716 section 3.2.3)."""

DTX_SILENCE = b"\xf8"
"""A frame of nothing: the sender is silent and says no more for a while (RFC 6716 section 3.2.1)."""

MAX_PACKET_S = 0.12
"""Longest stretch of audio in one packet (RFC 6716 section 3.2.5)."""

MAX_PAYLOAD = 1275
"""Largest Opus frame in bytes (RFC 6716 section 3.2.1)."""

_MAX_FRAMES = 48
_INVALID_PACKET = -4
_APPLICATION_VOIP = 2048
_SET_BITRATE = 4002
_SET_MAX_BANDWIDTH = 4004
_SET_VBR = 4006
_SET_COMPLEXITY = 4010
_SET_INBAND_FEC = 4012
_SET_PACKET_LOSS_PERC = 4014
_SET_DTX = 4016
_SET_SIGNAL = 4024
_SIGNAL_VOICE = 3001
_RESET_STATE = 4028
_BANDWIDTHS = ((8_000, 1101), (12_000, 1102), (16_000, 1103), (24_000, 1104))
"""Playback rates up to which libopus is held to a bandwidth, narrow to super-wide."""


class OpusError(MediaError):
    """libopus refused: a malformed payload or an argument out of its range."""


class OpusLibraryError(MediaError):
    """libopus cannot be loaded; the message says where it was looked for."""


@cache
def _library() -> ctypes.PyDLL:
    """Load libopus once per process: the one in the wheel `opuslib-next-bundled`, else the system's.

    PyDLL and not CDLL: a call takes 10-150 us, and giving the GIL away for that long invites any busy Python thread to
    take it and keep it for its whole switch interval (5 ms). Beside three busy threads a decode took 0.11 ms through
    PyDLL and 12.6 ms through CDLL, in the median (`python -m bench.media_cores` prints both).
    """
    path = _bundled_library() or ctypes.util.find_library("opus")
    if path is None:
        raise OpusLibraryError(
            "libopus not found: neither in the package opuslib-next-bundled nor as a system library (install libopus0)"
        )
    try:
        lib = ctypes.PyDLL(path)
    except OSError as error:
        raise OpusLibraryError(f"libopus at {path} cannot be loaded: {error}") from error
    _declare(lib)
    return lib


def _bundled_library() -> str | None:
    # Found without importing the package, whose import loads the library a second time through CDLL.
    spec = importlib.util.find_spec("opuslib_next")
    if spec is None or not spec.submodule_search_locations:
        return None
    name = {"Darwin": "libopus.dylib", "Windows": "opus.dll"}.get(platform.system(), "libopus.so")
    path = Path(spec.submodule_search_locations[0]) / "_native" / name
    return str(path) if path.exists() else None


def _declare(lib: ctypes.CDLL) -> None:
    """Give the functions their C types. The ctl functions are variadic: only the fixed arguments are declared."""
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    int32 = ctypes.c_int32
    declarations: dict[str, tuple[object, list[object]]] = {
        "opus_strerror": (ctypes.c_char_p, [integer]),
        "opus_get_version_string": (ctypes.c_char_p, []),
        "opus_packet_get_nb_samples": (integer, [ctypes.c_char_p, int32, int32]),
        "opus_packet_parse": (integer, [ctypes.c_char_p, int32, pointer, pointer, pointer, pointer]),
        "opus_decoder_create": (pointer, [int32, integer, pointer]),
        "opus_decoder_destroy": (None, [pointer]),
        "opus_decoder_ctl": (integer, [pointer, integer]),
        "opus_decode": (integer, [pointer, ctypes.c_char_p, int32, pointer, integer, integer]),
        "opus_encoder_create": (pointer, [int32, integer, integer, pointer]),
        "opus_encoder_destroy": (None, [pointer]),
        "opus_encoder_ctl": (integer, [pointer, integer]),
        "opus_encode": (int32, [pointer, pointer, integer, pointer, int32]),
    }
    for name, (restype, argtypes) in declarations.items():
        function = getattr(lib, name)
        function.restype = restype
        function.argtypes = argtypes


def _error(code: int, doing: str) -> OpusError:
    reason: bytes = _library().opus_strerror(code)
    return OpusError(f"{doing}: {reason.decode()} ({code})")


_FRAME_DURATIONS = (480, 960, 1920, 2880) * 3 + (480, 960) * 2 + (120, 240, 480, 960) * 4
"""Ticks of a frame by the configuration in the first byte (RFC 6716 section 3.1)."""


def packet_duration(payload: bytes) -> int:
    """Length of the audio in a payload, in RTP clock ticks (48 kHz), read from its header alone.

    Raises:
        OpusError: the header is malformed (RFC 6716 section 3.4).
    """
    if payload and not payload[0] & 3:
        return _FRAME_DURATIONS[payload[0] >> 3]  # one frame, as nearly always
    samples: int = _library().opus_packet_get_nb_samples(payload, len(payload), CLOCK_RATE)
    if samples <= 0:
        raise _error(samples or _INVALID_PACKET, f"payload of {len(payload)} bytes")
    return samples


def has_fec(payload: bytes) -> bool:
    """Whether the payload carries low bit-rate redundancy (LBRR) of the audio before it (RFC 6716 section 4.2.4).

    False for malformed payloads and for CELT-only frames, which have none.
    """
    if not payload or payload[0] & 0x80:
        return False
    frames = (ctypes.c_void_p * _MAX_FRAMES)()
    sizes = (ctypes.c_int16 * _MAX_FRAMES)()
    count = _library().opus_packet_parse(payload, len(payload), None, frames, sizes, None)
    if count <= 0 or sizes[0] == 0 or not frames[0]:
        return False
    # The first frame opens with one VAD flag per 20 ms (at least one), then the LBRR flag (RFC 6716 section 4.2.3).
    flags = ctypes.string_at(frames[0], 1)[0]
    vad_flags = max(1, packet_duration(payload) // count // 960)
    return bool(flags >> (7 - vad_flags) & 1)


class OpusDecoder:
    """Decodes one mono stream. Not for use by two threads at once.

    A call takes about 20 us for 20 ms of speech at 16 kHz.

    Args:
        rate: sample rate of the output (Hz): 8000, 12000, 16000, 24000 or 48000. libopus resamples inside.
    """

    def __init__(self, rate: int = RECEIVE_RATE) -> None:
        self.rate = rate
        self._lib: ctypes.CDLL = _library()
        self._state: int | None = None
        self._pcm: Pcm = np.empty(int(rate * MAX_PACKET_S), dtype=np.int16)
        self._pcm_address = self._pcm.ctypes.data
        code = ctypes.c_int()
        self._state = self._lib.opus_decoder_create(rate, 1, ctypes.byref(code))
        if not self._state:
            raise _error(code.value, f"decoder at {rate} Hz")

    def decode(self, payload: bytes) -> Pcm:
        """Decode one payload: shape (n,), 2.5 to 120 ms at `rate`.

        Raises:
            OpusError: the payload is empty or malformed. The decoder stays usable.
        """
        if not payload:
            raise OpusError("empty payload")
        return self._decode(payload, len(self._pcm), 0)

    def decode_fec(self, payload: bytes, samples: int) -> Pcm:
        """Recover the audio before `payload` from the redundancy inside (RFC 6716 section 2.1.7).

        What the redundancy does not cover is concealed. Call `decode` with the same payload afterwards.

        Args:
            payload: the packet after the lost ones.
            samples: length of what is missing, a multiple of 2.5 ms, at most 120 ms.

        Returns:
            Shape (samples,).

        Raises:
            OpusError: the payload is empty or malformed, or the length is not a multiple of 2.5 ms.
        """
        if not payload:
            raise OpusError("empty payload")
        return self._decode(payload, samples, 1)

    def conceal(self, samples: int) -> Pcm:
        """Continue the sound as if nothing were lost (packet loss concealment); fades out when called repeatedly.

        Args:
            samples: length of what is missing, a multiple of 2.5 ms, at most 120 ms.

        Returns:
            Shape (samples,).

        Raises:
            OpusError: the length is not a multiple of 2.5 ms.
        """
        return self._decode(None, samples, 0)

    def reset(self) -> None:
        """Forget the stream so far, as if newly made."""
        if self._state:
            self._lib.opus_decoder_ctl(self._state, _RESET_STATE)

    def close(self) -> None:
        """Free the state. Calling it again does nothing; decoding afterwards raises `OpusError`."""
        if self._state:
            self._lib.opus_decoder_destroy(self._state)
            self._state = None

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self.close()

    def _decode(self, payload: bytes | None, samples: int, fec: int) -> Pcm:
        if not self._state:
            raise OpusError("decoder is closed")
        if not 0 < samples <= len(self._pcm):
            raise OpusError(f"{samples} samples do not fit: 1 to {len(self._pcm)}")
        size = 0 if payload is None else len(payload)
        decoded: int = self._lib.opus_decode(self._state, payload, size, self._pcm_address, samples, fec)
        if decoded < 0:
            # A malformed payload is refused by the parser before it touches the state; anything else may have left it
            # half changed.
            if decoded != _INVALID_PACKET:
                self.reset()
            raise _error(decoded, f"payload of {size} bytes")
        return self._pcm[:decoded].copy()


class OpusEncoder:
    """Encodes mono speech in frames of 20, 40 or 60 ms: VoIP mode, DTX off. Not for use by two threads at once.

    Args:
        rate: sample rate of the input (Hz): 8000, 12000, 16000, 24000 or 48000.
        bitrate: bit/s, 6000 to 128000.
        complexity: 0 (cheapest) to 10.
        fec: whether frames may carry redundancy of those before, see `set_packet_loss`.
        cbr: whether all frames have the same size.
        playback_rate: Hz; nothing above half of it is encoded.
    """

    def __init__(
        self,
        rate: int = SEND_RATE,
        bitrate: int = 28_000,
        complexity: int = 5,
        *,
        fec: bool = True,
        cbr: bool = False,
        playback_rate: int = CLOCK_RATE,
    ) -> None:
        self.rate = rate
        self._lib: ctypes.CDLL = _library()
        self._state: int | None = None
        self._sizes = tuple(rate // 50 * frames for frames in (1, 2, 3))
        self._payload = ctypes.create_string_buffer(3 * MAX_PAYLOAD)
        code = ctypes.c_int()
        self._state = self._lib.opus_encoder_create(rate, 1, _APPLICATION_VOIP, ctypes.byref(code))
        if not self._state:
            raise _error(code.value, f"encoder at {rate} Hz")
        self._set(_SET_COMPLEXITY, complexity)
        self._set(_SET_SIGNAL, _SIGNAL_VOICE)
        self._set(_SET_INBAND_FEC, int(fec))
        self._set(_SET_DTX, 0)
        self._set(_SET_VBR, int(not cbr))
        bandwidth = next((code for hz, code in _BANDWIDTHS if playback_rate <= hz), None)
        if bandwidth is not None:
            self._set(_SET_MAX_BANDWIDTH, bandwidth)
        self.set_bitrate(bitrate)

    def encode(self, pcm: Pcm) -> bytes:
        """Encode 20, 40 or 60 ms into one packet.

        Args:
            pcm: shape (n * rate / 50,), so (480,) at 24 kHz for 20 ms.

        Raises:
            OpusError: wrong length or type, or the encoder is closed.
        """
        if not self._state:
            raise OpusError("encoder is closed")
        if pcm.ndim != 1 or pcm.size not in self._sizes or pcm.dtype != np.int16:
            raise OpusError(
                f"a frame is {self._sizes[0]} int16 samples or up to three times that, not {pcm.shape} of {pcm.dtype}"
            )
        pcm = np.ascontiguousarray(pcm)
        size: int = self._lib.opus_encode(self._state, pcm.ctypes.data, pcm.size, self._payload, len(self._payload))
        if size < 0:
            self.reset()
            raise _error(size, "encode")
        return ctypes.string_at(self._payload, size)

    def set_packet_loss(self, percent: int) -> None:
        """Say how much of what is sent gets lost (0 to 100 %): the more, the more redundancy; none at 0."""
        self._set(_SET_PACKET_LOSS_PERC, percent)

    def set_bitrate(self, bitrate: int) -> None:
        """Set the target in bit/s, from the next frame on."""
        self._set(_SET_BITRATE, bitrate)

    def reset(self) -> None:
        """Forget the audio so far; settings stay."""
        if self._state:
            self._lib.opus_encoder_ctl(self._state, _RESET_STATE)

    def close(self) -> None:
        """Free the state. Calling it again does nothing; encoding afterwards raises `OpusError`."""
        if self._state:
            self._lib.opus_encoder_destroy(self._state)
            self._state = None

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self.close()

    def _set(self, request: int, value: int) -> None:
        if not self._state:
            raise OpusError("encoder is closed")
        code: int = self._lib.opus_encoder_ctl(self._state, request, ctypes.c_int(value))
        if code < 0:
            raise _error(code, f"encoder setting {request} = {value}")
