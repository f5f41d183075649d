"""What breaks in `bench.chaos` really breaks, and the engine in front of it tells of each."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.broken_upstream import RUBBISH, BrokenUpstream, Mode
from bench.chaos import ANSWER_S, Outcome, table
from bench.chaos_faults import FAULTS
from bench.stepped_clock import SteppedClock
from pipeline.engines.protocols import ChatRequest, EngineError, Message
from pipeline.engines.remote.openai_chat import OpenAiChat
from pipeline.engines.remote.openai_connection import Endpoint
from pipeline.scheduling.lanes import Ticket
from tests.conftest import lacking

REQUEST = ChatRequest((Message("user", "How is the weather?"),), max_tokens=20)


async def said(chat: OpenAiChat) -> str:
    return "".join([delta.text async for delta in chat.stream(REQUEST, Ticket())])


async def test_a_broken_language_model_is_an_engine_error_and_works_again_afterwards() -> None:
    async with BrokenUpstream().serving() as upstream:
        chat = OpenAiChat(Endpoint(upstream.url, first_timeout_s=1.0, next_timeout_s=1.0), "m")
        rubbish: list[Mode] = ["rubbish"] * len(RUBBISH)
        for mode in ("hangs", "dribbles", "closes", "fails", *rubbish):
            upstream.mode = mode
            with pytest.raises(EngineError):
                await asyncio.wait_for(said(chat), 60)
            upstream.mode = "well"
            assert (await said(chat)).startswith("It is a fine day")
        await chat.close()


def test_a_stepped_clock_is_that_of_its_own_processes_and_of_the_wall_alone(tmp_path: Path) -> None:
    try:
        clock = SteppedClock(tmp_path)
    except (OSError, subprocess.CalledProcessError) as error:
        lacking(f"a C compiler: {error}")
    program = "import time; print(time.time(), time.monotonic(), __import__('datetime').datetime.now().timestamp())"
    clock.step(-3600)
    before = time.time(), time.monotonic()
    told = subprocess.run([sys.executable, "-c", program], env=clock.environ, capture_output=True, check=True).stdout
    wall, monotonic, also = map(float, told.split())
    assert before[0] - 3600 <= wall <= time.time() - 3600
    assert before[1] <= monotonic <= time.monotonic()
    assert abs(also - wall) < 60
    assert time.time() >= before[0]


def test_only_a_run_in_which_everything_held_is_good() -> None:
    held = Outcome(turns_s=[1.0, ANSWER_S], after_s=[0.5], told=2, runs=2, kept=True)
    assert held.good
    for wrong in (
        Outcome(turns_s=[1.0, 7.0], after_s=[0.5], told=2, runs=2, kept=True),
        Outcome(turns_s=[1.0], after_s=[float("inf")], told=1, runs=1, kept=True),
        Outcome(turns_s=[1.0], after_s=[0.5], told=0, runs=1, kept=True),
        Outcome(turns_s=[1.0], after_s=[0.5], told=1, runs=1, kept=False),
        Outcome(turns_s=[1.0], after_s=[0.5], told=1, runs=1, kept=True, health_silent=1),
        Outcome(kept=True),
    ):
        assert not wrong.good
    assert len(table({fault.name: held for fault in FAULTS}).rows) == len(FAULTS)
