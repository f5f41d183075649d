"""Every format is what its name says, whatever pieces it is fed in."""

import io
import itertools

import av
import numpy as np
import pytest

from pipeline.audio import SPEECH_RATE, Pcm
from server.speech.formats import CONTENT_TYPES, AudioFormat, AvEncoder, wav_header

COMPRESSED: list[AudioFormat] = ["mp3", "opus", "flac", "aac"]


def tone(seconds: float, hertz: float = 440.0) -> Pcm:
    at = np.arange(int(seconds * SPEECH_RATE)) / SPEECH_RATE
    return (12_000 * np.sin(2 * np.pi * hertz * at)).astype(np.int16)


def decoded(file: bytes) -> tuple[np.ndarray, int]:
    with av.open(io.BytesIO(file)) as container:
        frames = list(container.decode(audio=0))
    return np.concatenate([frame.to_ndarray().reshape(-1).astype(np.float64) for frame in frames]), frames[0].rate


@pytest.mark.parametrize("audio_format", COMPRESSED)
def test_a_tone_comes_back_out_of_each_format(audio_format: AudioFormat) -> None:
    encoder, said = AvEncoder(audio_format), tone(2.0)
    # Sizes as voices give them: of any length, none at all among them.
    cuts = [0, 1, 777, 777, 12_345, 40_000, said.size]
    file = b"".join(encoder.feed(said[a:b]) for a, b in itertools.pairwise(cuts)) + encoder.finish()
    samples, rate = decoded(file)
    assert abs(samples.size / rate - 2.0) < 0.15
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(np.argmax(spectrum) * rate / samples.size - 440) < 3


@pytest.mark.parametrize("audio_format", COMPRESSED)
def test_half_a_second_of_speech_does_not_wait_for_more(audio_format: AudioFormat) -> None:
    encoder = AvEncoder(audio_format)
    early = encoder.feed(tone(0.5))
    encoder.finish()
    samples, rate = decoded(early)
    assert samples.size / rate > 0.15


def test_a_wav_of_unknown_length_is_read_to_its_end() -> None:
    said = tone(0.3)
    for header in (wav_header(None), wav_header(said.nbytes)):
        samples, rate = decoded(header + said.tobytes())
        assert rate == SPEECH_RATE
        assert np.array_equal(samples, said)


def test_every_format_has_a_content_type() -> None:
    assert set(CONTENT_TYPES) == {"wav", "pcm", *COMPRESSED}
