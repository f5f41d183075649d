"""Work that comes round: each job at its own period, one at a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from persistence.errors import StoreUnavailableError
from persistence.tasks import ended, keep_running

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """What to do every so many seconds."""

    name: str
    period_s: float
    work: Callable[[], Awaitable[object]]


class Housekeeping:
    """One background task for all jobs; a job that fails is tried again at its next turn.

    Args:
        jobs: in order of their first turn, which comes after one period.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = list(jobs)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = keep_running(self._run, "housekeeping of memory")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            await ended([self._task])

    async def _run(self) -> None:
        due = {job.name: time.monotonic() + job.period_s for job in self._jobs}
        while True:
            job = min(self._jobs, key=lambda each: due[each.name])
            await asyncio.sleep(max(due[job.name] - time.monotonic(), 0.0))
            due[job.name] = time.monotonic() + job.period_s
            try:
                await job.work()
            except StoreUnavailableError as error:
                log.debug("housekeeping put off", job=job.name, problem=str(error))
            except Exception:  # one job's mistake must not end the others
                log.exception("housekeeping failed", job=job.name)
