"""Interim transcripts are left out where nothing is free to hear them; on a GPU that is not the cores' concern."""

import asyncio
from typing import Any

import numpy as np
import pytest

from pipeline.call.effects import Transcribe
from pipeline.call.engine_work import EngineWork
from pipeline.call.inputs import Transcribed
from pipeline.call.options import CallOptions
from pipeline.engines.protocols import Transcript
from pipeline.scheduling.core_budget import Claim, Room
from pipeline.scheduling.cores import CORES
from pipeline.scheduling.lanes import Ticket, Urgency

HEARD = Transcript("It rains.", "en", 1.0, 1.0)


class Ears:
    def __init__(self, device: str) -> None:
        self.configuration = {"device": device}

    async def transcribe(self, *_: object, **__: object) -> Transcript:
        return HEARD


class Audio:
    def slice(self, _start: int, _end: int) -> Any:
        return np.zeros(0, np.float32)


@pytest.mark.parametrize(("device", "heard"), [("cpu", None), ("cuda", HEARD)])
async def test_where_all_cores_are_taken_only_a_gpu_hears_interim_transcripts(
    device: str, heard: Transcript | None
) -> None:
    posted: asyncio.Queue[Any] = asyncio.Queue()
    engines: Any = type("Engines", (), {"stt": Ears(device)})()
    audio: Any = Audio()
    work = EngineWork(engines, CallOptions(), audio, None, posted.put_nowait, posted.put_nowait)
    claim = Claim(Ticket(Urgency.FIRST_AUDIO), Room(1), threads=CORES.count)
    with CORES.lock:
        CORES.ask(claim)
    try:
        work.begin(Transcribe(1, "turn", 0, 16_000, Ticket(Urgency.INTERIM), None, optional=True))
        assert await posted.get() == Transcribed(1, heard)
    finally:
        with CORES.lock:
            CORES.end(claim)
