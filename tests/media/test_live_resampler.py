"""The resampler of live sound: exact lengths, no delay to speak of, the band kept and what lies outside gone."""

import numpy as np
import pytest

from media.audio_file import PcmStream
from media.live_resampler import LiveResampler
from media.values import Pcm

RATES = [(8000, 16000), (24000, 16000), (48000, 16000), (44100, 16000), (11025, 16000), (16000, 24000), (24000, 8000)]


def tone(hz: float, rate: int, seconds: float = 1.0) -> Pcm:
    return (10_000 * np.cos(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)).astype(np.int16)


def resampled(pcm: Pcm, rate: int, to: int, sizes: tuple[int, ...]) -> Pcm:
    resampler, out, at, turn = LiveResampler(rate, to), [], 0, 0
    while at < len(pcm):
        size = sizes[turn % len(sizes)]
        out.append(resampler.feed(pcm[at : at + size]))
        at, turn = at + size, turn + 1
    return np.concatenate(out)


@pytest.mark.parametrize(("rate", "to"), RATES)
def test_a_tone_comes_out_as_it_went_in_a_few_milliseconds_late(rate: int, to: int) -> None:
    hz = 0.4 * min(rate, to)
    out = resampled(tone(hz, rate), rate, to, (rate // 50, 7, 333))
    delay_s = LiveResampler(rate, to).delay_s
    assert delay_s <= 0.003
    assert len(out) == to
    expected = 10_000 * np.cos(2 * np.pi * hz * (np.arange(to) / to - delay_s))
    inner = slice(to // 20, -to // 20)
    assert np.sqrt(np.mean((out[inner] - expected[inner]) ** 2)) < 60


@pytest.mark.parametrize(("rate", "to"), [pair for pair in RATES if pair[0] > pair[1]])
def test_what_the_lower_rate_cannot_hold_is_gone(rate: int, to: int) -> None:
    out = resampled(tone(0.58 * to, rate), rate, to, (rate // 50,))
    assert np.abs(out[to // 20 : -to // 20]).max() < 20  # 54 dB


@pytest.mark.parametrize(("rate", "to"), RATES)
def test_the_pieces_do_not_matter(rate: int, to: int) -> None:
    noise = np.random.default_rng(3).integers(-20_000, 20_000, rate // 2).astype(np.int16)
    whole, pieces = resampled(noise, rate, to, (len(noise),)), resampled(noise, rate, to, (1, 160, 999, 2))
    np.testing.assert_array_equal(whole, pieces)


def test_full_level_does_not_wrap() -> None:
    square = np.where(np.arange(8000) % 20 < 10, 32_767, -32_768).astype(np.int16)
    out = resampled(square, 8000, 16000, (160,)).astype(int)
    assert np.abs(np.diff(out)).max() < 65_000
    assert out.max() == 32_767


@pytest.mark.parametrize("rate", [8000, 24_000, 48_000])
def test_a_live_stream_gives_20_ms_for_20_ms(rate: int) -> None:
    stream, frame = PcmStream(rate, 16_000, live=True), bytes(rate // 50 * 2)
    assert [len(stream.feed(frame)) for _ in range(5)] == [320] * 5


def test_rates_without_a_common_measure_are_left_to_the_other_resampler() -> None:
    assert not LiveResampler.knows(15_999, 16_000)
    stream = PcmStream(15_999, 16_000, live=True)
    assert sum(len(stream.feed(bytes(2 * 1600))) for _ in range(10)) > 14_000
