"""`system_metrics`: samples of latencies, loads and cache rates, written in batches and pruned."""

import math
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from persistence.postgres.pool import Postgres
from persistence.values import Metric

MAX_WAITING = 5000


class Metrics:
    """Collects samples; they are worth keeping, not worth waiting for.

    Args:
        postgres: where they go.
        keep_s: age at which they are pruned.
    """

    def __init__(self, postgres: Postgres, keep_s: float) -> None:
        self.dropped = 0
        self._postgres = postgres
        self._keep = timedelta(seconds=keep_s)
        self._waiting: deque[Metric] = deque()

    def sample(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Take a sample now; beyond 5,000 that wait for the database the oldest goes."""
        if not math.isfinite(value):
            return
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(Metric(datetime.now(tz=UTC), name, value, dict(labels or {})))

    async def write(self) -> int:
        """Write what waits; returns how many.

        Raises:
            StoreUnavailableError: PostgreSQL does not answer; they wait on.
        """
        batch = list(self._waiting)
        if not batch:
            return 0
        async with self._postgres.connection() as connection:
            await connection.executemany(
                "INSERT INTO system_metrics (time, name, value, labels) VALUES ($1, $2, $3, $4)",
                [(metric.time, metric.name, metric.value, metric.labels) for metric in batch],
            )
        for metric in batch:
            # Some may have been dropped for newer ones meanwhile.
            if self._waiting and self._waiting[0] is metric:
                self._waiting.popleft()
        return len(batch)

    async def prune(self) -> int:
        """Delete what is too old; returns how many rows went."""
        async with self._postgres.connection() as connection:
            done = await connection.execute(
                "DELETE FROM system_metrics WHERE time < $1", datetime.now(tz=UTC) - self._keep
            )
        return int(done.split()[-1])
