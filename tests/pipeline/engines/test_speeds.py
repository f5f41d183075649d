"""The speed of the real engines, and of some that cost a known time."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from pipeline.audio import SPEECH_RATE, Waveform
from pipeline.engines.llm.speed import LanguageModelSpeed
from pipeline.engines.protocols import AbsentEngine, ChatDelta, ChatRequest, Engines, SpeechChunk, Transcript
from pipeline.engines.speeds import QUESTION_S, EngineSpeeds, Unmeasured, VoiceSpeed, measure_speeds
from pipeline.scheduling.lanes import Lane, Ticket


class Slow:
    """Every engine in one; each piece of work takes its time in a thread."""

    name, model, kind, voices, default_voice, calls_tools = "slow", "slow", "in-process", (), "", False

    def __init__(self) -> None:
        self.lane = Lane("slow")
        self.heard: list[float] = []

    async def work(self, seconds: float) -> None:
        await self.lane.run(lambda: time.sleep(seconds), Ticket())

    async def transcribe(self, audio: Waveform, ticket: Ticket, **_: Any) -> Transcript:
        self.heard.append(len(audio) / 16_000)
        await self.work(0.08)
        return Transcript("", "en")

    async def completeness(self, audio: Waveform, ticket: Ticket) -> float:
        await self.work(0.04)
        return 1.0

    async def prefill(self, request: ChatRequest, ticket: Ticket) -> None:
        await self.work(0.2)

    async def stream(self, request: ChatRequest, ticket: Ticket) -> AsyncIterator[ChatDelta]:
        await self.work(0.1)
        for _ in range(10):
            yield ChatDelta("word ")
            await self.work(0.02)
        yield ChatDelta("", "length", 20, 11)

    async def synthesize(self, text: str, ticket: Ticket, **_: Any) -> AsyncIterator[SpeechChunk]:
        for _number in range(4):
            await self.work(0.03)
            yield SpeechChunk(np.full(SPEECH_RATE // 2, 1000, np.int16))


async def test_each_figure_is_the_time_of_its_engine() -> None:
    slow: Any = Slow()
    found = await measure_speeds(Engines(slow, slow, slow, slow, slow), cores=3)
    await slow.lane.aclose()
    assert found.cores == 3
    # Never less than it takes; how much more depends on who else is at work here.
    figures = dict(found.figures())
    assert 0.08 <= figures["stt_s"] < 0.8
    assert 0.04 <= figures["turn_model_s"] < 0.4
    assert 0.1 <= figures["llm_first_token_s"] < 1.0
    assert 0.02 <= figures["llm_token_s"] < 0.2
    assert 0.06 <= figures["tts_share"] < 0.6
    assert 0.03 <= figures["tts_first_s"] < 0.3
    # Each from a later beginning, so that nothing is known of it from the time before.
    assert slow.heard == [pytest.approx(QUESTION_S), pytest.approx(QUESTION_S - 0.005)]


async def test_what_another_process_does_costs_nothing_here() -> None:
    slow: Any = Slow()
    remote: Any = SimpleNamespace(kind="remote")
    absent: Any = AbsentEngine("llm")
    found = await measure_speeds(Engines(slow, slow, remote, absent, remote), cores=1)
    await slow.lane.aclose()
    assert {found.stt_s, found.llm, found.voice} == {Unmeasured.ELSEWHERE}
    assert dict(found.figures())["turn_model_s"] > 0
    assert not found.unknown


async def test_an_engine_that_fails_is_unknown_and_the_others_are_measured() -> None:
    class Deaf(Slow):
        async def transcribe(self, audio: Waveform, ticket: Ticket, **_: Any) -> Transcript:
            raise RuntimeError("no ears")

    class Terse(Slow):
        async def stream(self, request: ChatRequest, ticket: Ticket) -> AsyncIterator[ChatDelta]:
            yield ChatDelta("Yes.", "stop", 20, 1)

    slow: Any = Slow()
    deaf: Any = Deaf()
    terse: Any = Terse()
    with capture_logs() as logs:
        found = await measure_speeds(Engines(slow, slow, deaf, terse, slow), cores=1)
    for each in (slow, deaf, terse):
        await each.lane.aclose()
    assert (found.stt_s, found.llm) == (Unmeasured.UNKNOWN,) * 2
    assert found.unknown
    assert set(dict(found.figures())) == {"cores", "stt_threads", "turn_model_s", "tts_share", "tts_first_s"}
    assert [line["role"] for line in logs] == ["stt", "llm"]


def test_what_was_not_measured_leaves_what_is_known() -> None:
    known = EngineSpeeds(2, 0.2, 0.04, LanguageModelSpeed(0.1, 0.05, 0.01), VoiceSpeed(0.2, 0.1))
    nothing = EngineSpeeds(2, Unmeasured.UNKNOWN, Unmeasured.UNKNOWN, Unmeasured.UNKNOWN, Unmeasured.UNKNOWN)
    assert known.best_with(nothing) == nothing.best_with(known) == known
    assert nothing.best_with(nothing) == nothing
    assert known.complete
    assert not nothing.complete


@pytest.mark.usefixtures("models_dir")
async def test_the_real_engines_are_measured_in_seconds(models_dir: Path) -> None:
    from pipeline.engines.llm.llama_cpp import LlamaCppLanguageModel, LlamaOptions
    from pipeline.engines.stt.faster_whisper import FasterWhisper
    from pipeline.engines.tts.piper import Piper
    from pipeline.engines.turn.smart_turn import SmartTurn

    vad: Any = AbsentEngine("vad")
    engines = Engines(
        vad,
        SmartTurn(models_dir / "smart-turn-v3.2"),
        FasterWhisper(models_dir / "whisper-tiny.en"),
        LlamaCppLanguageModel(LlamaOptions(models_dir / "smollm2-135m-instruct")),
        Piper(models_dir / "piper-en_US-joe-medium"),
    )
    await asyncio.gather(*(engine.warm_up() for engine in engines.all().values()))
    found = await measure_speeds(engines)
    await asyncio.gather(*(engine.close() for engine in engines.all().values()))
    assert found.complete
    figures = dict(found.figures())
    assert figures["tts_first_s"] < 4.0
    assert 0 < figures["llm_token_s"] < figures["llm_first_token_s"]
    assert figures["stt_s"] > 0
    assert 0 < figures["tts_share"] < 2
