"""Which windows are an echo of what was played: real speech on both sides, the echo made of it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from pipeline.audio import HEARING_RATE
from pipeline.call.reply.echo import LAGS, WANDERING, EchoGuard

WINDOW = 512

Levels = NDArray[np.float64]


def speech(repository: Path, *names: str) -> NDArray[np.float64]:
    """Clips one after the other, at an RMS of -20 dBFS."""
    parts = []
    for name in names:
        samples, rate = soundfile.read(repository / "tests" / "clips" / name)
        parts.append(soxr.resample(samples, rate, HEARING_RATE))
    whole = np.concatenate(parts)
    return np.asarray(whole * 0.1 / np.sqrt(np.mean(whole**2)))


def levels(samples: NDArray[np.float64]) -> Levels:
    windows = samples[: len(samples) // WINDOW * WINDOW].reshape(-1, WINDOW)
    return np.asarray(np.sqrt(np.mean(windows**2, axis=1)))


@pytest.fixture
def played(repository: Path) -> NDArray[np.float64]:
    return speech(repository, "order.wav", "question.wav", "interruption.wav")


def echo_of(samples: NDArray[np.float64], gain_db: float, delay_s: float) -> NDArray[np.float64]:
    late = np.concatenate((np.zeros(int(delay_s * HEARING_RATE)), samples))[: len(samples)]
    room = np.random.default_rng(1).normal(0, 4 / 32768, len(samples))
    return np.asarray(late * 10 ** (gain_db / 20) + room)


def found(heard: NDArray[np.float64], played: NDArray[np.float64]) -> list[bool]:
    guard = EchoGuard()
    return [guard.hear(h, p) for h, p in zip(levels(heard), levels(played), strict=True)]


@pytest.mark.parametrize("gain_db", [-10, -25, -35])
@pytest.mark.parametrize("delay_s", [0.04, 0.08, 0.3])
def test_an_echo_is_known_after_a_second_and_a_half(
    played: NDArray[np.float64], gain_db: float, delay_s: float
) -> None:
    after = slice(47, None)
    echo = echo_of(played, gain_db, delay_s)
    loud = levels(echo)[after] > 0.1 * levels(echo).max()
    assert np.mean(np.array(found(echo, played)[after])[loud]) > 0.97


def test_an_echo_is_not_speech_before_it_is_known(played: NDArray[np.float64]) -> None:
    echo = echo_of(played, -25, 0.06)
    heard = levels(echo)[:40] > 0.001
    assert np.array(found(echo, played)[:40])[heard].all()


def test_somebody_else_is_no_echo(played: NDArray[np.float64], repository: Path) -> None:
    other = np.resize(speech(repository, "interruption.wav", "order.wav"), len(played))
    loud = levels(other) > 0.04
    assert not np.array(found(other, played))[loud].any()


def test_a_quiet_user_is_heard_once_it_is_known_that_there_is_no_echo(
    played: NDArray[np.float64], repository: Path
) -> None:
    guard = EchoGuard()
    for sound in levels(played):
        guard.hear(4 / 32768, sound)
    assert guard.known
    assert not any(guard.hear(0.003, sound) for sound in levels(played))


def test_a_user_is_heard_through_an_echo(played: NDArray[np.float64], repository: Path) -> None:
    echo = echo_of(played, -25, 0.06)
    user = 0.5 * speech(repository, "interruption.wav")
    begin = 3 * HEARING_RATE
    length = min(len(user), len(played) - begin)
    echo[begin : begin + length] += user[:length]
    windows = slice(begin // WINDOW + 1, (begin + length) // WINDOW)
    spoken = levels(user)[: windows.stop - windows.start] > 0.03
    assert np.mean(np.array(found(echo, played)[windows])[spoken]) < 0.05


def test_an_echo_that_is_gone_is_forgotten(played: NDArray[np.float64]) -> None:
    guard = EchoGuard()
    for heard, sound in zip(levels(echo_of(played, -25, 0.06)), levels(played), strict=True):
        guard.hear(heard, sound)
    assert guard.coupling == pytest.approx(10 ** (-25 / 20), rel=0.3)
    for sound in np.tile(levels(played), 3):
        guard.hear(4 / 32768, sound)
    assert guard.coupling < 0.01


def test_holes_in_the_sound_do_not_make_an_echo_unknown(played: NDArray[np.float64]) -> None:
    guard = EchoGuard()
    missed = []
    for number, (heard, sound) in enumerate(zip(levels(echo_of(played, -25, 0.06)), levels(played), strict=True)):
        hole = number > 60 and number % 40 < 12
        is_echo = guard.hear(1e-5 if hole else heard, sound)
        if number > 60 and heard > 0.002 and not hole:
            missed.append(not is_echo)
    assert np.mean(missed) < 0.1


def test_behind_a_reply_that_was_cut_nobody_is_taken_for_its_echo() -> None:
    """The longest delay after the sound has ended there is no echo left; a quiet user goes on speaking."""
    guard = EchoGuard()
    for _ in range(20):
        guard.hear(1e-4, 0.3)
    assert not guard.known
    quiet = [guard.hear(0.01, 0.0) for _ in range(40)]
    assert quiet[0]
    assert not any(quiet[LAGS + WANDERING :])
