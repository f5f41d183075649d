"""How many calls a machine takes, by what was measured and by how late it is."""

from dataclasses import replace

import pytest

from pipeline.call.events import PlaybackStarted
from pipeline.call.options import CallOptions
from pipeline.engines.llm.speed import LanguageModelSpeed
from pipeline.engines.speeds import EngineSpeeds, Unmeasured, VoiceSpeed
from server.calls.capacity import (
    MOST,
    RECENT_S,
    REPLY_TOKENS,
    TRANSCRIPTIONS,
    Capacity,
    alone_s,
    calls_in_time,
    turn_cost_s,
    turn_on_gpu_s,
)
from tests.pipeline.call.simulation import Delays, Say, Simulation

VNNI = EngineSpeeds(2, 0.17, 0.04, LanguageModelSpeed(0.06, 0.0475, 0.0095), VoiceSpeed(0.05, 0.03))
"""Two cores of a server of 2023."""

AVX2 = EngineSpeeds(2, 0.5, 0.16, LanguageModelSpeed(0.2, 0.1, 0.02), VoiceSpeed(0.15, 0.08))
"""Two cores of a processor without VNNI, three times as slow."""


ELSEWHERE = EngineSpeeds(2, Unmeasured.ELSEWHERE, Unmeasured.ELSEWHERE, Unmeasured.ELSEWHERE, Unmeasured.ELSEWHERE)
"""A core whose engines are all in other processes."""


CLAUSE_TOKENS = 4
FOUR_TOKENS = "It is sunny today. The wind blows from the west."


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
        (EngineSpeeds(1, 9.0, 2.0, LanguageModelSpeed(5.0, 2.5, 0.5), VoiceSpeed(2.0, 1.0)), 1, 1),
        (ELSEWHERE, MOST, MOST),
        (None, 4, 4),
    ],
)
def test_slower_engines_and_fewer_cores_mean_fewer_calls(speeds: EngineSpeeds | None, least: int, most: int) -> None:
    assert least <= calls_in_time(speeds, 2) <= most


def test_a_transcription_on_two_threads_takes_two_cores() -> None:
    assert turn_cost_s(replace(VNNI, stt_threads=2)) == pytest.approx(turn_cost_s(VNNI) + TRANSCRIPTIONS * 0.17)


def test_what_computes_on_a_gpu_takes_no_core_and_the_gpu_one_thing_at_a_time() -> None:
    on_gpu = replace(VNNI, on_gpu=("stt", "llm"))
    heard, written = TRANSCRIPTIONS * 0.17, 0.06 + REPLY_TOKENS * 0.0095
    assert turn_on_gpu_s(on_gpu) == pytest.approx(heard + written)
    assert turn_cost_s(on_gpu) == pytest.approx(turn_cost_s(VNNI) - heard - written)
    assert turn_on_gpu_s(VNNI) == 0.0
    # A GPU that hears and writes in a tenth of the time leaves the cores to the voice and to the turn model.
    quick = replace(on_gpu, stt_s=0.017, llm=VNNI.llm.times(0.1))  # type: ignore[union-attr]
    assert calls_in_time(quick, 2) > 2 * calls_in_time(VNNI, 2)
    assert calls_in_time(replace(quick, stt_s=1.0), 2) == calls_in_time(replace(quick, stt_s=1.0), 64) < 3


@pytest.mark.parametrize("stt_s", [0.05, 0.15, 0.3, 0.6])
@pytest.mark.parametrize("turn_model_s", [0.04, 0.16])
@pytest.mark.parametrize(("first_s", "token_s"), [(0.05, 0.01), (0.3, 0.05)])
@pytest.mark.parametrize("sound_s", [0.05, 0.15])
def test_a_caller_alone_waits_as_long_as_a_call_in_virtual_time(
    stt_s: float, turn_model_s: float, first_s: float, token_s: float, sound_s: float
) -> None:
    """The decision is pending while the transcript, the reply and its sound are worked out."""
    question = Say(1.0, 2.4, "What is the weather in Paris?")
    delays = Delays(stt=stt_s, turn=turn_model_s, llm_first=first_s, llm_token=token_s, tts=sound_s)
    call = Simulation([question], reply=FOUR_TOKENS, options=CallOptions(transcript_s=stt_s), delays=delays).run(8)
    llm = LanguageModelSpeed(first_s, CLAUSE_TOKENS * token_s, token_s)
    speeds = EngineSpeeds(2, stt_s, turn_model_s, llm, VoiceSpeed(0.05, sound_s))
    assert alone_s(speeds) == pytest.approx(call.when(PlaybackStarted) - question.end, abs=0.05)


def test_on_a_single_core_the_turn_model_runs_ahead_of_the_transcript() -> None:
    assert alone_s(cores(AVX2, 1)) == pytest.approx(alone_s(AVX2) + 0.16)


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


def test_an_engine_of_which_nothing_is_known_makes_it_cautious() -> None:
    """It is no engine elsewhere, which would take nothing of our cores."""
    elsewhere, unknown = (replace(VNNI, llm=why) for why in Unmeasured)
    assert calls_in_time(elsewhere, 2) > calls_in_time(VNNI, 2) > 4
    assert calls_in_time(unknown, 2) == calls_in_time(None, 2) == 4
    assert calls_in_time(replace(AVX2, llm=Unmeasured.UNKNOWN), 2) <= 4


def test_engines_elsewhere_are_waited_for_too() -> None:
    assert alone_s(ELSEWHERE) == pytest.approx(alone_s(None))
    capacity = Capacity(None, 2, ELSEWHERE)
    for at in range(4):
        capacity.answered(alone_s(None), float(at))
    assert not capacity.late(now=4.0)
    assert capacity.calls(active=1, now=4.0) == MOST


def test_a_slow_engine_elsewhere_is_no_reason_to_refuse_callers_and_a_crowd_is() -> None:
    capacity = Capacity(None, 2, ELSEWHERE)
    for at in range(4):
        capacity.answered(4.0, float(at))
    assert not capacity.late(now=4.0)
    for at in range(4, 8):
        capacity.answered(12.0, float(at))
    assert capacity.late(now=8.0)


def test_a_wise_model_that_answers_all_callers_bounds_them() -> None:
    wise = LanguageModelSpeed(0.4, 0.3, 0.09)
    capacity = Capacity(None, 2, VNNI)
    capacity.wise = wise
    assert capacity.calls(active=0) == calls_in_time(VNNI, 2)
    assert capacity.most_wise == calls_in_time(replace(VNNI, llm=wise), 2) < calls_in_time(VNNI, 2)
    capacity.wise_only = True
    assert capacity.calls(active=0) == capacity.most_wise


def test_what_is_known_of_the_others_counts_for_the_wise_one_too() -> None:
    capacity = Capacity(None, 2, replace(VNNI, stt_s=2.2))
    capacity.wise = LanguageModelSpeed(0.4, 0.3, 0.03)
    before = capacity.most_wise
    capacity.speeds = VNNI
    assert capacity.most_wise > before
