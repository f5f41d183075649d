"""Which of several workers runs which test, and compiles which."""

import contextlib
import importlib

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling  # type: ignore[import-untyped]

from tests.needs import WALL_CLOCK

SERVED = ("tests/e2e/", "tests/docs/", "tests/examples/", "tests/server/services/", "tests/server/memory/")
"""What the paths of the tests begin with that talk with a running server."""


class OneServer(LoadScopeScheduling):  # type: ignore[misc]
    """One worker runs all tests that talk with a running server, one after the other: they share it, and most of their
    time is spent listening. So does one with all that assert real time (`tests.needs.WALL_CLOCK`), which would disturb
    each other. Each other file goes as a whole to the worker that is free.

    (xdist's own `loadgroup` marks by `Item._nodeid`, which pytest 9.2 does not read any more.)
    """

    def _split_scope(self, nodeid: str) -> str:
        path: str = nodeid.split("::", 1)[0]
        if path.startswith(WALL_CLOCK):
            return "wall clock"
        return "server" if path.startswith(SERVED) else path


def import_in_turns(config: pytest.Config) -> None:
    """Import all tests, each worker beginning at another one, before they are collected in the same order by all.

    What one has compiled, with pytest's assertions in it, the others load. On a fresh clone, where nothing is compiled,
    each worker would do all of it: half of what its collection takes.
    """
    worker = getattr(config, "workerinput", None)
    if worker is None or config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    files = sorted((config.rootpath / "tests").rglob("test_*.py"))
    first = len(files) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    for file in (*files[first:], *files[:first]):
        # What cannot be imported is told when it is collected.
        with contextlib.suppress(Exception, pytest.skip.Exception):
            importlib.import_module(".".join(file.relative_to(config.rootpath).with_suffix("").parts))
