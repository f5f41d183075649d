"""What the next step of llama.cpp evaluates: whose tokens, how many, on how many threads.

A step cannot be interrupted, so what it takes on is what a more urgent request has to wait for. Tokens of several
conversations in one step are no gain as such: where the kernels are made for one token or for many, two take longer
together than one after the other (SmolLM2-135M on Zen 4, one thread: 1 token 13 ms, 2 of two conversations 24 to 40, 4
53, 8 56). Then one conversation after the other goes to the end of its first clause, in the order of their deadlines:
all are done as soon, and most of them sooner. What a step takes is learnt as steps are made (`StepPace`).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from pipeline.engines.llm.llama_slots import Tokens
from pipeline.scheduling.lanes import Urgency

FEWEST_TIMED = 4
"""Tokens of a step that tells how fast prompts are read."""

LEARNING, FORGETTING = 0.1, 0.5
"""Weight of a step in what is known of the speed: of a slower one, of a quicker one."""

WORTH_BATCHING = 0.75
"""Tokens of several conversations take at most so much of the time that they take one by one, to be taken together."""

WORTH_THREADS = 0.85
"""A step takes at most so much of the time of one thread, to be computed on more: each is a core less for speech."""

DOUBTED, SURE = 0.05, 0.002
"""What was slow may have been held up by another program: each time that it is passed over for that, it counts for this
share less, until it is tried again; of what was tried once, and less with each time, down to what is left of doubt."""

_PROMPT = 0


class Share(NamedTuple):
    """A request's part in a step: the next `length` tokens that the cache does not hold."""

    tokens: Tokens
    length: int


@dataclass(frozen=True, slots=True)
class StepLimits:
    """How much one step takes on. A step is what a cancelled or more urgent request has to wait for.

    Attributes:
        chunk: prompt tokens of a step (32 cost about 130 ms with a 135M model on two cores, and a longer step is
            hardly cheaper per token).
        background_chunk: the same where nobody's voice waits for it: half as long to wait for whoever then comes.
        ahead_chunk: the same of what is read ahead of the words, or on suspicion: the words themselves come any moment,
            and are others half of the time,
        ahead_s: so no such step should take longer than a transcript,
        ahead_least: but so many tokens are read at once.
        aside_chunk: prompt tokens of a text whose turn it is beside calls.
        patience_s: a reply that runs dry gets a step after it was left out for this long,
        text_patience_s: a text after this; texts take turns at that.
        step_s: no step of prompts should take longer, however large the model (32 tokens of one with 1.5 billion
            parameters take 1.2 s on one thread),
        least: but so many tokens are read at once: with fewer, most of the time goes into reading the weights.
    """

    chunk: int = 32
    background_chunk: int = 16
    ahead_chunk: int = 32
    ahead_s: float = 0.1
    ahead_least: int = 4
    aside_chunk: int = 8
    patience_s: float = 0.25
    text_patience_s: float = 1.0
    step_s: float = 0.3
    least: int = 8

    def paced(self, token_s: float) -> "StepLimits":
        """The limits for a model that takes so many seconds for a prompt token; 0 where that is not known."""
        if token_s <= 0:
            return self
        within = max(self.least, int(self.step_s / token_s))
        return replace(
            self,
            chunk=min(self.chunk, within),
            background_chunk=min(self.background_chunk, max(self.least, within // 2)),
            ahead_chunk=min(self.ahead_chunk, max(self.ahead_least, int(self.ahead_s / token_s))),
            aside_chunk=min(self.aside_chunk, max(self.least // 2, within // 4)),
        )


GPU_LIMITS: Final = StepLimits(chunk=512, background_chunk=256, ahead_chunk=512, aside_chunk=64)
"""On a GPU, where 512 tokens of a prompt take hardly longer than one; fewer for a model that is slow there too
(`StepLimits.paced`)."""


class StepPace:
    """How long steps take, learnt as they are made, for each number of threads.

    What is not known is tried.
    """

    def __init__(self) -> None:
        # Of so many single tokens in a step, or of one token of a prompt (_PROMPT), on so many threads.
        self._seconds: dict[tuple[int, int], float] = {}
        self._tried: Counter[tuple[int, int]] = Counter()

    @property
    def token_s(self) -> float:
        """Seconds of a prompt token, with the number of threads that makes it longest; 0 before anything is known."""
        return max((took for (count, _), took in self._seconds.items() if count == _PROMPT), default=0.0)

    def learn(self, shares: Sequence[Share], seconds: float, threads: int) -> None:
        """A step was made. Single tokens say nothing of prompts, nor prompts of them."""
        tokens = sum(share.length for share in shares)
        if tokens == len(shares):
            self._learn((tokens, threads), seconds)
        elif tokens >= FEWEST_TIMED:
            self._learn((_PROMPT, threads), seconds / tokens)

    def batch(self, waiting: int) -> int:
        """Of so many conversations that each wait for a token, how many should get it in the same step."""
        for together in range(waiting, 1, -1):
            if self._worth_batching(together):
                return together
        return 1

    def threads(self, tokens: int, most: int) -> int:
        """Threads for so many tokens of a single conversation, of so many that it may have.

        More than one are no gain where a single token is bound by memory, and where other programs keep the cores busy:
        threads wait for one another many times in a step.
        """
        count = 1 if tokens == 1 else _PROMPT
        one, more = self._seconds.get((count, 1)), self._seconds.get((count, most))
        if most == 1 or more is None:
            return most
        if one is not None and more > WORTH_THREADS * one:
            self._doubt((count, most))
        return most if one is not None and more <= WORTH_THREADS * one else 1

    def _worth_batching(self, together: int) -> bool:
        parts = {
            threads: took / (together * alone)
            for (count, threads), took in self._seconds.items()
            if count == together and (alone := self._seconds.get((1, threads))) is not None
        }
        if not parts or min(parts.values()) <= WORTH_BATCHING:
            return True
        for threads in parts:
            self._doubt((together, threads))
        return False

    def _doubt(self, step: tuple[int, int]) -> None:
        """It was passed over as too slow."""
        self._seconds[step] *= 1 - max(SURE, DOUBTED / self._tried[step] ** 2)

    def _learn(self, step: tuple[int, int], seconds: float) -> None:
        """A step that something else held up says little, a quick one a lot."""
        self._tried[step] += 1
        known = self._seconds.get(step)
        change = 0.0 if known is None else min(seconds, 2 * known) - known
        self._seconds[step] = seconds if known is None else known + change * (LEARNING if change > 0 else FORGETTING)


def plan_step(running: Iterable[Tokens], now: float, limits: StepLimits, pace: StepPace) -> list[Share]:
    """What the next step evaluates, most urgent first.

    The most urgent request alone, by deadline: the next stretch of its prompt or its next token; tokens of others of
    its urgency along with it where that saves time. A reply that runs dry and a text have a step in between after they
    were left out for long enough; what is read or written ahead of time has not. In the background, where nobody's
    voice waits, prompts fill a step together.

    Args:
        running: requests with a slot and something to evaluate.
        now: seconds.
        limits: see `StepLimits`.
        pace: what steps took.
    """
    ranked = sorted(running, key=lambda tokens: tokens.rank)
    if not ranked:
        return []
    first = ranked[0]
    if first.ticket.urgency is Urgency.BACKGROUND:
        return _background_step(ranked, limits)
    if (aside := _left_out(ranked, now, limits)) is not None:
        return [Share(aside, min(aside.pending, limits.aside_chunk))]
    if first.pending > 1:
        waited_for = first.ticket.urgency < Urgency.SPECULATION
        return [Share(first, min(first.pending, limits.chunk if waited_for else limits.ahead_chunk))]
    speaking = [tokens for tokens in ranked if tokens.ticket.urgency == first.ticket.urgency and tokens.pending == 1]
    return [Share(tokens, 1) for tokens in speaking[: pace.batch(len(speaking))]]


def _background_step(ranked: Sequence[Tokens], limits: StepLimits) -> list[Share]:
    """Each generation goes on by a token, and the rest is filled with prompts."""
    room = limits.background_chunk
    shares = []
    for tokens in ranked:
        if tokens.pending == 1:
            shares.append(Share(tokens, 1))
        elif room > 0:
            shares.append(Share(tokens, min(tokens.pending, room)))
            room -= shares[-1].length
    return shares


def _left_out(ranked: Sequence[Tokens], now: float, limits: StepLimits) -> Tokens | None:
    """The less urgent request whose turn it is, because it was left out for long enough.

    However many texts there are, one of them at a time: each with its few tokens, they would take more steps than those
    who are waited for.
    """
    less = [tokens for tokens in ranked if tokens.ticket.urgency > ranked[0].ticket.urgency]
    dry = [tokens for tokens in less if tokens.ticket.urgency is Urgency.RUNNING_DRY]
    texts = [tokens for tokens in less if tokens.ticket.urgency is Urgency.BACKGROUND]
    for waiting, patience_s in ((dry, limits.patience_s), (texts, limits.text_patience_s * len(texts))):
        longest = min(waiting, key=lambda tokens: tokens.served_at, default=None)
        if longest is not None and now - longest.served_at >= patience_s:
            return longest
    return None
