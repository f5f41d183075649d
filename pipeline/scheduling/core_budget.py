"""Rules of which work may run on the cores now, over everything that runs and waits, without threads.

The rules, for `n` cores:

- never more than `n` threads run;
- the most urgent claim that can run goes first, over all engines;
- optional work (interim transcripts, look-ahead, embeddings, texts) cannot be interrupted, so it starts only where a
  core stays free for what comes next: it never holds more than `n - 1`. On one core it starts when nothing else
  waits;
- optional work that has waited for `PATIENCE_S` goes before other optional work, and takes the last core if no
  other work wants it: long busy stretches do not starve it;
- work that another machine or process does claims no core. It only makes optional work of that kind wait.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.scheduling.ticket import Ticket, Urgency

PATIENCE_S = 2.0
"""Optional work that has waited for so long may take the last free core."""


def _nothing() -> None:
    pass


@dataclass(slots=True, eq=False)
class Room:
    """How many jobs of one engine may run at once.

    Attributes:
        limit: the most.
        running: now.
    """

    limit: int
    running: int = 0


@dataclass(slots=True, eq=False)
class Claim:
    """One job's wish for cores.

    Attributes:
        ticket: how urgent; may be another one from time to time.
        room: of its engine.
        threads: that it starts with; 0 for work that is done elsewhere.
        start: called when it may run; must return at once.
        dropped: called when its ticket was cancelled while it waited.
        since: when it began to wait, seconds.
        order: of arrival.
        waiting: for cores.
        running: has cores, or is under way elsewhere.
        held: threads that it has now.
    """

    ticket: Ticket
    room: Room
    threads: int = 1
    start: Callable[[], None] = _nothing
    dropped: Callable[[], None] = _nothing
    since: float = 0.0
    order: int = 0
    waiting: bool = False
    running: bool = False
    held: int = 0

    def forget(self) -> None:
        """Let go of the job behind it."""
        self.start = self.dropped = _nothing


@dataclass(slots=True)
class CoreBudget:
    """Deals out cores.

    Attributes:
        cores: how many there are.
        used: threads that run now.
    """

    cores: int
    used: int = 0
    _waiting: list[Claim] = field(default_factory=list)
    _running: list[Claim] = field(default_factory=list)
    _orders: "itertools.count[int]" = field(default_factory=itertools.count)

    def wait(self, claim: Claim, now: float) -> None:
        """A claim waits from now on."""
        claim.since, claim.order, claim.waiting = now, next(self._orders), True
        self._waiting.append(claim)

    def withdraw(self, claim: Claim) -> bool:
        """A claim waits no longer; False if it did not."""
        if not claim.waiting:
            return False
        claim.waiting = False
        self._waiting.remove(claim)
        return True

    def withdraw_cancelled(self, ticket: Ticket) -> list[Claim]:
        """Take out what waits with a ticket that is cancelled."""
        dead = [claim for claim in self._waiting if claim.ticket is ticket] if ticket.cancelled else []
        for claim in dead:
            self.withdraw(claim)
        return dead

    def give_back(self, claim: Claim) -> None:
        """A claim's work is done, or rests; doing it again does nothing."""
        if claim.running:
            claim.running = False
            claim.room.running -= 1
            self.used -= claim.held
            claim.held = 0
            self._running.remove(claim)

    def grant(self, now: float) -> Claim | None:
        """The next claim that may run, from now on counted as running; None when there is none.

        Args:
            now: seconds.
        """
        if self.used >= self.cores and all(claim.threads for claim in self._waiting):
            return None
        for claim in sorted(self._waiting, key=lambda claim: self._rank(claim, now)):
            if claim.ticket.cancelled or claim.ticket.resting or claim.room.running >= claim.room.limit:
                continue
            threads = min(claim.threads, self.cores)
            if self._allows(claim, threads, now):
                self.withdraw(claim)
                self._run(claim, threads)
                return claim
            if not claim.ticket.optional and threads > 1:
                # It needs more than are free: less urgent work must not take them one by one.
                return None
        return None

    def widen(self, claim: Claim, most: int) -> int:
        """Let a running claim have further cores that no other claim may have now.

        Args:
            claim: that runs.
            most: threads that it has use for.

        Returns:
            Threads that it has.
        """
        limit = self._optional_limit() if claim.ticket.optional else self.cores
        more = max(0, min(most - claim.held, limit - self.used))
        claim.held += more
        self.used += more
        return claim.held

    def outranked(self, claim: Claim) -> bool:
        """Whether a more urgent claim waits for the core of a running one."""
        return self.used >= self._limit(claim.ticket) and any(
            other.ticket.urgency < claim.ticket.urgency
            and other.threads > 0
            and not other.ticket.cancelled
            and not other.ticket.resting
            and (other.room is claim.room or other.room.running < other.room.limit)
            for other in self._waiting
        )

    def waiting_s(self, now: float) -> float:
        """Seconds that the oldest claim has waited of those that are urgent."""
        waiting = (claim for claim in self._waiting if not claim.ticket.optional and not claim.ticket.resting)
        return max((now - claim.since for claim in waiting if claim.threads), default=0.0)

    def spare(self) -> bool:
        """Whether optional work would be begun at once: no claim waits, and a core stays free beside it.

        On a single core there is nothing to spare.
        """
        return self.cores > 1 and self.used + 1 <= self._optional_limit() and not self._urgent()

    def _run(self, claim: Claim, threads: int) -> None:
        claim.running, claim.held = True, threads
        claim.room.running += 1
        self.used += threads
        self._running.append(claim)

    def _allows(self, claim: Claim, threads: int, now: float) -> bool:
        if threads == 0:
            return not claim.ticket.optional or not self._urgent()
        limit = self._limit(claim.ticket)
        if claim.ticket.optional:
            if self._patience_over(claim, now):
                limit = self.cores
            threads = min(threads, limit)
        return self.used + threads <= limit

    def _limit(self, ticket: Ticket) -> int:
        return self._optional_limit() if ticket.optional else self.cores

    def _optional_limit(self) -> int:
        return max(1, self.cores - 1)

    def _urgent(self) -> bool:
        """Whether urgent work waits or is done elsewhere."""
        waiting = (claim for claim in self._waiting if not claim.ticket.resting and not claim.ticket.cancelled)
        away = (claim for claim in self._running if claim.threads == 0)
        return any(not claim.ticket.optional for claim in itertools.chain(waiting, away))

    def _rank(self, claim: Claim, now: float) -> tuple[int, float, int]:
        if claim.ticket.optional and self._patience_over(claim, now):
            return (Urgency.INTERIM, float("-inf"), claim.order)
        return (claim.ticket.urgency, claim.ticket.deadline, claim.order)

    @staticmethod
    def _patience_over(claim: Claim, now: float) -> bool:
        return now - claim.since >= PATIENCE_S
