"""How many calls this machine answers in time: from the measured speed of its engines, and from how late it is now.

A call that is let in and then waits ten seconds for every answer is worse than one that is told to come back.
"""

import time
from collections import deque
from dataclasses import replace

from pipeline.engines.llm.speed import LanguageModelSpeed
from pipeline.engines.speeds import EngineSpeeds, Unmeasured

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

GUESSED_STT_S, GUESSED_VOICE_S, GUESSED_CLAUSE_S = 0.25, 0.1, 0.5
"""What a caller waits for an engine of which nothing is known here: it works elsewhere, or was not measured."""

BEGIN_S = 0.08
"""From the last sound of speech until its words are asked for: what comes of them is worked out on suspicion."""

DECISION_S = 0.25
"""From the last sound until the turn is over, the median of `morgan bench waits`: no answer is heard before."""

LATE = 2.5
"""An answer is late when it takes so many times as long as for a caller alone."""

LATE_SHARE = 0.25
"""Share of late ones from which on nobody else is let in."""

RECENT_S = 45.0
RECENT_TURNS = 3
"""Fewer answers in `RECENT_S` than these say nothing."""


def turn_cost_s(speeds: EngineSpeeds) -> float:
    """Core seconds that a turn takes here, from the first interim transcript to the last word of the answer."""
    return sum(cost for role, cost in _costs(speeds).items() if role not in speeds.on_gpu)


def turn_on_gpu_s(speeds: EngineSpeeds) -> float:
    """Seconds that a turn takes of the GPU, likewise."""
    return sum(cost for role, cost in _costs(speeds).items() if role in speeds.on_gpu)


def _costs(speeds: EngineSpeeds) -> dict[str, float]:
    """Seconds of work of a turn, by role of the engine."""
    return {
        "stt": TRANSCRIPTIONS * (_known(speeds.stt_s) or 0.0) * speeds.stt_threads,
        "turn": _judging_s(speeds),
        "llm": _writing_s(speeds),
        "tts": 0.0 if isinstance(speeds.voice, Unmeasured) else REPLY_S * speeds.voice.share,
    }


def _judging_s(speeds: EngineSpeeds) -> float:
    return JUDGEMENTS * (_known(speeds.turn_model_s) or 0.0)


def _writing_s(speeds: EngineSpeeds) -> float:
    return 0.0 if isinstance(speeds.llm, Unmeasured) else speeds.llm.first_s + REPLY_TOKENS * speeds.llm.token_s


def _known(figure: float | Unmeasured) -> float | None:
    return None if isinstance(figure, Unmeasured) else figure


def calls_in_time(speeds: EngineSpeeds | None, cores: int) -> int:
    """Calls that can be open at once such that each is answered about as fast as one alone.

    Args:
        speeds: of the engines; None where nobody has measured them.
        cores: that inference may use, for that case.
    """
    guessed = min(MOST, GUESSED_PER_CORE * cores)
    if speeds is None:
        return guessed
    # The turn model and the language model do one thing at a time, however many cores there are; so does a GPU, about:
    # what it hears for 16 callers in one batch takes 0.73 of the time of one after the other.
    on_cores = turn_cost_s(speeds) / speeds.cores
    cost = max(on_cores, turn_on_gpu_s(speeds), _judging_s(speeds), _writing_s(speeds))
    most = MOST if cost <= 0 else max(1, min(MOST, int(LOAD * TURN_EVERY_S / cost)))
    # What is unknown comes on top of what is known.
    return min(most, guessed) if speeds.unknown else most


def alone_s(speeds: EngineSpeeds | None) -> float:
    """About how long a single caller waits for an answer, seconds."""
    llm = Unmeasured.UNKNOWN if speeds is None else speeds.llm
    return wait_s(others_s(speeds), GUESSED_CLAUSE_S if isinstance(llm, Unmeasured) else llm.voiced_s)


def wait_s(others: float, voiced: float) -> float:
    """About how long a single caller waits whose answer is begun on suspicion, while the decision is pending.

    Args:
        others: what runs ahead of the language model and behind it, seconds (`others_s`).
        voiced: until the language model has a clause to say (`LanguageModelSpeed.voiced_s`).
    """
    return max(DECISION_S, others + voiced)


def others_s(speeds: EngineSpeeds | None) -> float:
    """What runs in turns with the language model for a single caller, seconds: the transcript and the first sound.

    The turn model and the wait for the decision run beside them; on a single core the turn model runs ahead of them.
    """
    if speeds is None:
        return BEGIN_S + GUESSED_STT_S + GUESSED_VOICE_S
    heard = GUESSED_STT_S if isinstance(speeds.stt_s, Unmeasured) else speeds.stt_s
    spoken = GUESSED_VOICE_S if isinstance(speeds.voice, Unmeasured) else speeds.voice.first_s
    judged = 0.0 if speeds.cores > 1 else _known(speeds.turn_model_s) or 0.0
    return BEGIN_S + heard + judged + spoken


class Capacity:
    """Decides how many calls may be open.

    A quick language model answers crowds; where a wiser one answers a caller alone, or all of them, it is told here.

    Args:
        limit: a number from the settings, which then is the answer; None to go by what is measured.
        cores: that inference may use.

    Attributes:
        limit: as above.
        speeds: of the engines, once they are known; of language models that of the quick one.
        wise: speed of the language model that answers a caller alone; None where that is the quick one.
        wise_only: the wise one answers all callers.
    """

    def __init__(self, limit: int | None, cores: int, speeds: EngineSpeeds | None = None) -> None:
        self.limit = limit
        self.speeds = speeds
        self.wise: LanguageModelSpeed | None = None
        self.wise_only = False
        self._cores = cores
        self._answers: deque[tuple[float, float]] = deque(maxlen=256)

    @property
    def alone(self) -> EngineSpeeds | None:
        """Speeds of the engines that answer a caller alone."""
        return self.speeds if self.speeds is None or self.wise is None else replace(self.speeds, llm=self.wise)

    @property
    def most(self) -> int:
        """Calls that are answered in time."""
        return calls_in_time(self.alone if self.wise_only else self.speeds, self._cores)

    @property
    def most_wise(self) -> int:
        """Calls that the engines which answer a caller alone answer in time."""
        return calls_in_time(self.alone, self._cores)

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
        if active and self.late(waiting_s, now):
            return min(self.most, active)
        return self.most

    def late(self, waiting_s: float = 0.0, now: float | None = None) -> bool:
        """Whether callers wait much longer than one alone would."""
        now = time.monotonic() if now is None else now
        bound = LATE * self._alone_s()
        if waiting_s > bound:
            return True
        recent = [seconds for at, seconds in self._answers if now - at <= RECENT_S]
        return len(recent) >= RECENT_TURNS and sum(s > bound for s in recent) >= LATE_SHARE * len(recent)

    def _alone_s(self) -> float:
        """How long a caller alone waits.

        Engines elsewhere may be slower than guessed, however few callers there are: refusing some would not help. The
        quickest of the last answers tells.
        """
        speeds = self.alone
        usual = alone_s(speeds)
        if speeds is not None and not speeds.complete:
            return max(usual, min((seconds for _, seconds in self._answers), default=0.0))
        return usual
