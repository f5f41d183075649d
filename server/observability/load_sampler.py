"""Looks at the load of a server every few seconds, for the plots of the operator's page."""

import asyncio
import time
from collections.abc import Iterable, Sized
from typing import Protocol

import structlog

from pipeline.engines.protocols import Engine
from pipeline.scheduling.cores import CORES
from server.observability.recent import PERIOD_S, Load, Recent
from server.observability.sources import lane_load

log = structlog.get_logger(__name__)


class Lines(Protocol):
    """Calls, as far as they are counted here."""

    @property
    def active(self) -> Sized:
        """Those that are open."""

    @property
    def capacity(self) -> int:
        """How many may be open now."""


class LoadSampler:
    """Samples from its making until `close`. Needs a running event loop.

    Args:
        recent: takes the samples.
        lines: the calls.
        engines: whose queues count.
        period_s: between two samples.
    """

    def __init__(self, recent: Recent, lines: Lines, engines: Iterable[Engine], period_s: float = PERIOD_S) -> None:
        self._recent = recent
        self._lines = lines
        self._engines = list(engines)
        self._period_s = period_s
        self._task = asyncio.create_task(self._run(), name="samples of the load")

    async def close(self) -> None:
        """Stop."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def sample(self) -> None:
        """Take one now."""
        waiting = sum(load.waiting for engine in self._engines if (load := lane_load(engine)) is not None)
        calls, capacity = len(self._lines.active), self._lines.capacity
        self._recent.sampled(Load(time.monotonic(), calls, capacity, CORES.used, waiting))

    async def _run(self) -> None:
        while True:
            try:
                self.sample()
            except Exception:  # the plots miss a point; the server does not care
                log.exception("load not sampled")
            await asyncio.sleep(self._period_s)
