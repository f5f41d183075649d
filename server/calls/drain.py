"""How calls come to their end before a restart: what each of them is still given, and when it is over. Sans-I/O.

Until `WIND_DOWN_S` before the end of the patience calls go on as if nothing were; as soon as all of them can be handed
over and nobody says anything, they are, together: the shorter the time without a server, the better. Behind that a call
ends as soon as nobody says anything on it; who cannot be handed over is told aloud. Replies are heard to their end, in
the last seconds to that of a clause, at the very last to that of a word.
"""

import enum
from collections.abc import Iterable, Iterator
from typing import Protocol

from pipeline.call.state import State

QUIET_S = 0.6
"""Neither side has said anything for so long: what went out last has left the far end's buffer too."""

WIND_DOWN_S = 10.0
"""Before the end, calls end one by one; half of the patience where that is less."""

CLAUSE_S = 5.0
"""Before the end, the end of a clause is enough for a reply; a quarter of the patience where that is less."""

WORD_S = 1.5
"""Before the end, that of a word is; an eighth where that is less."""


REPLYING = (State.THINKING, State.SPEAKING)


class Step(enum.Enum):
    """What is to be done about a call."""

    END = "end"
    SAY_GOODBYE = "say_goodbye"
    """Tell callers whose clients cannot come back by themselves."""
    END_REPLY = "end_reply"
    """The reply in hand ends early."""


class Draining(Protocol):
    """A call, as far as this is concerned."""

    @property
    def id(self) -> str:
        """Of the call."""

    @property
    def state(self) -> State:
        """What it is doing."""

    @property
    def resumable(self) -> bool:
        """Whether the process that follows can go on with it."""

    @property
    def says_goodbye(self) -> bool:
        """Whether there is something to say before it ends."""


class Drain:
    """Decides when each call ends.

    Args:
        now: monotonic time.
        patience_s: within which all of them have to.

    Attributes:
        until: monotonic time at which the patience is over.
        word_from: from then on the end of a word is enough for a reply.
    """

    def __init__(self, now: float, patience_s: float) -> None:
        self.until = now + patience_s
        self.word_from = self.until - min(WORD_S, patience_s / 8)
        self._clause_from = self.until - min(CLAUSE_S, patience_s / 4)
        self._wind_down_from = self.until - min(WIND_DOWN_S, patience_s / 2)
        self._quiet_since: dict[str, float] = {}
        self._told: set[tuple[str, Step]] = set()

    def steps(self, calls: Iterable[Draining], now: float) -> list[tuple[str, Step]]:
        """What is to be done now: ids of calls, each with its step.

        Args:
            calls: that have not begun to end.
            now: monotonic time; often enough that a pause of `QUIET_S` is seen.
        """
        calls = list(calls)
        for call in calls:
            if call.state is not State.LISTENING:
                self._quiet_since.pop(call.id, None)
            else:
                self._quiet_since.setdefault(call.id, now)
        if now >= self.until or all(call.resumable and self._is_quiet(call, now) for call in calls):
            return [(call.id, Step.END) for call in calls]
        return list(self._one_by_one(calls, now))

    def _one_by_one(self, calls: list[Draining], now: float) -> Iterator[tuple[str, Step]]:
        for call in calls:
            if now >= self._wind_down_from and self._is_quiet(call, now):
                tell = call.says_goodbye and not call.resumable and self._first(call, Step.SAY_GOODBYE)
                yield call.id, Step.SAY_GOODBYE if tell else Step.END
            elif now >= self._clause_from and call.state in REPLYING and self._first(call, Step.END_REPLY):
                yield call.id, Step.END_REPLY

    def _is_quiet(self, call: Draining, now: float) -> bool:
        return now - self._quiet_since.get(call.id, now) >= QUIET_S

    def _first(self, call: Draining, step: Step) -> bool:
        key = (call.id, step)
        first = key not in self._told
        self._told.add(key)
        return first
