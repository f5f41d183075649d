"""A loop that keeps the 20 ms clock in the midst of a pass."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from media.audio_sender import Due
from media.pacer import Pacer
from media.upstream.event_loop import PunctualEventLoop, call_punctually
from server.cli import serve as serving
from tests.media.calls import until

STEPS = 200
CHANGED = "asyncio's loop takes its steps otherwise, see media/upstream/event_loop.py"


@pytest.fixture(params=[PunctualEventLoop, asyncio.SelectorEventLoop])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """Of our loop, and of asyncio's own for comparison."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


def one_long_pass(done: list[int], at_first: Callable[[], None] = lambda: None) -> None:
    """Have the loop run many steps in its next pass, which take longer than 20 ms together."""

    def step(number: int) -> None:
        time.sleep(0.0005)
        done.append(number)

    loop = asyncio.get_running_loop()
    loop.call_soon(at_first)
    for number in range(STEPS):
        loop.call_soon(step, number)


def test_what_is_due_in_the_midst_of_a_pass_waits_for_no_more_than_a_step(runner: asyncio.Runner) -> None:
    called: list[tuple[int, bool]] = []

    async def run() -> None:
        loop, done = asyncio.get_running_loop(), list[int]()
        call_punctually(loop, loop.time() + 0.01, lambda in_pass: called.append((len(done), in_pass)))
        one_long_pass(done)
        await until(lambda: len(done) == STEPS and bool(called))
        assert sorted(done) == list(range(STEPS)), CHANGED

    runner.run(run())
    ((steps, in_pass),) = called
    if isinstance(runner.get_loop(), PunctualEventLoop):
        assert steps < STEPS, CHANGED
        assert in_pass
    else:
        assert (steps, in_pass) == (STEPS, False)


def test_what_nothing_holds_up_is_called_in_its_turn_and_once(runner: asyncio.Runner) -> None:
    called: list[tuple[str, bool]] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        for name, seconds in (("second", 0.02), ("first", 0.01)):
            call_punctually(loop, loop.time() + seconds, lambda in_pass, name=name: called.append((name, in_pass)))
        off = call_punctually(loop, loop.time() + 0.015, lambda in_pass: called.append(("called off", in_pass)))
        off.cancel()
        await until(lambda: len(called) == 2)
        off.cancel()
        await asyncio.sleep(0.02)

    runner.run(run())
    assert [name for name, _ in called] == ["first", "second"]


def test_a_tick_in_the_midst_of_a_pass_reads_the_packets_first() -> None:
    seen: list[str] = []

    class Member:
        resting = False

        def tick(self, due: Due, now: float, read: bool) -> None:
            seen.append(f"tick, read {read}")

        def fail(self, error: Exception) -> None:
            raise error

    class Kernel:
        def hold(self, held: bool) -> None:
            assert not held

        def read(self) -> None:
            seen.append("packets")
            # A port tells of what it has read; the clock is at work already.
            pacer.woken(time.monotonic())

    async def run() -> None:
        nonlocal pacer
        pacer, done = Pacer(Kernel()), list[int]()
        pacer.add(Member())
        one_long_pass(done, at_first=seen.clear)
        await until(lambda: len(done) == STEPS)
        pacer.close()

    pacer: Pacer
    with asyncio.Runner(loop_factory=PunctualEventLoop) as runner:
        runner.run(run())
    assert len(seen) >= 4
    assert seen[: len(seen) // 2 * 2] == ["packets", "tick, read True"] * (len(seen) // 2)


def test_the_server_runs_on_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def run(*_: object) -> None:
        loops.append(asyncio.get_running_loop())

    monkeypatch.setattr(serving, "_run", run)
    monkeypatch.setattr(serving, "_load", lambda _: None)
    for name in ("needed_models", "fetch_library", "chooses_mind"):
        monkeypatch.setattr(serving, name, lambda *_: ())
    monkeypatch.setattr(serving, "resolved", lambda settings: settings)
    monkeypatch.setattr(serving, "configure_logs", lambda _: None)
    monkeypatch.setattr(serving, "share_malloc_arenas", lambda: None)
    monkeypatch.setattr(serving, "SWITCH_INTERVAL_S", sys.getswitchinterval())
    app = typer.Typer()
    app.command()(serving.serve)
    result = CliRunner().invoke(app, ["--data-dir", str(tmp_path)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert [type(loop) for loop in loops] == [PunctualEventLoop]
