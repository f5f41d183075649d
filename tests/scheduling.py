"""Which of several workers runs which test."""

from xdist.scheduler.loadscope import LoadScopeScheduling  # type: ignore[import-untyped]

SERVED = ("tests/e2e/", "tests/docs/", "tests/server/services/", "tests/server/test_memory_")
"""What the paths of the tests begin with that talk with a running server."""


class OneServer(LoadScopeScheduling):  # type: ignore[misc]
    """One worker runs all tests that talk with a running server, one after the other: they share it, and most of their
    time is spent listening. Each other file goes as a whole to whoever is free.

    (xdist's own `loadgroup` marks by `Item._nodeid`, which pytest 9.2 does not read any more.)
    """

    def _split_scope(self, nodeid: str) -> str:
        path: str = nodeid.split("::", 1)[0]
        return "server" if path.startswith(SERVED) else path
