"""The formats that speech is given in, and encoders that take it piece by piece."""

import io
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, Protocol

import av
from av.audio.stream import AudioStream

from pipeline.audio import SPEECH_RATE, Pcm

if TYPE_CHECKING:
    from typing_extensions import Buffer

AudioFormat = Literal["wav", "pcm", "mp3", "opus", "flac", "aac"]

CONTENT_TYPES: dict[AudioFormat, str] = {
    "wav": "audio/wav",
    "pcm": f"audio/pcm;rate={SPEECH_RATE}",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "aac": "audio/aac",
}

UNKNOWN_LENGTH = 0xFFFFFFFF


class Encoder(Protocol):
    """Turns samples at `SPEECH_RATE` into the bytes of one file; not for two threads at once."""

    def feed(self, pcm: Pcm) -> bytes:
        """Take the next samples; returns the bytes that are ready, maybe none."""

    def finish(self) -> bytes:
        """No samples come any more; returns the rest of the file."""


class RawEncoder:
    """s16le mono without a header."""

    def feed(self, pcm: Pcm) -> bytes:
        """See `Encoder`."""
        return pcm.astype("<i2", copy=False).tobytes()

    def finish(self) -> bytes:
        """See `Encoder`."""
        return b""


@dataclass(frozen=True, slots=True)
class _Codec:
    container: str
    codec: str
    bit_rate: int | None
    options: dict[str, str]


_CODECS: dict[AudioFormat, _Codec] = {
    # Without a Xing header, which would have to be filled in at the end.
    "mp3": _Codec("mp3", "libmp3lame", 64_000, {"write_xing": "0", "id3v2_version": "0"}),
    # Pages of a fifth of a second: the default of one second would keep a short clause back.
    "opus": _Codec("ogg", "libopus", 32_000, {"page_duration": "200000"}),
    "flac": _Codec("flac", "flac", None, {}),
    "aac": _Codec("adts", "aac", 64_000, {}),
}


class AvEncoder:
    """A compressed format, by FFmpeg's encoders and muxers through PyAV.

    Args:
        audio_format: one of those that are compressed.
    """

    def __init__(self, audio_format: AudioFormat) -> None:
        codec = _CODECS[audio_format]
        self._sink = _Sink()
        self._container = av.open(self._sink, "w", codec.container, options={**codec.options, "flush_packets": "1"})
        stream = self._container.add_stream(codec.codec, rate=SPEECH_RATE)
        assert isinstance(stream, AudioStream)
        stream.layout = "mono"
        if codec.bit_rate is not None:
            stream.bit_rate = codec.bit_rate
        self._stream = stream
        self._at = 0

    def feed(self, pcm: Pcm) -> bytes:
        """See `Encoder`."""
        if pcm.size:
            frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = SPEECH_RATE, self._at, Fraction(1, SPEECH_RATE)
            self._at += pcm.size
            self._container.mux(self._stream.encode(frame))
        return self._sink.take()

    def finish(self) -> bytes:
        """See `Encoder`."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._sink.take()


class _Sink(io.RawIOBase):
    """Where a muxer writes to; it cannot seek, as a network cannot."""

    def __init__(self) -> None:
        super().__init__()
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: "Buffer") -> int:
        before = len(self._written)
        self._written += data
        return len(self._written) - before

    def take(self) -> bytes:
        taken, self._written = bytes(self._written), bytearray()
        return taken


def wav_header(data_bytes: int | None) -> bytes:
    """The 44 bytes in front of s16le mono at `SPEECH_RATE` (http://soundfile.sapp.org/doc/WaveFormat/).

    Args:
        data_bytes: of the samples; None while they are not known, which readers take as "until the end".
    """
    size = UNKNOWN_LENGTH if data_bytes is None else data_bytes
    whole = UNKNOWN_LENGTH if data_bytes is None else 36 + data_bytes
    rate, width = SPEECH_RATE, 2
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", whole, b"WAVE", b"fmt ", 16, 1, 1, rate, rate * width, width, 16, b"data", size
    )
