import io
import struct
from collections.abc import Iterator
from typing import cast

import av
import numpy as np
import pytest

from media.audio_file import AudioFile, AudioFileError, NoAudioError, PcmStream, RawAudio, UnknownFormatError
from media.values import Pcm
from tests.media.signals import voice

RATE = 16_000

ENCODINGS = [
    ("wav", "pcm_s16le", 44_100),
    ("mp3", "mp3", 44_100),
    ("flac", "flac", 48_000),
    ("ogg", "libopus", 48_000),
    ("webm", "libopus", 48_000),
    ("mp4", "aac", 44_100),
    ("adts", "aac", 44_100),
    ("aiff", "pcm_s16be", 22_050),
    ("caf", "pcm_s16le", 44_100),
    ("caf", "alac", 44_100),
    ("au", "pcm_s16be", 22_050),
    ("mov", "aac", 44_100),
    ("mpegts", "aac", 44_100),
    ("mpegts", "mp3", 44_100),
]

ID3 = b"ID3\x04\0\0\0\0\x01\x00" + b"\0" * 128
"""A tag with nothing in it but its padding."""

# A second of silence cut short: no encoder of AMR comes with PyAV (3GPP TS 26.101: 12.2 kbit/s, 31 bytes each).
AMR = b"#!AMR\n" + (b"\x3c" + bytes(range(1, 32))) * 50


def encoded(container: str, codec: str, rate: int, seconds: float = 1.0) -> bytes:
    """A hum in stereo, as a file."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = cast("av.AudioStream", output.add_stream(codec, rate=rate, layout="stereo"))
        mono = voice(seconds, rate)
        frame = av.AudioFrame.from_ndarray(np.repeat(mono, 2).reshape(1, -1), format="s16", layout="stereo")
        frame.rate = rate
        resampler = av.AudioResampler(stream.format, "stereo", rate, frame_size=stream.frame_size or 1024)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return file.getvalue()


def pieces(data: bytes, count: int = 4_000) -> Iterator[Pcm]:
    file = AudioFile(data, RATE)
    while (pcm := file.read(count)).size:
        yield pcm
    file.close()


def wav(riff_size: int, data_size: int, pcm: bytes) -> bytes:
    fmt = struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    head = b"RIFF" + struct.pack("<I", riff_size) + b"WAVEfmt " + fmt
    return head + b"data" + struct.pack("<I", data_size) + pcm


@pytest.mark.parametrize(("container", "codec", "rate"), ENCODINGS)
def test_every_format_is_read_at_the_wanted_rate(container: str, codec: str, rate: int) -> None:
    heard = np.concatenate(list(pieces(encoded(container, codec, rate))))
    assert 0.95 * RATE < heard.size < 1.15 * RATE
    assert np.abs(heard).max() > 5_000


def test_pieces_are_as_long_as_asked_for_and_add_up() -> None:
    sizes = [piece.size for piece in pieces(encoded("wav", "pcm_s16le", RATE), 3_000)]
    assert set(sizes[:-1]) == {3_000}
    assert abs(sum(sizes) - RATE) < 10


@pytest.mark.parametrize(
    ("front", "container", "codec"),
    [
        (ID3, "adts", "aac"),
        (ID3, "flac", "flac"),
        (ID3 * 2, "mp3", "mp3"),
        (b"\0" * 777, "mp3", "mp3"),
        (ID3 + b"\0" * 4_000, "mp3", "mp3"),
        (b"\0" * 10, "adts", "aac"),
    ],
)
def test_tags_and_zeros_in_front_are_passed_over(front: bytes, container: str, codec: str) -> None:
    heard = np.concatenate(list(pieces(front + encoded(container, codec, 44_100))))
    assert 0.95 * RATE < heard.size < 1.15 * RATE
    assert np.abs(heard).max() > 5_000


def test_a_film_from_before_there_was_a_first_atom_for_all_is_read() -> None:
    whole = encoded("mov", "aac", 44_100)
    assert whole[4:8] == b"ftyp"
    without = whole[int.from_bytes(whole[:4], "big") :]
    # What stands where is told in bytes from the beginning: the first atom's place is left to a free one.
    padding = len(whole) - len(without)
    heard = sum(piece.size for piece in pieces(padding.to_bytes(4, "big") + b"free" + b"\0" * (padding - 8) + without))
    assert 0.95 * RATE < heard < 1.15 * RATE


def test_speech_of_old_telephones_is_read() -> None:
    assert sum(piece.size for piece in pieces(AMR)) == pytest.approx(RATE, abs=RATE // 10)


def stereo_wav(left: Pcm, right: Pcm) -> bytes:
    body = np.stack([left, right], axis=1).astype("<i2").tobytes()
    fmt = struct.pack("<IHHIIHH", 16, 1, 2, RATE, 4 * RATE, 4, 16)
    return (
        b"RIFF" + struct.pack("<I", 36 + len(body)) + b"WAVEfmt " + fmt + b"data" + struct.pack("<I", len(body)) + body
    )


def test_channels_that_cancel_each_other_are_heard() -> None:
    said = voice(2.0, RATE)
    heard = np.concatenate(list(pieces(stereo_wav(said, -said))))
    assert np.array_equal(heard, said)
    # Nearly so, as analogue wiring does it.
    almost = np.concatenate(list(pieces(stereo_wav(said, (-0.9 * said).astype(np.int16)))))
    assert np.array_equal(almost, said)


def test_channels_that_agree_or_of_which_one_is_silent_are_heard_as_their_mean() -> None:
    said = voice(1.0, RATE)
    both = np.concatenate(list(pieces(stereo_wav(said, said))))
    one = np.concatenate(list(pieces(stereo_wav(said, np.zeros_like(said)))))
    assert np.array_equal(both, said)
    assert np.abs(one - said.astype(np.int32) // 2).max() <= 1


@pytest.mark.parametrize(("riff", "data"), [(0xFFFFFFFF, 0xFFFFFFFF), (0, 0), (36, 0x7FFFFFFF)])
def test_a_wav_header_of_unknown_length_reads_to_the_end(riff: int, data: int) -> None:
    pcm = voice(1.0, RATE)
    heard = np.concatenate(list(pieces(wav(riff, data, pcm.tobytes()))))
    assert np.array_equal(heard, pcm)


def test_a_file_that_is_cut_off_gives_what_there_is() -> None:
    whole = encoded("mp3", "mp3", 44_100, 2.0)
    heard = sum(piece.size for piece in pieces(whole[: len(whole) // 2]))
    assert 0.8 * RATE < heard < 1.2 * RATE


@pytest.mark.parametrize("data", [b"\0" * 2_000, b"hello", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", b"RIFF"])
def test_what_is_no_audio_file_is_refused(data: bytes) -> None:
    with pytest.raises(UnknownFormatError):
        AudioFile(data, RATE)


def test_a_playlist_behind_the_first_bytes_of_audio_opens_no_other_file() -> None:
    with pytest.raises(AudioFileError):
        list(pieces(b"ID3\x04\0\0\0\0\0\0" + b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n" * 20))


@pytest.mark.parametrize("rate", [1, 100, 3_999])
def test_a_rate_that_would_make_a_short_file_endless_is_refused(rate: int) -> None:
    with pytest.raises(AudioFileError, match=f"{rate} samples a second"):
        AudioFile(encoded("flac", "flac", rate, 400 / rate), RATE)


def test_more_channels_than_any_recording_has_are_refused() -> None:
    head = (
        b"RIFF" + struct.pack("<I", 1_000) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 500, RATE, 1_000, 1_000, 16)
    )
    with pytest.raises(AudioFileError, match="500 channels"):
        AudioFile(head + b"data" + struct.pack("<I", 100_000) + b"\0" * 100_000, RATE)


@pytest.mark.parametrize("tag", [0x0002, 0x0011, 0x0161, 0x0162, 0x0270, 0x2000, 0x2001, 0x0050])
def test_a_wav_header_that_asks_for_another_decoder_gets_none(tag: int) -> None:
    """ADPCM, WMA, ATRAC3, AC-3, DTS and MPEG layer 2: decoders that no recording needs."""
    fmt = struct.pack("<HHIIHHH", tag, 2, 44_100, 16_000, 384, 16, 32) + b"\1\0" * 16
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", 9_600) + bytes(range(240)) * 40
    with pytest.raises(AudioFileError, match=r"is coded as|cannot be read"):
        AudioFile(b"RIFF" + struct.pack("<I", len(body)) + body, RATE)


@pytest.mark.parametrize(("container", "codec"), [("matroska", "ac3"), ("mp4", "ac3"), ("matroska", "mp2")])
def test_a_container_that_holds_another_codec_is_refused(container: str, codec: str) -> None:
    with pytest.raises(AudioFileError, match=f"is coded as {codec}"):
        AudioFile(encoded(container, codec, 48_000), RATE)


def test_an_empty_file_says_so() -> None:
    with pytest.raises(NoAudioError, match="empty"):
        AudioFile(b"", RATE)


def test_a_film_without_sound_says_so() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    with pytest.raises(NoAudioError, match="sound track"):
        AudioFile(file.getvalue(), RATE)


def test_samples_may_be_split_anywhere() -> None:
    pcm = voice(0.5, RATE)
    data, stream = pcm.tobytes(), PcmStream(RATE, RATE)
    heard = [stream.feed(data[start : start + 333]) for start in range(0, len(data), 333)]
    assert np.array_equal(np.concatenate(heard), pcm)


def test_plain_samples_of_another_rate_are_resampled_without_a_seam() -> None:
    source = RawAudio(voice(1.0, 48_000).tobytes(), 48_000, RATE)
    heard = []
    while (piece := source.read(1_000)).size:
        heard.append(piece)
    joined = np.concatenate(heard)
    assert abs(joined.size - RATE) < 50
    assert np.abs(np.diff(joined.astype(np.int32))).max() < 16_000
