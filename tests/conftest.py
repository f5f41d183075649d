"""Fixtures that all tests share, and the check that no test leaves anything running."""

import asyncio
import gc
import inspect
import logging
import os
from collections.abc import AsyncIterator, Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import structlog
from pydantic.json_schema import models_json_schema

from pipeline.engines.llm.llama_builds import NATIVE_ID, load_library
from pipeline.engines.protocols import EngineUnavailableError
from pipeline.models import ModelError, ModelStore, default_root
from tests import needs, scheduling, thorough
from tests.leaks import leaked_tasks, leaked_threads, our_threads
from tests.serving import RunningServer, serving


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """See `tests.scheduling`."""
    return scheduling.OneServer(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than cores: tests that wait leave one to others."""
    return (os.cpu_count() or 1) + 1


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers of `tests.needs`, and log exceptions as Python does: with rich one of them takes 0.1 s."""
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])
    for name, meaning in needs.MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collect without the collector of garbage, which has nothing to find and looks a thousand times.

    What is there then (half a million objects of modules and tests) stays to the end, so it is looked through no more:
    each `gc.collect` of a test, and of a server that has started, would take a third of a second. From then on it is
    looked for garbage a thirtieth as often as by itself, which took a tenth of the time of the tests.
    """
    gc.disable()
    scheduling.import_in_turns(session.config)
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        gc.set_threshold(20_000, 20, 20)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what each test needs, before `-m` chooses by it."""
    needs.mark(items)
    thorough.try_hypothesis_less()


def lacking(reason: str) -> None:
    """Skip the test for want of something that this machine lacks; under CI nothing may be lacking, so fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def _described_once() -> Iterator[None]:
    """The schemas of the same models are made once, however many servers are built: half of what building one takes."""

    @cache
    def made(models: tuple[Any, ...], ref_template: str) -> tuple[Any, dict[str, Any]]:
        return models_json_schema(models, ref_template=ref_template)

    def copied(models: list[Any], *, ref_template: str) -> tuple[Any, dict[str, Any]]:
        references, schema = made(tuple(models), ref_template)
        return references, {**schema, "$defs": dict(schema.get("$defs", {}))}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("server.http.openapi.models_json_schema", copied)
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The folder of weights, with every model of the manifest in it, verified; larger language models are no test's."""
    store = ModelStore(default_root())
    for model in store.manifest.models:
        if model.role == "library" or (model.role == "llm" and not model.default):
            continue
        try:
            store.path(model.id)
        except ModelError as error:
            lacking(f"{error} (`make test` fetches all that the tests need.)")
    return store.root


@pytest.fixture(scope="session")
def library_dir() -> Path:
    """The native build of llama.cpp, where this processor has what it is for and npm could get it (`make test`)."""
    try:
        folder = ModelStore(default_root()).path(NATIVE_ID)
        load_library(folder)
    except (ModelError, EngineUnavailableError) as error:
        pytest.skip(str(error))
    return folder


@pytest.fixture(scope="session")
def shared_audio(repository: Path) -> Path:
    """The folder of real speech: `MORGAN_SHARED_AUDIO`, else `../shared/audio` beside the repository."""
    named = os.environ.get("MORGAN_SHARED_AUDIO")
    folder = Path(named) if named else repository.parent / "shared" / "audio"
    if not folder.is_dir():
        lacking(f"There is no real speech in {folder}; MORGAN_SHARED_AUDIO can name another folder.")
    return folder


@pytest.fixture(scope="session")
def server(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One Morgan for all tests that need a running one."""
    with serving(models_dir, tmp_path_factory.mktemp("morgan")) as running:
        yield running


@pytest.fixture(scope="session")
def server_url(server: RunningServer) -> str:
    """Where the server is."""
    return server.url


@pytest.fixture(autouse=True)
def _nothing_left_running(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves tasks or threads of ours behind.

    Fixtures of a wider scope are set up before this one, so what they keep running counts as there before. A test on
    a loop that it shares with others is not checked for tasks: theirs cannot be told from its own.
    """
    if _has_own_loop(request):
        request.getfixturevalue("_no_task_left")
    before = our_threads()
    yield
    threads = leaked_threads(before)
    if threads:
        pytest.fail(f"The test left threads running: {', '.join(threads)}", pytrace=False)


@pytest_asyncio.fixture(loop_scope="function")
async def _no_task_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    tasks = await leaked_tasks(before)
    if tasks:
        pytest.fail(f"The test left tasks running: {'; '.join(tasks)}", pytrace=False)


def _has_own_loop(request: pytest.FixtureRequest) -> bool:
    if not inspect.iscoroutinefunction(request.function):
        return False
    marker = request.node.get_closest_marker("asyncio")
    return marker is None or marker.kwargs.get("loop_scope", "function") == "function"


@pytest.fixture
def logs() -> Iterator[None]:
    """The logs are as before afterwards."""
    root = logging.getLogger()
    handlers, level, configured = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.configure(**configured)
