"""Audio that people send as a file or as plain samples, read piece by piece as mono 16-bit PCM.

Blocking, and for files of strangers meant for a process of its own (`decoder_pool`). The container is told from its
first bytes and named to FFmpeg, which would otherwise also try formats that are lists of other files and addresses to
open (HLS, concat). Of FFmpeg's hundreds of decoders only those of `CODECS` are ever opened, whatever a header asks for.
"""

from collections.abc import Generator, Iterator
from io import BytesIO
from typing import Final, Protocol

import av
import numpy as np
import soxr
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container.input import InputContainer

from media.live_resampler import LiveResampler
from media.values import Pcm

FORMATS: Final = "wav, mp3, flac, ogg, webm, m4a, mov, aac, aiff, caf, au, amr, mpeg-ts"
"""What can be read, for people."""

CODECS: Final = frozenset(
    {
        *("aac", "alac", "flac", "mp3", "mp3float", "opus", "libopus", "vorbis", "pcm_alaw", "pcm_mulaw"),
        *("amrnb", "amrwb"),
        *("pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be"),
        *("pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be"),
    }
)
"""FFmpeg's names of the decoders that a file may choose."""

MIN_RATE, MAX_RATE = 4_000, 384_000
"""Hz; a file that claims 1 Hz would be 16,000 times as long at the models' rate."""

MAX_CHANNELS = 8

MOST_ZEROS = 64 * 1024
"""Bytes of zeros that may lie in front of MPEG audio: players and cut recordings leave some."""

MOST_TAGS = 8
"""ID3 tags, one behind the other, that are looked behind."""

_QUICKTIME = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
"""Atoms that such a file begins with; before there was ISO's `ftyp`, with any of the others."""

_MAGIC = (
    *((b"fLaC", "flac"), (b"OggS", "ogg"), (b"\x1aE\xdf\xa3", "matroska"), (b"caff", "caf"), (b".snd", "au")),
    *((b"#!AMR\n", "amr"), (b"#!AMR-WB\n", "amr")),
)

CANCELLED = 0.05
"""Of the louder channel's energy: the mean of two channels has half of it, or a quarter where the other is silent."""

FORGETTING = 0.9999
"""By which each sample makes what was before it count less: half of it after 0.4 s at 16 kHz."""

_TS_PACKETS = (188, 192)
"""Bytes from one sync byte of MPEG-TS to the next: on the air, and with the time stamp of discs in front of each."""


class AudioFileError(ValueError):
    """The audio cannot be read; the message is for the client that sent it."""


class UnknownFormatError(AudioFileError):
    """It is no audio file that we know."""


class NoAudioError(AudioFileError):
    """There is no sound in it."""


class AudioSource(Protocol):
    """Audio to read from its beginning to its end.

    Attributes:
        expected_s: its length as its header says, which need not be true; None where it does not say.
    """

    expected_s: float | None

    def read(self, count: int) -> Pcm:
        """The next samples, shape (n,), n <= count; empty at the end."""

    def close(self) -> None:
        """Give everything back."""


def container_start(data: bytes) -> int:
    """Where the container begins: behind ID3 tags, which also AAC and FLAC have in front, and behind zeros."""
    start = 0
    for _ in range(MOST_TAGS):
        begins = start + _zeros(data, start)
        head = data[begins : begins + 10]
        if len(head) < 10 or head[:3] != b"ID3" or any(byte & 0x80 for byte in head[6:]):
            break
        # Four times seven bits (https://id3.org/id3v2.4.0-structure), and a footer where a flag says so.
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        start = begins + 10 + size + (10 if head[5] & 0x10 else 0)
    begins = start + _zeros(data, start)
    # In front of anything else zeros are part of it: the length of an atom begins with them.
    return begins if _mpeg_audio(data[begins : begins + 2]) else start


def _zeros(data: bytes, start: int) -> int:
    front = data[start : start + MOST_ZEROS]
    return len(front) - len(front.lstrip(b"\0"))


def container_format(head: bytes) -> str | None:
    """FFmpeg's name of the container, from its first 600 bytes; None where it is none that we read."""
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return "wav"
    if head[4:8] in _QUICKTIME:
        return "mov"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    for size in _TS_PACKETS:
        at = size - 188
        if len(head) > at + 2 * size and all(head[at + size * number] == 0x47 for number in range(3)):
            return "mpegts"
    return _mpeg_audio(head)


def _mpeg_audio(head: bytes) -> str | None:
    if len(head) < 2 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    # Both begin with a run of ones; ADTS has its two layer bits clear, which MPEG audio reserves.
    return "aac" if head[1] & 0x06 == 0 else "mp3"


class _Downmix:
    """Stereo to mono, also where the channels cancel each other: some recorders turn one of them around.

    As long as their mean has little of what the louder one has, that one is heard alone.
    """

    def __init__(self) -> None:
        self._energies = np.zeros(3)

    def mono(self, stereo: Pcm) -> Pcm:
        """The samples of both as one, shape (n,); in shape (n, 2)."""
        if not stereo.size:
            return stereo[:, 0]
        wide = stereo.astype(np.int32)
        mean = (wide[:, 0] + wide[:, 1]) >> 1
        new = [float(np.square(part, dtype=np.float64).sum()) for part in (mean, wide[:, 0], wide[:, 1])]
        self._energies = self._energies * FORGETTING ** len(stereo) + np.asarray(new)
        of_mean, left, right = self._energies
        if of_mean < CANCELLED * max(left, right):
            return stereo[:, 0] if left >= right else stereo[:, 1]
        return mean.astype(np.int16)


class AudioFile:
    """A file of one of the `FORMATS`; of a film, its first sound track.

    Args:
        data: the whole file.
        rate: wanted, Hz.

    Raises:
        UnknownFormatError, NoAudioError, AudioFileError: it cannot be read.
    """

    def __init__(self, data: bytes, rate: int) -> None:
        if not data:
            raise NoAudioError("The file is empty")
        start = container_start(data)
        name = container_format(data[start : start + 600])
        if name is None:
            raise UnknownFormatError(f"The file is of no format that can be read here: {FORMATS}")
        try:
            self._container = _opened(data[start:], name)
        except (av.FFmpegError, ValueError) as error:
            raise AudioFileError(f"The file begins like {name}, but cannot be read: {_reason(error)}") from error
        try:
            self._check()
        except AudioFileError:
            self._container.close()
            raise
        length = self._container.duration
        self.expected_s = length / av.time_base if length is not None and length > 0 else None
        self._rate = rate
        self._frames = self._decoded()
        self._ready: list[Pcm] = []

    def read(self, count: int) -> Pcm:
        """The next samples, shape (n,), n <= count; empty at the end.

        Raises:
            AudioFileError: nothing in the file could be decoded.
        """
        have = sum(map(len, self._ready))
        while have < count:
            pcm = next(self._frames, None)
            if pcm is None:
                break
            self._ready.append(pcm)
            have += len(pcm)
        joined = np.concatenate(self._ready) if self._ready else np.zeros(0, np.int16)
        self._ready = [joined[count:]] if joined.size > count else []
        return joined[:count]

    def close(self) -> None:
        """Give the decoder's memory back."""
        self._frames.close()
        self._container.close()

    def _check(self) -> None:
        """Refuse what the header says that no recording would."""
        if not self._container.streams.audio:
            raise NoAudioError("The file has no sound track")
        codec = self._container.streams.audio[0].codec_context
        if codec is None or codec.name not in CODECS:
            name = "unknown" if codec is None else codec.name
            raise AudioFileError(f"The sound in the file is coded as {name}, which is not read here")
        _check_shape(codec.sample_rate, codec.channels)
        codec.thread_count = 1

    def _decoded(self) -> Generator[Pcm, None, None]:
        resampler: AudioResampler | None = None
        downmix, stereo, decoded = _Downmix(), False, False
        problem: Exception | None = None
        for frame in self._raw_frames():
            if isinstance(frame, Exception):
                problem = frame
                continue
            _check_shape(frame.sample_rate, frame.layout.nb_channels)
            decoded = True
            if resampler is None or stereo is not (frame.layout.nb_channels > 1):
                stereo = frame.layout.nb_channels > 1
                resampler = self._resampler(stereo)
            try:
                resampled = resampler.resample(frame)
            except ValueError:
                # The stream changed its rate or layout on its way.
                resampler = self._resampler(stereo)
                resampled = resampler.resample(frame)
            yield from (_mono(each, downmix) for each in resampled)
        if not decoded and problem is not None:
            raise AudioFileError(f"The sound in the file cannot be decoded: {_reason(problem)}")
        if resampler is not None:
            yield from (_mono(each, downmix) for each in resampler.resample(None))

    def _resampler(self, stereo: bool) -> AudioResampler:
        return AudioResampler(format="s16", layout="stereo" if stereo else "mono", rate=self._rate)

    def _raw_frames(self) -> Iterator[AudioFrame | Exception]:
        """Frames of the first sound track; a broken packet costs its own sound only."""
        packets = self._container.demux(self._container.streams.audio[0])
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.FFmpegError, ValueError) as error:
                # Cut off in the middle: what came before counts.
                yield error
                return
            try:
                yield from packet.decode()
            except (av.FFmpegError, ValueError) as error:
                yield error


class PcmStream:
    """Plain samples as they come in: whole or half, at any rate, out at one rate.

    Args:
        rate: of what comes in (s16le, mono), Hz.
        to: wanted rate, Hz.
        leftover: half a sample from before.
        live: whether somebody waits: nothing is held back for long, see `LiveResampler`.

    Attributes:
        leftover: the byte that waits for its other half.
    """

    def __init__(self, rate: int, to: int, leftover: bytes = b"", *, live: bool = False) -> None:
        self.leftover = leftover
        self._live = LiveResampler(rate, to) if live and rate != to and LiveResampler.knows(rate, to) else None
        plain = rate == to or self._live is not None
        self._resampler = None if plain else soxr.ResampleStream(rate, to, 1, dtype="int16")

    def feed(self, data: bytes, last: bool = False) -> Pcm:
        """Take in bytes; returns the samples that are ready, shape (n,)."""
        data = self.leftover + data
        whole = len(data) & ~1
        self.leftover = data[whole:]
        pcm = np.frombuffer(data[:whole], "<i2").astype(np.int16, copy=False)
        if self._live is not None:
            return self._live.feed(pcm)
        if self._resampler is None:
            return pcm
        resampled: Pcm = self._resampler.resample_chunk(pcm, last=last)
        return resampled


class RawAudio:
    """Plain samples that were sent as a whole.

    Args:
        data: s16le, mono.
        rate: of them, Hz.
        to: wanted rate, Hz.
    """

    def __init__(self, data: bytes, rate: int, to: int) -> None:
        self.expected_s: float | None = len(data) / 2 / rate
        self._data = data
        self._position = 0
        self._stream = PcmStream(rate, to)
        self._ratio = rate / to
        self._ready: Pcm = np.zeros(0, np.int16)

    def read(self, count: int) -> Pcm:
        """The next samples, shape (n,), n <= count; empty at the end."""
        while self._ready.size < count and self._position < len(self._data):
            size = 2 * max(1, int(count * self._ratio))
            part = self._data[self._position : self._position + size]
            self._position += size
            fed = self._stream.feed(part, last=self._position >= len(self._data))
            self._ready = np.concatenate((self._ready, fed))
        taken, self._ready = self._ready[:count], self._ready[count:]
        return taken

    def close(self) -> None:
        """Nothing to give back."""


def _opened(data: bytes, name: str) -> InputContainer:
    # Already to look into a file FFmpeg opens decoders, of pictures too.
    options = {"codec_whitelist": ",".join(sorted(CODECS))}
    if name == "wav":
        # FFmpeg looks for DTS in disguise among the samples, which we would not read: most of the time of a short file.
        options["probesize"] = "8192"
    container = av.open(BytesIO(data), "r", format=name, options=options)
    assert isinstance(container, InputContainer)
    return container


def _check_shape(rate: int, channels: int) -> None:
    """Raises AudioFileError where sound of this form would grow beyond all measure on its way to 16 kHz mono."""
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioFileError(f"The file says that it has {rate} samples a second; {MIN_RATE} to {MAX_RATE} can be read")
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioFileError(f"The file says that it has {channels} channels; 1 to {MAX_CHANNELS} can be read")


def _mono(frame: AudioFrame, downmix: _Downmix) -> Pcm:
    channels = frame.layout.nb_channels
    pcm: Pcm = frame.to_ndarray().reshape(-1, channels).astype(np.int16, copy=False)
    return downmix.mono(pcm) if channels > 1 else pcm[:, 0]


def _reason(error: Exception) -> str:
    """FFmpeg's words without its number and our file name."""
    return error.strerror if isinstance(error, av.FFmpegError) and error.strerror else str(error)
