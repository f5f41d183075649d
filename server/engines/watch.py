"""How each engine does: the time of its last pieces of work, and its failures, whichever door asked for the work."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from statistics import median

from pipeline.engines.protocols import RequestRefusedError
from pipeline.scheduling.lanes import LaneClosedError, LaneFullError, Ticket

KEPT = 64
"""Pieces of work that the median is taken of."""

GIVEN_UP = "gave no answer in time"
"""The problem of an engine whose work was not waited for any longer."""

FAILING = 3
"""Failures in a row from which on an engine counts as down."""


class EngineWatch:
    """Figures of one engine.

    Attributes:
        works: pieces of work done since the start.
        failures: pieces of work that failed since the start, were it by giving no sign until nobody waited any longer;
            a full queue or a caller who left is no failure.
        problem: what the last failure was; empty once a piece of work was done after it.
    """

    def __init__(self) -> None:
        self.works = 0
        self.failures = 0
        self.problem = ""
        self.seconds_total = 0.0
        self._seconds: deque[float] = deque(maxlen=KEPT)
        self._failed_in_a_row = 0
        self._warm_up: float | None = None

    def warmed_up(self, seconds: float) -> None:
        """The engine did its first piece of work, lazy set-up included; told as its latency until there is another."""
        self._warm_up = seconds

    def began_to_answer(self, seconds: float) -> None:
        """The first result of a piece of work is there.

        Args:
            seconds: until then, the wait for a free worker included.
        """
        self.works += 1
        self.seconds_total += seconds
        self._seconds.append(seconds)

    def done(self) -> None:
        """A piece of work was done, to its end: one that breaks off behind its first word has failed all the same."""
        self._failed_in_a_row = 0
        self.problem = ""

    def failed(self, problem: str) -> None:
        """A piece of work failed."""
        self.failures += 1
        self._failed_in_a_row += 1
        self.problem = problem

    @property
    def status(self) -> str:
        """ "ok", "degraded" after a failure, "down" after several in a row."""
        if self._failed_in_a_row == 0:
            return "ok"
        return "down" if self._failed_in_a_row >= FAILING else "degraded"

    def latency_ms(self) -> float | None:
        """Median of the last pieces of work; before the first, that of the warm-up; None before that."""
        seconds = median(self._seconds) if self._seconds else self._warm_up
        return None if seconds is None else round(seconds * 1000, 2)

    @contextmanager
    def working(self, ticket: Ticket | None = None) -> Iterator["Work"]:
        """Time a piece of work and notice its failure.

        Args:
            ticket: of the work; it tells whether the work was given up. None for work that nobody gives up.
        """
        work = Work(self)
        try:
            yield work
        except (asyncio.CancelledError, GeneratorExit):
            self._left(ticket)
            raise
        except (LaneFullError, LaneClosedError, RequestRefusedError, ValueError):
            # Refused, not failed: no room, going down, or asked for what it cannot do.
            raise
        except Exception as error:
            self.failed(str(error) or type(error).__name__)
            raise
        else:
            if ticket is not None and ticket.given_up:
                self.failed(GIVEN_UP)
            elif work.answered:
                self.done()

    def _left(self, ticket: Ticket | None) -> None:
        """Nobody waits for the work any more: who gave it up has learnt that it does not come."""
        if ticket is not None and ticket.given_up:
            self.failed(GIVEN_UP)


class Work:
    """A piece of work in hand; belongs to `EngineWatch.working`.

    Attributes:
        answered: whether a result is there.
    """

    def __init__(self, watch: EngineWatch) -> None:
        self._watch = watch
        self._began = time.monotonic()
        self.answered = False

    def result(self) -> None:
        """A result is there; the first one counts."""
        if not self.answered:
            self.answered = True
            self._watch.began_to_answer(time.monotonic() - self._began)


Watches = Mapping[str, EngineWatch]
"""By role: "vad", "turn", "stt", "llm", "tts", "embedder"."""
