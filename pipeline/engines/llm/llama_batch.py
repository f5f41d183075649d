"""Continuous batching without the model: which sequence lives in which cache slot, and what the next step evaluates.

Plain bookkeeping; `llama_worker.py` carries out what is decided here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.scheduling.lanes import Ticket, Urgency

Logits = NDArray[np.float32]
"""Scores of the next token, shape (vocabulary,)."""

QUIET_S = 60.0
"""A call that has been quiet for so long has its slot taken like any other."""

FEWEST_TIMED = 8
"""Tokens of a step that tells how fast prompts are read."""

LEARNING, FORGETTING = 0.1, 0.5
"""Weight of a step in what is known of the speed: of a slower one, of a quicker one."""

COPY_GAIN = 16
"""A prefix is copied from another slot when it saves at least this many tokens: a copy costs 7 ms, a token 4-5 ms."""


@dataclass(eq=False, slots=True)
class Tokens:
    """The tokens of one request: its prompt and what was generated behind it.

    Attributes:
        ticket: how urgent; read again at every step.
        order: of arrival, to break ties.
        conversation: whose it is; "" is nobody's.
        ids: the tokens, growing at the end.
        slot: index of the cache slot that holds the first `evaluated` of them, None while it waits for one.
        evaluated: how many the cache holds.
        logits: scores of the token after the last one, where they are known without evaluating anything.
        served_at: when it was last part of a step, or came, seconds.
    """

    ticket: Ticket
    order: int
    conversation: str
    ids: list[int]
    slot: int | None = None
    evaluated: int = 0
    logits: Logits | None = None
    served_at: float = 0.0

    @property
    def pending(self) -> int:
        """Tokens that the cache does not hold yet."""
        return len(self.ids) - self.evaluated

    @property
    def rank(self) -> tuple[int, float, int]:
        """Sorts the most urgent first."""
        return (self.ticket.urgency, self.ticket.deadline, self.order)


@dataclass(eq=False, slots=True)
class Slot:
    """One sequence of the cache.

    Attributes:
        index: its sequence id.
        ids: the tokens that it held when its last owner left.
        logits: scores of the token after them, where known.
        conversation: whose tokens they are.
        owner: who evaluates into it now.
        used_at: when the last owner left, seconds.
        spoken: whether somebody waited for that one's words, as in a call.
    """

    index: int
    ids: list[int] = field(default_factory=list)
    logits: Logits | None = None
    conversation: str = ""
    owner: Tokens | None = None
    used_at: float = float("-inf")
    spoken: bool = False

    @property
    def content(self) -> Sequence[int]:
        """The tokens in the cache now."""
        return self.ids if self.owner is None else self.owner.ids[: self.owner.evaluated]

    def kept(self, now: float) -> bool:
        """Whether it waits for the next turn of a call."""
        return self.owner is None and self.spoken and now - self.used_at < QUIET_S


class Placement(NamedTuple):
    """How a request gets into its slot.

    Attributes:
        slot: the slot.
        keep: tokens of its present content, or of the source's, that are the request's own beginning.
        source: slot to copy from first; None to use what is there.
    """

    slot: int
    keep: int
    source: int | None = None


class SlotTable:
    """The cache slots and what each holds.

    A request gets its conversation's own slot, else an unused one, else the one that lay idle longest, whose content is
    forgotten; that of a call, which is quiet between two turns, only where no slot serves the background. Where another
    slot (busy or not) shares a longer beginning, that is copied first.
    """

    def __init__(self, size: int) -> None:
        self.slots = [Slot(index) for index in range(size)]

    def place(self, tokens: Tokens, now: float = float("inf")) -> Placement | None:
        """Give a request a slot; None when there is none for it. The cache must then be changed as it says.

        Args:
            tokens: the request.
            now: seconds.
        """
        own, free = self._own(tokens.conversation), self._free(now)
        if not own and not free:
            return None
        shared = {slot.index: common_prefix(slot.content, tokens.ids) for slot in self.slots}
        if own:
            target = max(own, key=lambda slot: shared[slot.index])
        else:
            target = min(free, key=lambda slot: (bool(slot.ids), slot.kept(now), slot.used_at))
        source = max(self.slots, key=lambda slot: shared[slot.index])
        copied = source if shared[source.index] >= shared[target.index] + COPY_GAIN else None
        origin = copied or target
        keep = shared[origin.index]
        if keep == len(tokens.ids):
            # Nothing would be left to evaluate, so either the scores behind the last token are known, or it goes again.
            tokens.logits = origin.logits if origin.owner is None and len(origin.ids) == keep else None
            keep -= tokens.logits is None
        tokens.slot, tokens.evaluated = target.index, keep
        target.owner, target.conversation, target.logits = tokens, tokens.conversation, None
        return Placement(target.index, keep, None if copied is None else copied.index)

    def release(self, tokens: Tokens, now: float) -> None:
        """The request leaves; what it evaluated stays for the next one."""
        if tokens.slot is None:
            return
        slot = self.slots[tokens.slot]
        slot.ids = tokens.ids[: tokens.evaluated]
        slot.logits = tokens.logits if tokens.pending == 0 else None
        slot.owner, slot.used_at = None, now
        slot.spoken = tokens.ticket.urgency < Urgency.BACKGROUND
        tokens.slot, tokens.evaluated, tokens.logits = None, 0, None

    def _own(self, conversation: str) -> list[Slot]:
        """Idle slots of a conversation."""
        return [
            slot for slot in self.slots if slot.owner is None and conversation and slot.conversation == conversation
        ]

    def _free(self, now: float) -> list[Slot]:
        """Idle slots that anybody may take."""
        idle = [slot for slot in self.slots if slot.owner is None]
        if any(slot.owner is not None and slot.owner.ticket.urgency is Urgency.BACKGROUND for slot in self.slots):
            # Rather than a call's, one of those: it comes free, or is taken from its owner.
            return [slot for slot in idle if not slot.kept(now)]
        return idle


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
        aside_chunk: prompt tokens that less urgent requests may add to a step.
        patience_s: less urgent requests are part of a step only after they were left out for this long; those of the
            background take turns at that.
        step_s: no step of prompts should take longer, however large the model (32 tokens of one with 1.5 billion
            parameters take 1.2 s on one thread),
        least: but so many tokens are read at once: with fewer, most of the time goes into reading the weights.
    """

    chunk: int = 32
    background_chunk: int = 16
    aside_chunk: int = 8
    patience_s: float = 0.25
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
            aside_chunk=min(self.aside_chunk, max(self.least // 2, within // 4)),
        )


class PromptPace:
    """How long a prompt token takes, learnt from the steps as they are made, for each number of threads."""

    def __init__(self) -> None:
        self._token_s: dict[int, float] = {}

    @property
    def token_s(self) -> float:
        """Seconds, with the number of threads that makes it longest; 0 before anything is known."""
        return max(self._token_s.values(), default=0.0)

    def learn(self, tokens: int, seconds: float, threads: int) -> None:
        """A step was made. Single tokens say nothing of prompts."""
        if tokens < FEWEST_TIMED:
            return
        each, known = seconds / tokens, self._token_s.get(threads)
        # A step that something else held up says little, one that was quick a lot.
        change = 0.0 if known is None else min(each, 2 * known) - known
        self._token_s[threads] = each if known is None else known + change * (LEARNING if change > 0 else FORGETTING)


def plan_step(running: Iterable[Tokens], now: float, limits: StepLimits) -> list[Share]:
    """What the next step evaluates, most urgent first.

    One urgency makes up the step, the most urgent that there is: each of its generations goes on by one token, and the
    rest is filled with prompts by deadline. Requests of lesser urgency come along now and then, so that nobody starves.

    Args:
        running: requests with a slot and something to evaluate.
        now: seconds.
        limits: see `StepLimits`.
    """
    ranked = sorted(running, key=lambda tokens: tokens.rank)
    if not ranked:
        return []
    top = ranked[0].ticket.urgency
    room = {True: limits.background_chunk if top is Urgency.BACKGROUND else limits.chunk, False: limits.aside_chunk}
    aside = _aside([tokens for tokens in ranked if tokens.ticket.urgency != top], now, limits.patience_s)
    shares: list[Share] = []
    for tokens in ranked:
        first = tokens.ticket.urgency == top
        if not first and tokens not in aside:
            continue
        if tokens.pending == 1:
            shares.append(Share(tokens, 1))
        elif room[first] > 0:
            shares.append(Share(tokens, min(tokens.pending, room[first])))
            room[first] -= shares[-1].length
    return shares


def _aside(waiting: Sequence[Tokens], now: float, patience_s: float) -> list[Tokens]:
    """Those of less urgent requests that were left out for long enough.

    However many there are in the background, one of them at a time: each with its few tokens, they would take more of
    every step than those who are waited for.
    """
    background = [tokens for tokens in waiting if tokens.ticket.urgency is Urgency.BACKGROUND]
    due = [tokens for tokens in waiting if tokens not in background and now - tokens.served_at >= patience_s]
    longest = min(background, key=lambda tokens: tokens.served_at, default=None)
    if longest is not None and now - longest.served_at >= patience_s * len(background):
        due.append(longest)
    return due


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two sequences have in common from the beginning on."""
    shorter = min(len(left), len(right))
    if left[:shorter] == right[:shorter]:
        return shorter
    return next(index for index, (a, b) in enumerate(zip(left, right, strict=False)) if a != b)
