"""How many calls a machine takes, by what was measured and by how late it is."""

from dataclasses import replace

import pytest

from pipeline.engines.speeds import EngineSpeeds
from server.calls.capacity import MOST, RECENT_S, TRANSCRIPTIONS, Capacity, alone_s, calls_in_time, turn_cost_s

VNNI = EngineSpeeds(2, 0.17, 0.04, 0.06, 0.0475, 0.0095, 0.05, 0.03)
"""Two cores of a server of 2023."""

AVX2 = EngineSpeeds(2, 0.5, 0.16, 0.2, 0.1, 0.02, 0.15, 0.08)
"""Two cores of a processor without VNNI, three times as slow."""


def cores(speeds: EngineSpeeds, count: int) -> EngineSpeeds:
    return replace(speeds, cores=count)


@pytest.mark.parametrize(
    ("speeds", "least", "most"),
    [
        (VNNI, 8, 14),
        (AVX2, 3, 5),
        (cores(VNNI, 1), 4, 7),
        (cores(AVX2, 1), 1, 2),
        (cores(VNNI, 16), 11, 25),
        (cores(AVX2, 16), 4, 12),
        (EngineSpeeds(1, 9.0, 2.0, 5.0, 2.5, 0.5, 2.0, 1.0), 1, 1),
        (EngineSpeeds(2, 0, 0, 0, 0, 0, 0, 0), MOST, MOST),
        (None, 4, 4),
    ],
)
def test_slower_engines_and_fewer_cores_mean_fewer_calls(speeds: EngineSpeeds | None, least: int, most: int) -> None:
    assert least <= calls_in_time(speeds, 2) <= most


def test_a_transcription_on_two_threads_takes_two_cores() -> None:
    assert turn_cost_s(replace(VNNI, stt_threads=2)) == pytest.approx(turn_cost_s(VNNI) + TRANSCRIPTIONS * VNNI.stt_s)


def test_a_number_that_somebody_set_is_the_answer_however_slow_it_is() -> None:
    capacity = Capacity(100, 2, AVX2)
    for _ in range(20):
        capacity.answered(30.0, 1.0)
    assert capacity.calls(active=3, waiting_s=60.0, now=2.0) == 100


def test_while_answers_are_late_nobody_else_is_let_in_and_nobody_is_put_out() -> None:
    capacity = Capacity(None, 2, VNNI)
    usual = capacity.calls(active=0)
    for at in range(4):
        capacity.answered(0.5, float(at))
    assert capacity.calls(active=4, now=4.0) == usual
    for at in (5, 6):
        capacity.answered(4 * alone_s(VNNI), float(at))
    assert capacity.calls(active=4, now=6.0) == 4
    assert capacity.calls(active=0, now=6.0) == usual, "an empty server takes calls"
    assert capacity.calls(active=4, now=6.5 + RECENT_S) == usual, "it was a while ago"


def test_one_late_answer_says_nothing() -> None:
    capacity = Capacity(None, 2, VNNI)
    capacity.answered(10.0, 1.0)
    assert capacity.calls(active=2, now=1.0) == capacity.calls(active=0)


def test_work_that_waits_too_long_for_a_core_says_it_at_once() -> None:
    capacity = Capacity(None, 2, VNNI)
    assert capacity.calls(active=2, waiting_s=5.0) == 2


def test_before_anything_was_measured_it_is_cautious() -> None:
    assert Capacity(None, 1).calls(active=0) == 2
    assert Capacity(None, 4).calls(active=0) == 8
