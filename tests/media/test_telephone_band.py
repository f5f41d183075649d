"""The telephone's band, in and out: what is in it stays, what is not goes, and 20 ms stay 20 ms."""

import numpy as np
import pytest

from media.telephone_band import Narrower, Widener, WireEncoder, WireFormat, to_linear, to_wire
from media.values import Pcm


def tone(hz: float, rate: int, seconds: float = 0.5) -> Pcm:
    return (8_000 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.int16)


def level(pcm: Pcm) -> float:
    """RMS behind the filter's run-in, a tone of `tone` being 1."""
    steady = pcm[len(pcm) // 4 :].astype(float)
    return float(np.sqrt(np.mean(steady**2)) / (8_000 / np.sqrt(2)))


def in_frames(feed: Narrower | Widener, pcm: Pcm, samples: int) -> list[Pcm]:
    return [feed.feed(pcm[at : at + samples]) for at in range(0, len(pcm), samples)]


@pytest.mark.parametrize("hz", [300, 1_000, 3_000, 3_300])
def test_the_band_of_a_telephone_is_kept_both_ways(hz: float) -> None:
    assert level(np.concatenate(in_frames(Narrower(), tone(hz, 24_000), 480))) == pytest.approx(1, abs=0.1)
    assert level(np.concatenate(in_frames(Widener(), tone(hz, 8_000), 160))) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("hz", [4_800, 6_000, 11_000])
def test_what_lies_above_it_does_not_fold_into_it(hz: float) -> None:
    assert level(np.concatenate(in_frames(Narrower(), tone(hz, 24_000), 480))) < 0.01


def test_a_widened_tone_has_no_image_above_the_band() -> None:
    wide = np.concatenate(in_frames(Widener(), tone(1_000, 8_000), 160)).astype(float)[2_000:]
    spectrum = np.abs(np.fft.rfft(wide * np.hanning(len(wide))))
    above = spectrum[int(5_000 / 8_000 * len(spectrum)) :]
    assert above.max() < spectrum.max() / 300


def test_every_frame_gives_a_frame_and_pieces_join_without_a_seam() -> None:
    pcm = tone(700, 24_000)
    frames = in_frames(Narrower(), pcm, 480)
    assert {len(frame) for frame in frames} == {160}
    assert np.array_equal(np.concatenate(frames), Narrower().feed(pcm))
    assert {len(frame) for frame in in_frames(Widener(), tone(700, 8_000), 160)} == {320}


@pytest.mark.parametrize("samples", [1, 100, 481, 4_799])
def test_pieces_of_any_length_join_without_a_seam(samples: int) -> None:
    pcm = tone(700, 24_000)
    assert np.array_equal(np.concatenate(in_frames(Narrower(), pcm, samples)), Narrower().feed(pcm))
    assert len(Narrower().feed(pcm[:0])) == 0


@pytest.mark.parametrize("encoding", ["mulaw", "alaw"])
def test_both_laws_carry_a_tone_at_eight_kilohertz(encoding: str) -> None:
    encoder = WireEncoder(WireFormat(encoding))  # type: ignore[arg-type]
    said = encoder.encode(tone(1_000, 24_000))
    assert len(said) == 4_000
    heard = np.frombuffer(to_linear(said, encoding), "<i2")  # type: ignore[arg-type]
    assert level(heard) == pytest.approx(1, abs=0.05)


def test_plain_samples_stay_what_they_are() -> None:
    pcm = tone(1_000, 24_000)
    assert WireEncoder(WireFormat("linear", 24_000)).encode(pcm) == pcm.astype("<i2").tobytes()
    assert to_linear(to_wire(pcm, "linear"), "linear") == pcm.astype("<i2").tobytes()


def test_a_rate_that_no_line_is_told_is_refused() -> None:
    with pytest.raises(ValueError, match="16000"):
        WireEncoder(WireFormat("linear", 16_000))
