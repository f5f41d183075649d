"""The user's audio is kept as far back as it is needed, in no more memory than that takes."""

import random

import numpy as np
import pytest

from pipeline.audio import HEARING_RATE, Pcm
from pipeline.call.user.audio_buffer import BEGUN_S, AudioBuffer


class Deaf:
    """A voice activity stream that hears nothing."""

    def probability(self, window: object) -> float:
        return 0.0

    def reset(self) -> None:
        pass


def sound(begin: int, end: int) -> Pcm:
    """Samples that tell where they lie."""
    return (np.arange(begin, end) % 30_011).astype(np.int16)


def heard(buffer: AudioBuffer, start: int, end: int) -> Pcm:
    return (buffer.slice(start, end) * 32768).astype(np.int16)


@pytest.mark.parametrize("seed", range(5))
def test_audio_is_kept_whole_while_memory_grows(seed: int) -> None:
    dice, buffer, end = random.Random(seed), AudioBuffer(Deaf(), kept_s=30), 0
    while end < 60 * HEARING_RATE:
        size = dice.randrange(1, 3 * HEARING_RATE)
        windows = buffer.add(sound(end, end + size), 0.0)
        end += size
        assert buffer.end == end
        assert all(window.end <= end for window in windows)
        start = max(0, end - 30 * HEARING_RATE)
        assert np.array_equal(heard(buffer, start, end), sound(start, end))
        middle = dice.randrange(start, end)
        assert np.array_equal(heard(buffer, middle, end), sound(middle, end))
    assert buffer.memory == 30 * HEARING_RATE * 2


def test_a_stream_that_needs_nothing_of_what_was_takes_no_more_memory_than_at_first() -> None:
    buffer, end = AudioBuffer(Deaf(), kept_s=64), 0
    for _ in range(200):
        buffer.release(end - HEARING_RATE)
        buffer.add(sound(end, end + HEARING_RATE), 0.0)
        end += HEARING_RATE
    assert buffer.memory == BEGUN_S * HEARING_RATE * 2
    assert np.array_equal(heard(buffer, end - HEARING_RATE, end), sound(end - HEARING_RATE, end))


def test_a_stream_that_goes_on_in_another_process_begins_at_its_sample() -> None:
    begin = 1_000_003
    buffer = AudioBuffer(Deaf(), kept_s=30, begins_at=begin)
    buffer.add(sound(begin, begin + 20 * HEARING_RATE), 0.0)
    assert np.array_equal(heard(buffer, begin, buffer.end), sound(begin, buffer.end))
