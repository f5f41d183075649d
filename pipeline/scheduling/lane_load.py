"""What a lane has to do and has done, for health and metrics."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.scheduling.thread_cpu import cpu_of


@dataclass(slots=True)
class LaneLoad:
    """A lane's counters since its start, for health and metrics.

    Attributes:
        waiting: jobs in the queue now.
        running: jobs that a worker has in hand now.
        done: jobs finished.
        dropped: jobs cancelled before they started.
        rejected: jobs that found the queue full.
        busy_s: seconds of work, summed over the workers; a stream that rests is not at work.
        waited_s: seconds that the jobs that were started had spent in the queue, for a worker and for a core, summed.
        running_since: monotonic start of the oldest job now running, None when idle.
        threads: name of the threads that do the work, those of the model's library among them; "" for none here.
    """

    waiting: int = 0
    running: int = 0
    done: int = 0
    dropped: int = 0
    rejected: int = 0
    busy_s: float = 0.0
    waited_s: float = 0.0
    running_since: float | None = None
    threads: str = ""

    def cpu_s(self, spent: Mapping[str, float]) -> float | None:
        """CPU seconds of its threads; None where there are none, or the system does not tell (only Linux does).

        Args:
            spent: what `cpu_by_thread_name` told, once for all lanes.
        """
        return cpu_of(self.threads, spent) if self.threads else None
