"""What several callers at once got, and whether that will do."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

MOST_P95: Final = 2.5
"""Up to `EVERYONE` callers: the 95th percentile over the median of a single caller."""

EVERYONE: Final = 4
"""So many callers are all let in and answered."""

MOST_WAIT: Final = 4.0
"""More callers: the longest wait of those that were let in over the median of a single caller."""

AT_ONCE_S: Final = 1.0
"""A refusal comes within this."""


@dataclass(slots=True)
class Level:
    """So many callers at once.

    Attributes:
        callers: that called.
        rounds: questions that each of them asks.
        gaps_s: from the last sound of each question to the first of its answer; None: not answered.
        refused_s: after what time those were refused that were.
        failed: why calls came to nothing otherwise.
        cpu_s: processor time of the server by stage; empty where it cannot be read.
        callers_cpu_s: processor time of the callers, which share the machine.
        wall_s: how long it took.
    """

    callers: int
    rounds: int
    gaps_s: list[float | None] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    cpu_s: dict[str, float] = field(default_factory=dict)
    callers_cpu_s: float = 0.0
    wall_s: float = 0.0

    @property
    def let_in(self) -> int:
        """Callers that were not refused."""
        return self.callers - len(self.refused_s)

    @property
    def answered_s(self) -> list[float]:
        """Of the questions that were answered."""
        return [gap for gap in self.gaps_s if gap is not None]

    def quantile_s(self, share: float) -> float | None:
        """Of the answers; None where there were none."""
        return float(np.quantile(self.answered_s, share)) if self.answered_s else None

    def report(self) -> dict[str, Any]:
        """For JSON, milliseconds."""
        turns = len(self.gaps_s)
        return {
            "callers": self.callers,
            "let_in": self.let_in,
            "refused": len(self.refused_s),
            "refused_after_ms": [round(1000 * wait) for wait in self.refused_s],
            "failed": self.failed,
            "asked": turns,
            "answered": len(self.answered_s),
            "p50_ms": _ms(self.quantile_s(0.5)),
            "p95_ms": _ms(self.quantile_s(0.95)),
            "most_ms": _ms(self.quantile_s(1.0)),
            "cpu_ms_per_turn": {stage: round(1000 * spent / turns) for stage, spent in self.cpu_s.items()}
            if turns
            else {},
            "cores_used": round(sum(self.cpu_s.values()) / self.wall_s, 2) if self.wall_s else 0.0,
            "cores_of_callers": round(self.callers_cpu_s / self.wall_s, 2) if self.wall_s else 0.0,
        }


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(1000 * seconds)


def refusals_begin(levels: Sequence[Level]) -> int | None:
    """The fewest callers at which one was refused; None: nobody was."""
    return min((level.callers for level in levels if level.refused_s), default=None)


def broken_levels(levels: Sequence[Level]) -> list[str]:
    """What is out of bounds, in words; empty when all is well. Waits are held against those of a single caller."""
    alone = next((level.quantile_s(0.5) for level in levels if level.callers == 1), None)
    return [line for level in levels for line in _broken(level, alone)]


def _broken(level: Level, alone: float | None) -> list[str]:
    who = f"{level.callers} caller{'s' * (level.callers != 1)}"
    broken = [f"{who}: a call failed: {why}" for why in level.failed]
    asked = level.callers * level.rounds if level.callers <= EVERYONE else level.let_in * level.rounds
    if len(level.answered_s) < asked:
        broken.append(f"{who}: {len(level.answered_s)} of {asked} answered")
    late = [wait for wait in level.refused_s if wait > AT_ONCE_S]
    if late:
        broken.append(f"{who}: refused only after {max(late):.1f} s")
    share, most = (0.95, MOST_P95) if level.callers <= EVERYONE else (1.0, MOST_WAIT)
    waited = level.quantile_s(share)
    if alone and waited and level.callers > 1 and waited > most * alone:
        what = "p95" if share < 1 else "the longest wait"
        broken.append(f"{who}: {what} is {waited / alone:.1f} times the p50 of one caller, at most {most} will do")
    return broken
