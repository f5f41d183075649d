"""The sending clock comes into step with what arrives, slowly, and not without end."""

import itertools
import random

import pytest

from media.audio_sender import FrameClock
from media.phase_lock import EARLY_S, PhaseLock

FRAME_S = 0.02


def drive(phase_s: float, seconds: float, jitter_s: float = 0.0, drift: float = 0.0) -> tuple[list[float], int]:
    """Packets arrive `phase_s` behind the grid; the times of frames sent, and how many went out with a packet."""
    dice = random.Random(3)
    clock, lock = FrameClock(), PhaseLock(FRAME_S, 0.0)
    clock.due(0.0)
    sent, shared, shifted = [0.0], 0, False
    arrivals = [phase_s + n * FRAME_S * (1 + drift) + dice.uniform(0, jitter_s) for n in range(int(seconds / FRAME_S))]
    for at in arrivals:
        while clock.next_at < at:
            sent.append(clock.next_at)
            assert clock.due(clock.next_at, EARLY_S).frames == 1
            shifted = False
        if clock.next_at - at <= EARLY_S:
            assert clock.due(at, EARLY_S).frames == 1
            sent.append(at)
            shared, shifted = shared + 1, False
        elif not shifted:
            shifted = True
            clock.shift(lock.shift(at, clock.next_at))
    return sent, shared


@pytest.mark.parametrize("phase_ms", [0.5, 3, 7, 9.9, 10.1, 14, 19])
def test_frames_soon_share_the_wake_up_of_packets(phase_ms: float) -> None:
    _, shared = drive(phase_ms / 1000, 10)
    assert shared > 0.75 * 10 / FRAME_S


def test_frames_keep_their_distance_while_the_clock_moves() -> None:
    sent, _ = drive(0.009, 10)
    assert all(abs(later - earlier - FRAME_S) <= EARLY_S + 0.0002 for earlier, later in itertools.pairwise(sent))
    assert len(sent) == pytest.approx(10 / FRAME_S, abs=2)


def test_a_far_end_that_runs_away_is_not_followed_for_ever() -> None:
    sent, _ = drive(0.005, 60, drift=0.005)
    assert sent[-1] / (len(sent) - 1) == pytest.approx(FRAME_S, rel=0.0006)


def test_jitter_of_arrivals_does_not_get_into_the_frames() -> None:
    sent, _ = drive(0.004, 20, jitter_s=0.008)
    gaps = [later - earlier for earlier, later in itertools.pairwise(sent)]
    assert max(gaps) <= FRAME_S + EARLY_S + 0.0002
    assert min(gaps) >= FRAME_S - EARLY_S - 0.0002
