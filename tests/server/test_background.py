"""What goes wrong where nobody waits for it is logged, and the rest goes on."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from pipeline.engines.llm.replaceable import ReplaceableLanguageModel
from pipeline.engines.protocols import AbsentEngine, EngineError, Engines
from server.calibration.profile import Profile
from server.calls.capacity import Capacity
from server.cli import improvement
from server.cli.improvement import improve
from server.http.uninterrupted import to_the_end
from server.observability.background import log_failure, one_after_another
from server.settings import Settings
from tests.server.minds.test_upgrade import Talker


async def broken() -> None:
    raise RuntimeError("nobody expected this")


async def test_a_task_that_is_kept_tells_of_its_failure_at_once() -> None:
    with capture_logs() as logs:
        task = asyncio.create_task(broken(), name="a task")
        task.add_done_callback(log_failure)
        await asyncio.wait((task,))
        await asyncio.sleep(0)
    assert [(line["task"], str(line["exc_info"])) for line in logs] == [("a task", "nobody expected this")]


async def test_a_task_that_is_cancelled_or_done_tells_nothing() -> None:
    with capture_logs() as logs:
        tasks = [asyncio.create_task(asyncio.sleep(seconds)) for seconds in (0, 60)]
        for task in tasks:
            task.add_done_callback(log_failure)
        await tasks[0]
        tasks[1].cancel()
        await asyncio.wait(tasks)
        await asyncio.sleep(0)
    assert not logs


async def test_a_part_that_fails_leaves_those_behind_it_alone() -> None:
    done: list[str] = []

    async def work() -> None:
        done.append("second")

    with capture_logs() as logs:
        await one_after_another({"first": broken, "second": work})
    assert done == ["second"]
    assert [line["task"] for line in logs] == ["first"]


async def test_work_that_fails_after_its_client_has_left_is_logged() -> None:
    may_fail = asyncio.Event()

    async def work() -> None:
        await may_fail.wait()
        raise OSError("half of it is deleted")

    with capture_logs() as logs:
        request = asyncio.create_task(to_the_end(work()))
        await asyncio.sleep(0)
        request.cancel()
        await asyncio.wait((request,))
        may_fail.set()
        await asyncio.sleep(0.01)
    assert [str(line["exc_info"]) for line in logs] == ["half of it is deleted"]


async def test_a_model_that_cannot_be_taken_does_not_end_the_measurements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    class Measurement:
        def __init__(self, *_: object) -> None: ...

        async def run(self) -> None:
            done.append("measured")

    class Upgrade:
        def __init__(self, *_: object) -> None: ...

        async def take_known(self) -> None:
            raise EngineError("it does not warm up")

        async def run(self) -> None:
            done.append("upgraded")

    monkeypatch.setattr(improvement, "QuietMeasurement", Measurement)
    monkeypatch.setattr(improvement, "Upgrade", Upgrade)
    absent: Any = AbsentEngine("llm")
    engines = Engines(absent, absent, absent, ReplaceableLanguageModel(Talker("quick")), absent)
    with capture_logs() as logs:
        profile = Profile("this one", 2.5, "int8")
        await improve(Settings(models_dir=tmp_path), engines, Capacity(None, 2), profile, lambda: 0, print)
    assert done == ["measured", "upgraded"]
    assert [line["task"] for line in logs] == ["language model of an earlier start"]
