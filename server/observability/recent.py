"""The last hour of a server: how long answers took, how many calls there were, how busy the cores."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

TURNS = 500
"""Answers that are kept; the oldest go first."""

PERIOD_S = 5.0
"""Between two samples of the load."""

LOADS = 720
"""Samples of the load that are kept: an hour."""


@dataclass(frozen=True, slots=True)
class AnsweredTurn:
    """A turn that was answered.

    Attributes:
        at: monotonic seconds.
        voice_to_voice_ms: from the last audible sample to the first frame of the reply.
        stages: its parts in milliseconds, in order; they sum to the whole.
    """

    at: float
    voice_to_voice_ms: float
    stages: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Load:
    """How busy the server was.

    Attributes:
        at: monotonic seconds.
        calls: that were open.
        capacity: calls that might have been open.
        cores: threads of engines that ran.
        waiting: pieces of work in the queues of all lanes.
    """

    at: float
    calls: int
    capacity: int
    cores: int
    waiting: int


class Recent:
    """Keeps both. Who samples the load and what the time is are the caller's affair."""

    def __init__(self) -> None:
        self._turns: deque[AnsweredTurn] = deque(maxlen=TURNS)
        self._loads: deque[Load] = deque(maxlen=LOADS)

    def answered(self, turn: AnsweredTurn) -> None:
        """Take in a turn."""
        self._turns.append(turn)

    def sampled(self, load: Load) -> None:
        """Take in a sample of the load."""
        self._loads.append(load)

    def turns(self, after: float) -> list[AnsweredTurn]:
        """Turns later than a time, the oldest first."""
        return [turn for turn in self._turns if turn.at > after]

    def loads(self, after: float) -> list[Load]:
        """Samples later than a time, the oldest first."""
        return [load for load in self._loads if load.at > after]
