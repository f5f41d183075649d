"""Which of several workers runs which test."""

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
