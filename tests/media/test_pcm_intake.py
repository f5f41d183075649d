"""Sound without a clock of its own becomes 20 ms frames in real time."""

import itertools
import math

import numpy as np
import pytest

from media.pcm_intake import FRAME_SAMPLES, IntakeFullError, PcmIntake
from media.values import FRAME_S, AudioFrame

RATE = 16_000

Heard = list[tuple[float, AudioFrame]]
"""Frames, and when each was handed on."""


def tone(seconds: float, first: int = 1) -> bytes:
    """Samples that can be told apart."""
    return (np.arange(round(seconds * RATE), dtype=np.int64) % 30_000 + first).astype("<i2").tobytes()


def run(intake: PcmIntake, until: float, since: float = 0.0) -> list[AudioFrame]:
    """Tick every 20 ms."""
    frames = []
    for tick in range(round(since / FRAME_S), round(until / FRAME_S)):
        frames += intake.due((tick + 1) * FRAME_S)
    return frames


def sound(frames: list[AudioFrame]) -> list[int]:
    joined = np.concatenate([frame.pcm for frame in frames]) if frames else np.zeros(0, np.int16)
    return [int(each) for each in joined if each]


def test_a_microphones_piece_is_handed_on_when_it_comes() -> None:
    intake = PcmIntake()
    intake.begin(0.0)
    intake.feed(tone(0.24), 0.0)
    frames = intake.due(0.0)
    assert len(frames) == 12
    assert frames[-1].at == pytest.approx(0.0)
    assert np.diff([frame.at for frame in frames]) == pytest.approx([FRAME_S] * 11)


def test_a_file_is_heard_in_real_time() -> None:
    intake = PcmIntake()
    intake.begin(0.0)
    intake.feed(tone(5.0), 0.0)
    assert len(run(intake, 2.0)) <= (2.0 + 0.4) / FRAME_S + 1
    frames = run(intake, 6.0, since=2.0)
    assert all(frame.at <= 6.0 for frame in frames)
    assert intake.waiting_s == 0.0


def test_no_sample_is_lost_or_doubled_in_odd_pieces() -> None:
    intake = PcmIntake()
    intake.begin(0.0)
    data, frames, at = tone(1.0), [], 0.0
    for start in range(0, len(data), 777):
        intake.feed(data[start : start + 777], at)
        frames += intake.due(at)
        at += 777 / 2 / RATE
    intake.end()
    frames += intake.due(at + 0.1)
    assert sound(frames) == [int(each) for each in np.frombuffer(data, "<i2")]


def test_uneven_pieces_of_live_speech_get_no_holes() -> None:
    intake = PcmIntake()
    intake.begin(0.0)
    frames = []
    late = [0.0, 0.03, 0.0, 0.05, 0.02, 0.0, 0.04, 0.0]
    pieces = {round((0.1 * (i + 1) + late[i]) / FRAME_S): tone(0.1) for i in range(8)}
    for tick in range(round(0.9 / FRAME_S)):
        if tick in pieces:
            intake.feed(pieces[tick], tick * FRAME_S)
        frames += intake.due(tick * FRAME_S)
    heard = [index for index, frame in enumerate(frames) if frame.pcm.any()]
    assert heard[-1] - heard[0] + 1 == len(heard) == 40


def test_silence_takes_the_place_of_what_does_not_come() -> None:
    intake = PcmIntake()
    intake.begin(0.0)
    intake.feed(tone(0.1), 0.0)
    frames = run(intake, 2.0)
    assert 1.7 < intake.silent_s <= 2.0
    assert not any(frame.pcm.any() for frame in frames[6:])
    assert all(later.at > earlier.at for earlier, later in itertools.pairwise(frames))


def test_sound_after_silence_is_handed_on_when_it_comes() -> None:
    intake = PcmIntake()
    intake.begin(0.0)
    intake.feed(tone(0.2), 0.0)
    run(intake, 3.0)
    intake.feed(tone(0.2), 3.0)
    frames = [frame for frame in intake.due(3.0) if frame.pcm.any()]
    assert len(frames) == 10
    assert frames[-1].at == pytest.approx(3.0, abs=0.021)


def test_who_is_too_far_ahead_is_refused_and_loses_nothing_that_was_taken() -> None:
    intake = PcmIntake(max_ahead_s=2.0)
    intake.begin(0.0)
    intake.feed(tone(1.5), 0.0)
    with pytest.raises(IntakeFullError, match="2 s"):
        intake.feed(tone(1.0), 0.0)
    intake.end()
    assert len(sound(run(intake, 2.0))) == 1.5 * RATE


def test_after_a_stall_the_lost_time_is_not_made_up_for() -> None:
    intake = PcmIntake()
    intake.begin(0.0)
    run(intake, 1.0)
    assert len(intake.due(61.0)) < 40


def test_another_rate_is_brought_to_sixteen_kilohertz() -> None:
    intake = PcmIntake(rate=48_000)
    intake.begin(0.0)
    second = np.sin(np.arange(48_000) * 2 * np.pi * 440 / 48_000) * 8_000
    intake.feed(second.astype("<i2").tobytes(), 0.0)
    frames = run(intake, 1.2)
    loud = np.concatenate([frame.pcm for frame in frames if frame.pcm.any()])
    assert len(loud) == pytest.approx(RATE, abs=FRAME_SAMPLES * 2)
    peak = np.argmax(np.abs(np.fft.rfft(loud[:8_000].astype(float)))) * RATE / 8_000
    assert peak == pytest.approx(440, abs=4)


def microphone(intake: PcmIntake, stalls: list[tuple[float, float]], seconds: float, piece_s: float = 0.1) -> Heard:
    """A live sender, whose pieces of each stall (from, to) come together at its end."""
    data = tone(seconds)
    size = round(piece_s * RATE) * 2
    due = []
    for index in range(len(data) // size):
        at = (index + 1) * piece_s
        stall = next((end for start, end in stalls if start < at <= end), at)
        due.append((stall, data[index * size : (index + 1) * size]))
    heard: Heard = []
    for tick in range(round((seconds + 2) / FRAME_S)):
        now = (tick + 1) * FRAME_S
        while due and due[0][0] <= now + 1e-9:
            intake.feed(due.pop(0)[1], now)
        heard += [(now, frame) for frame in intake.due(now)]
    return heard


def test_what_a_microphone_sends_in_a_burst_is_handed_on_at_once_whole_and_in_order() -> None:
    rng = np.random.default_rng(3)
    stalls, at = [], 2.0
    for _ in range(40):
        length = float(rng.uniform(0.1, 2.0))
        stalls.append((at, at + length))
        at += length + float(rng.uniform(0.2, 2.0))
    intake = PcmIntake()
    intake.begin(0.0)
    seconds = round(at + 2, 1)
    heard = microphone(intake, stalls, seconds)
    assert sound([frame for _, frame in heard]) == [int(each) for each in np.frombuffer(tone(seconds), "<i2")]
    assert all(later.at >= earlier.at for (_, earlier), (_, later) in itertools.pairwise(heard))
    # Nothing waits in the end, and every sound is dated when it was said, so that a recording stays in step.
    assert intake.waiting_s == 0.0
    spoken = [(now, frame) for now, frame in heard if frame.pcm.any()]
    for index, (now, frame) in enumerate(spoken):
        said = (index + 1) * FRAME_S
        sent = math.ceil(said / 0.1 - 1e-6) * 0.1
        came = next((end for start, end in stalls if start < sent <= end), sent)
        assert now <= came + 0.08
        assert frame.said_at == pytest.approx(said, abs=0.13)


def test_a_stall_of_a_microphone_shorter_than_half_a_second_leaves_no_silence_behind() -> None:
    intake = PcmIntake()
    intake.begin(0.0)
    heard = microphone(intake, [(2.0, 2.4)], 4.0)
    frames = [frame for _, frame in heard]
    spoken = [index for index, frame in enumerate(frames) if frame.pcm.any()]
    assert spoken[-1] - spoken[0] + 1 == len(spoken) == 4.0 / FRAME_S


def test_who_sends_more_than_a_stall_held_back_waits_for_real_time_again() -> None:
    intake = PcmIntake()
    intake.begin(0.0)
    microphone(intake, [], 2.0)  # and two seconds of nothing
    for _ in range(100):
        intake.feed(tone(0.3), 4.0)
    handed_on = len(intake.due(4.0)) * FRAME_S
    assert handed_on <= 2.5
    assert intake.waiting_s == pytest.approx(30 - handed_on, abs=0.05)


def test_what_waits_can_be_drained_at_once_and_the_line_goes_on_behind_it() -> None:
    intake = PcmIntake()
    intake.begin(0.0)
    intake.feed(np.full(16_000, 100, np.int16).tobytes(), 0.0)
    frames = intake.drain(0.5, 30) + intake.drain(0.5, 30)
    assert len(frames) == 50
    assert {frame.at for frame in frames} == {0.5}
    assert intake.waiting_s == 0
    intake.feed(np.full(3_200, 50, np.int16).tobytes(), 1.0)
    assert [int(frame.pcm[0]) for frame in intake.due(1.2)][:1] == [50]
    intake.feed(np.full(16_000, 100, np.int16).tobytes(), 1.2)
    intake.drop()
    assert intake.drain(1.2, 30) == []
