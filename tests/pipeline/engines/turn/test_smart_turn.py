import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from pipeline.engines.protocols import EngineUnavailableError
from pipeline.engines.turn.smart_turn import SmartTurn
from pipeline.scheduling.lanes import Ticket
from tests.pipeline.engines.speech import clip, model


@pytest.fixture
async def turn() -> AsyncIterator[SmartTurn]:
    engine = SmartTurn(model("smart-turn-v3.2"))
    yield engine
    await engine.close()


def followed_by(audio: np.ndarray, silence_s: float) -> np.ndarray:
    return np.concatenate([audio, np.zeros(int(silence_s * 16_000), np.float32)])


@pytest.mark.parametrize("silence_s", [0.0, 0.1, 0.2, 0.4])
async def test_a_whole_question_is_complete(turn: SmartTurn, silence_s: float) -> None:
    assert await turn.completeness(followed_by(clip("weather.wav"), silence_s), Ticket()) > 0.9


@pytest.mark.parametrize("silence_s", [0.0, 0.1, 0.2])
@pytest.mark.parametrize("cut_s", [0.9, 1.1])
async def test_a_question_cut_off_in_the_middle_is_not(turn: SmartTurn, cut_s: float, silence_s: float) -> None:
    cut = clip("weather.wav")[: int(cut_s * 16_000)]
    assert await turn.completeness(followed_by(cut, silence_s), Ticket()) < 0.5


async def test_a_pause_before_the_object_of_a_sentence_is_not_the_end(turn: SmartTurn) -> None:
    speech = clip("jfk.flac")
    upto = speech[: int(7.9 * 16_000)]
    assert await turn.completeness(followed_by(upto, 0.2), Ticket()) < 0.2, "... ask what you can do"
    assert await turn.completeness(speech, Ticket()) > 0.5


async def test_only_the_last_eight_seconds_count(turn: SmartTurn) -> None:
    tail = clip("jfk.flac")[-8 * 16_000 :]
    before = np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32)
    assert await turn.completeness(np.concatenate([before, tail]), Ticket()) == await turn.completeness(tail, Ticket())


async def test_no_audio_is_no_complete_turn(turn: SmartTurn) -> None:
    assert await turn.completeness(np.zeros(0, np.float32), Ticket()) == 0.0


async def test_a_cancelled_question_is_not_asked(turn: SmartTurn) -> None:
    await turn.warm_up()
    ticket = Ticket()
    ticket.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn.completeness(np.zeros(16_000, np.float32), ticket)
    assert turn.lane.load.dropped == 1


def test_a_missing_model_says_what_to_do(tmp_path) -> None:
    with pytest.raises(EngineUnavailableError, match="morgan models pull"):
        SmartTurn(tmp_path)


def test_another_model_in_its_place_is_refused(tmp_path) -> None:
    other = model("silero-vad-v6") / "silero_vad_16k_op15.onnx"
    (tmp_path / "smart-turn-v3.2-cpu.onnx").write_bytes(other.read_bytes())
    with pytest.raises(EngineUnavailableError, match="not Smart Turn"):
        SmartTurn(tmp_path)
