"""Instants of samples that were handled in bursts."""

import random

import pytest

from pipeline.call.clocks import PERIOD_S, CaptureClock, PlayoutLine


def test_late_audio_belongs_to_the_instant_at_which_it_was_due() -> None:
    clock, lateness = CaptureClock(), random.Random(1)
    told = []
    for window in range(1, 400):
        due = 50.0 + window * 0.032
        told.append(clock.time(window * 512, due + lateness.choice((0.0, 0.01, 0.2))) - due)
    assert max(abs(apart) for apart in told[20:]) < 0.001


def test_a_path_that_became_longer_is_learnt() -> None:
    clock = CaptureClock()
    for window in range(1, 200):
        clock.time(window * 512, window * 0.032)
    longer = 0.0
    for window in range(200, 200 + round(2.1 * PERIOD_S / 0.032)):
        longer = clock.time(window * 512, window * 0.032 + 0.3) - window * 0.032
    assert longer == pytest.approx(0.3)


def test_the_playout_was_between_two_places_that_were_seen() -> None:
    line = PlayoutLine()
    line.note(10.0, 0)
    line.note(10.1, 2400)
    line.note(10.2, 2400)
    assert [line.position(at) for at in (9.0, 10.0, 10.05, 10.15, 11.0)] == [0, 0, 1200, 2400, 2400]
