"""`system_metrics`: what `/metrics` shows, written down now and then, so that it can be asked for by SQL later on."""

import asyncio

import structlog

from persistence.memory import Memory
from server.observability.metrics import Metrics

WHOLE_S = 3600.0
"""How often a figure is written that does not change; in between only those that did."""

log = structlog.get_logger(__name__)


class MetricSampler:
    """Hands the server's figures to memory, which writes them in batches and prunes them.

    Args:
        metrics: the figures; buckets of histograms are left out, their sums and counts are not.
        memory: where they go.
        period_s: between two samples.
    """

    def __init__(self, metrics: Metrics, memory: Memory, period_s: float) -> None:
        self._metrics = metrics
        self._memory = memory
        self._period_s = period_s
        self._known: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._whole_at = float("-inf")
        self._task = asyncio.create_task(self._run(), name="samples of metrics")

    async def close(self) -> None:
        """Stop."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def sample(self) -> None:
        """Take what has changed since the last sample."""
        now = asyncio.get_running_loop().time()
        if now - self._whole_at >= WHOLE_S:
            self._known.clear()
            self._whole_at = now
        for figure in self._metrics.figures():
            key = figure.name, tuple(sorted(figure.labels.items()))
            if self._known.get(key) != figure.value:
                self._known[key] = figure.value
                self._memory.metrics.sample(figure.name, figure.value, figure.labels)

    async def _run(self) -> None:
        while True:
            try:
                self.sample()
            except Exception:  # a figure that cannot be had must not end the others
                log.exception("metrics not sampled")
            await asyncio.sleep(self._period_s)
