"""Windows of audio that is longer than a model hears at once, and where to cut it."""

import numpy as np

from pipeline.audio import HEARING_RATE, Waveform

_STEP = HEARING_RATE // 50
_QUIET_STEPS = 10


def split_at_quiet_points(audio: Waveform, longest_s: float = 30.0, shortest_s: float = 15.0) -> list[Waveform]:
    """Cut audio into pieces of at most `longest_s`, in the middle of the quietest 200 ms that lie in reach.

    Args:
        audio: 16 kHz, shape (n,).
        longest_s: no piece is longer.
        shortest_s: no piece but the last is shorter.

    Returns:
        Views that add up to the whole; just the audio itself when it is short enough.
    """
    longest, shortest = int(longest_s * HEARING_RATE), int(shortest_s * HEARING_RATE)
    pieces = []
    while audio.size > longest:
        reach = audio[shortest:longest]
        steps = reach[: reach.size // _STEP * _STEP].reshape(-1, _STEP)
        power = np.square(steps).mean(axis=1, dtype=np.float64)
        loudness = np.convolve(power, np.ones(_QUIET_STEPS), mode="valid")
        cut = shortest + (int(loudness.argmin()) + _QUIET_STEPS // 2) * _STEP
        pieces.append(audio[:cut])
        audio = audio[cut:]
    return [*pieces, audio]
