"""The cores of this machine, shared by all engines of the process: a lock around `CoreBudget`, and how many there are.

Engines run their work in threads of their own (`pipeline.scheduling.lanes`, `pipeline.engines.llm.llama_worker`); each
takes a core here before a job and gives it back afterwards, so that urgent work never shares a core with what can
wait. The event loop and the media are not counted: they take a few percent of a core and a better niceness. Nor is
what computes on a GPU: it has slots of its own.
"""

import asyncio
import contextlib
import math
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from pipeline.scheduling.core_budget import Claim, CoreBudget, Room
from pipeline.scheduling.ticket import Ticket

_UNBOUNDED = 1 << 30


class Cores:
    """Deals out cores to the threads of engines.

    Args:
        count: cores; as many as this process may use if not given.

    Attributes:
        lock: guards everything here. Lanes use it for their own state too: one lock, no order to keep. Methods that say
            so are called with it held.
    """

    def __init__(self, count: int | None = None) -> None:
        self.lock = threading.Lock()
        self._budget = CoreBudget(usable_cores() if count is None else max(1, count))
        self._away = Room(_UNBOUNDED)

    @property
    def count(self) -> int:
        """How many there are."""
        return self._budget.cores

    @property
    def used(self) -> int:
        """Threads of engines that run now."""
        return self._budget.used

    def waiting_s(self) -> float:
        """Seconds for which the oldest urgent claim has been waiting for a core."""
        with self.lock:
            return self._budget.waiting_s(time.monotonic())

    def resize(self, count: int) -> None:
        """Share another number of cores from now on; what runs is let run."""
        with self.lock:
            self._budget.cores = max(1, count)
            self.dispatch()

    def spare(self) -> bool:
        """Whether optional work would be begun at once now; where it would not, it is better left out than queued."""
        with self.lock:
            return self._budget.spare()

    # With the lock held

    def ask(self, claim: Claim) -> None:
        """Let a claim wait; `claim.start` is called, maybe at once, when it may run. The lock is held."""
        claim.ticket.watch(self._changed)
        self._budget.wait(claim, time.monotonic())
        self.dispatch()

    def move(self, claim: Claim, ticket: Ticket) -> None:
        """Let a claim that waits go by another ticket. The lock is held."""
        if claim.ticket is not ticket:
            claim.ticket.unwatch(self._changed)
            claim.ticket = ticket
            ticket.watch(self._changed)
            self.dispatch()

    def withdraw(self, claim: Claim) -> bool:
        """Let a claim wait no longer; False if it did not. The lock is held."""
        found = self._budget.withdraw(claim)
        if found:
            claim.ticket.unwatch(self._changed)
        return found

    def dispatch(self) -> None:
        """Begin what may begin. The lock is held."""
        now = time.monotonic()
        while (claim := self._budget.grant(now)) is not None:
            claim.ticket.unwatch(self._changed)
            claim.start()

    def end(self, claim: Claim) -> None:
        """A claim's work is done; doing it again does nothing. The lock is held."""
        self._budget.give_back(claim)
        self.dispatch()

    # From the threads of engines

    def widen(self, claim: Claim, most: int) -> int:
        """Threads that a running claim may use until its end: what it has, and what no other claim may have."""
        with self.lock:
            return self._budget.widen(claim, most)

    def pause(self, claim: Claim, wanted: Callable[[], bool]) -> float:
        """Between two items of a stream: give the core to a more urgent claim, or rest, and wait for it again.

        Args:
            claim: that runs.
            wanted: whether the result is still wanted; what makes it false also withdraws the claim.

        Returns:
            Seconds that it took. The claim does not run afterwards if it was withdrawn meanwhile.
        """
        with self.lock:
            if not wanted() or not (claim.ticket.resting or self._budget.outranked(claim)):
                return 0.0
            began, again = time.monotonic(), threading.Event()
            claim.start = claim.dropped = again.set
            self._budget.give_back(claim)
            self.ask(claim)
        again.wait()
        return time.monotonic() - began

    @contextlib.asynccontextmanager
    async def elsewhere(self, ticket: Ticket) -> AsyncIterator[None]:
        """Work that another process does, which may well share our cores: optional work waits until no other does.

        A ticket that is cancelled waits no longer.
        """
        loop = asyncio.get_running_loop()
        begun: asyncio.Future[None] = loop.create_future()

        def begin() -> None:
            if not begun.done():
                begun.set_result(None)

        def tell() -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(begin)

        claim = Claim(ticket, self._away, threads=0, start=tell, dropped=tell)
        with self.lock:
            self.ask(claim)
            waits = claim.waiting and not ticket.cancelled
        try:
            if waits:
                await begun
            yield
        finally:
            with self.lock:
                self.withdraw(claim)
                self.end(claim)

    def _changed(self, ticket: Ticket) -> None:
        """A ticket of something that waits was changed."""
        with self.lock:
            dead = self._budget.withdraw_cancelled(ticket)
            for _ in dead:
                ticket.unwatch(self._changed)
            self.dispatch()
        for claim in dead:
            claim.dropped()


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process may keep busy: those that it may run on, within the quota of its container.

    Args:
        root: where `proc` and `sys` are found.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(root)
    # A thread more than the quota would have all of them, the media among them, stopped for a part of every 100 ms.
    return max(1, allowed if quota is None else min(allowed, math.floor(quota)))


def _quota(root: Path) -> float | None:
    """Cores by the control group's quota; None for all.

    `cpu.max` of https://docs.kernel.org/admin-guide/cgroup-v2.html, or the two files of version 1.
    """
    group = root / "sys/fs/cgroup"
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (group / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        quota_us = int((group / "cpu/cpu.cfs_quota_us").read_text())
        period_us = int((group / "cpu/cpu.cfs_period_us").read_text())
        return None if quota_us < 0 else quota_us / period_us
    return None


CORES = Cores()
"""Those of this process."""

GPU_SLOTS = Cores(16)
"""Jobs at once on a GPU, by the same rules: an engine that computes there asks for a slot, and leaves the cores to the
others. As many as Whisper hears in one batch (`pipeline.engines.stt.whisper_batches`); other engines have few jobs at
once."""


def slots_of(device: str) -> Cores:
    """Where the jobs of an engine find room.

    Args:
        device: that it computes on, such as "cpu" or "cuda".
    """
    return CORES if device == "cpu" else GPU_SLOTS


def longest_wait_s() -> float:
    """Seconds for which the oldest urgent piece of work of any engine has been waiting for room."""
    return max(CORES.waiting_s(), GPU_SLOTS.waiting_s())
