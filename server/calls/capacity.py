"""How many calls this machine answers in time: from the measured speed of its engines, and from how late it is now.

A call that is let in and then waits ten seconds for every answer is worse than one that is told to come back.
"""

import time
from collections import deque

from pipeline.engines.speeds import EngineSpeeds

TURN_EVERY_S = 12.0
"""A caller asks about so often: a question of 3 s, a moment, an answer of 6 s, a thought."""

TRANSCRIPTIONS = 2.5
"""Of a turn: the one that counts, one for a pause that was not the end, and interim ones where there is room."""

JUDGEMENTS = 3.0
"""Questions to the turn model in a turn."""

REPLY_TOKENS = 35
REPLY_S = 6.0

LOAD = 0.45
"""Share of the cores, and of an engine, that may be busy on the average: above it the wait grows beyond bounds.

In virtual time (`tests/pipeline/scheduling/test_calls_on_cores.py`) 0.6 would do. On two real cores with VNNI that
let 7 of 8 callers in, and one of them waited for 6.6 times as long as a caller alone."""

MOST = 64
"""Where nothing measured bounds it: engines in other processes, and processors of many cores."""

GUESSED_PER_CORE = 2
"""Calls for a core of a processor of which nothing is known."""

GUESSED_ALONE_S = 1.2
GUESSED_OTHERS_S = 0.7

DECISION_S = 0.3
"""From the end of speech to the decision that the turn is over."""

LATE = 2.5
"""An answer is late when it takes so many times as long as for a caller alone."""

LATE_SHARE = 0.25
"""Share of late ones from which on nobody else is let in."""

RECENT_S = 45.0
RECENT_TURNS = 3
"""Fewer answers in `RECENT_S` than these say nothing."""


def turn_cost_s(speeds: EngineSpeeds) -> float:
    """Core seconds that a turn takes, from the first interim transcript to the last word of the answer."""
    heard = TRANSCRIPTIONS * speeds.stt_s * speeds.stt_threads
    return heard + _judging_s(speeds) + _writing_s(speeds) + REPLY_S * speeds.tts_share


def _judging_s(speeds: EngineSpeeds) -> float:
    return JUDGEMENTS * speeds.turn_model_s


def _writing_s(speeds: EngineSpeeds) -> float:
    return speeds.llm_first_token_s + REPLY_TOKENS * speeds.llm_token_s


def calls_in_time(speeds: EngineSpeeds | None, cores: int) -> int:
    """Calls that can be open at once such that each is answered about as fast as one alone.

    Args:
        speeds: of the engines; None where nobody has measured them.
        cores: that inference may use, for that case.
    """
    if speeds is None:
        return min(MOST, GUESSED_PER_CORE * cores)
    # The turn model and the language model do one thing at a time, however many cores there are.
    cost = max(turn_cost_s(speeds) / speeds.cores, _judging_s(speeds), _writing_s(speeds))
    return MOST if cost <= 0 else max(1, min(MOST, int(LOAD * TURN_EVERY_S / cost)))


def alone_s(speeds: EngineSpeeds | None) -> float:
    """About how long a single caller waits for an answer."""
    if speeds is None:
        return GUESSED_ALONE_S
    return others_s(speeds) + speeds.llm_first_token_s + speeds.llm_clause_s


def others_s(speeds: EngineSpeeds | None) -> float:
    """What a single caller waits for besides the language model."""
    if speeds is None:
        return GUESSED_OTHERS_S
    return DECISION_S + speeds.stt_s + speeds.turn_model_s + speeds.tts_first_s


class Capacity:
    """Decides how many calls may be open.

    Args:
        limit: a number from the settings, which then is the answer; None to go by what is measured.
        cores: that inference may use.

    Attributes:
        limit: as above.
        speeds: of the engines, once they are known.
        alone: the same of those that answer a caller alone, where a wiser language model does.
    """

    def __init__(self, limit: int | None, cores: int, speeds: EngineSpeeds | None = None) -> None:
        self.limit = limit
        self.speeds = speeds
        self.alone: EngineSpeeds | None = None
        self._cores = cores
        self._answers: deque[tuple[float, float]] = deque(maxlen=256)

    def answered(self, seconds: float, now: float | None = None) -> None:
        """A turn of any call was answered.

        Args:
            seconds: from the last sound of the question to the first of the answer.
            now: monotonic time.
        """
        self._answers.append((time.monotonic() if now is None else now, seconds))

    def calls(self, active: int, waiting_s: float = 0.0, now: float | None = None) -> int:
        """Calls that may be open now; those that are open stay so.

        Args:
            active: calls that are open.
            waiting_s: how long the most urgent work has been waiting for a core.
            now: monotonic time.
        """
        if self.limit is not None:
            return self.limit
        most = calls_in_time(self.speeds, self._cores)
        if active and self.late(waiting_s, now):
            return min(most, active)
        return most

    def late(self, waiting_s: float = 0.0, now: float | None = None) -> bool:
        """Whether callers wait much longer than one alone would."""
        now = time.monotonic() if now is None else now
        bound = LATE * alone_s(self.alone or self.speeds)
        if waiting_s > bound:
            return True
        recent = [seconds for at, seconds in self._answers if now - at <= RECENT_S]
        return len(recent) >= RECENT_TURNS and sum(s > bound for s in recent) >= LATE_SHARE * len(recent)
