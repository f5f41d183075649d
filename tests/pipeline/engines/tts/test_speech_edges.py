import numpy as np
import pytest

from pipeline.engines.tts.speech_edges import trim_edges

RATE = 22_050


def speech(lead_s: float, sound_s: float, tail_s: float) -> np.ndarray:
    t = np.arange(int(sound_s * RATE)) / RATE
    sound = 0.5 * np.sin(2 * np.pi * 220 * t)
    return np.concatenate([np.zeros(int(lead_s * RATE)), sound, np.zeros(int(tail_s * RATE))]).astype(np.float32)


@pytest.mark.parametrize(("text", "rest_s"), [("so then", 0.06), ("well,", 0.09), ("Yes.", 0.12), ("“Really?”", 0.12)])
@pytest.mark.parametrize("tail_s", [0.0, 0.3])
def test_the_rest_behind_the_last_sound_depends_on_the_text_alone(text: str, rest_s: float, tail_s: float) -> None:
    trimmed, cut = trim_edges(speech(0.2, 0.5, tail_s), RATE, text)
    assert trimmed.size / RATE == pytest.approx(0.005 + 0.5 + rest_s, abs=0.011)
    assert cut == pytest.approx(0.195, abs=0.006)


def test_speech_that_begins_at_once_is_not_delayed() -> None:
    trimmed, cut = trim_edges(speech(0.0, 0.5, 0.0), RATE, "go")
    assert cut == 0.0
    assert trimmed.size / RATE == pytest.approx(0.56, abs=0.006)


def test_both_edges_are_faded_so_that_joints_do_not_click() -> None:
    loud = np.full(RATE // 2, 0.5, np.float32)
    trimmed, _ = trim_edges(loud, RATE, "go")
    assert trimmed[0] == 0.0
    assert trimmed[-1] == 0.0
    assert np.abs(np.diff(trimmed)).max() < 0.01


@pytest.mark.parametrize("silence", [np.zeros(0, np.float32), np.zeros(50, np.float32), np.zeros(5_000, np.float32)])
def test_silence_leaves_nothing(silence: np.ndarray) -> None:
    assert trim_edges(silence, RATE, "go")[0].size == 0
