"""Reasons to hear the same audio again."""

import numpy as np
import pytest

from pipeline.engines.stt.transcript_doubts import Doubt, audible_seconds, doubt_about


def doubt(text: str, audible_s: float = 3.0, **changes: object) -> Doubt | None:
    facts: dict[str, object] = {"language": "en", "speech": True, "ended": True, **changes}
    return doubt_about(text, audible_s, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "changes", "expected"),
    [
        ("What is the weather in Paris?", {}, None),
        ("", {}, Doubt.EMPTY),
        ("...", {}, Doubt.EMPTY),
        ("", {"speech": False}, None),
        ("What is it? What is it? What is it?", {}, Doubt.REPEATED),
        ("I know that " * 12, {"audible_s": 30.0}, Doubt.REPEATED),
        ("one two three four five six seven eight nine ten eleven twelve thirteen", {"audible_s": 1.0}, Doubt.TOO_FAST),
        ("And then he went on and", {"ended": False}, Doubt.ENDLESS),
        ("Anna, Berta, Carla and Dora", {"prompt": "Names: Anna, Berta, Carla and Dora."}, Doubt.PROMPT),
        ("Anna Berta", {"prompt": "Names: Anna, Berta, Carla."}, None),
    ],
)
def test_doubts(text: str, changes: dict[str, object], expected: Doubt | None) -> None:
    assert doubt(text, **changes) is expected  # type: ignore[arg-type]


def test_japanese_is_counted_by_characters() -> None:
    text = "今日の天気はどうですかと聞きました"
    assert doubt(text, 2.0, language="ja") is None
    assert doubt(text, 0.5, language="ja") is Doubt.TOO_FAST


def test_pauses_are_not_audible() -> None:
    voice = np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32)
    room = np.full(32_000, 1e-4, np.float32)
    assert audible_seconds(np.concatenate((voice, room))) == pytest.approx(1.0, abs=0.05)


def test_a_room_alone_is_not_audible() -> None:
    """ "I'm going to be a brave little dog." came of a hum of 40 ms and the noise of a microphone."""
    noise = np.random.default_rng(1).normal(0, 4 / 32768, 48_000).astype(np.float32)
    assert audible_seconds(noise) == 0
    whisper = np.random.default_rng(2).normal(0, 10 ** (-45 / 20), 16_000).astype(np.float32)
    assert audible_seconds(np.concatenate((noise, whisper))) == pytest.approx(1.0, abs=0.05)
