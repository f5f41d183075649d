"""Cache slots of llama.cpp without the model: which sequence of tokens lives in which, and what of it can be kept.

Plain bookkeeping; `llama_batcher.py` carries out what is decided here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.scheduling.lanes import Ticket, Urgency

Logits = NDArray[np.float32]
"""Scores of the next token, shape (vocabulary,)."""

QUIET_S = 60.0
"""A call that has been quiet for so long has its slot taken like any other."""

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


class SlotPlacement(NamedTuple):
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
    forgotten; that of a call, which is quiet between two turns, only where no slot serves the background, and never for
    what is only read ahead of time. Where another slot (busy or not) shares a longer beginning, that is copied first.
    """

    def __init__(self, size: int) -> None:
        self.slots = [Slot(index) for index in range(size)]

    def place(self, tokens: Tokens, now: float = float("inf"), *, ahead: bool = False) -> SlotPlacement | None:
        """Give a request a slot; None when there is none for it. The cache must then be changed as it says.

        Args:
            tokens: the request.
            now: seconds.
            ahead: it only reads ahead of time.
        """
        own, free = self._own(tokens.conversation), self._free(now, ahead=ahead)
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
        return SlotPlacement(target.index, keep, None if copied is None else copied.index)

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

    def forget(self) -> None:
        """Believe nothing of what idle slots held."""
        for slot in self.slots:
            if slot.owner is None:
                slot.ids, slot.logits, slot.conversation = [], None, ""

    def _own(self, conversation: str) -> list[Slot]:
        """Idle slots of a conversation."""
        return [
            slot for slot in self.slots if slot.owner is None and conversation and slot.conversation == conversation
        ]

    def _free(self, now: float, *, ahead: bool) -> list[Slot]:
        """Idle slots that anybody may take."""
        idle = [slot for slot in self.slots if slot.owner is None]
        if ahead:
            # What is read ahead of time for one call is not worth what another has read.
            return [slot for slot in idle if not slot.kept(now)]
        if any(slot.owner is not None and slot.owner.ticket.urgency is Urgency.BACKGROUND for slot in self.slots):
            # Rather than a call's, one of those: it comes free, or is taken from its owner.
            return [slot for slot in idle if not slot.kept(now)]
        return idle


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two sequences have in common from the beginning on."""
    shorter = min(len(left), len(right))
    if left[:shorter] == right[:shorter]:
        return shorter
    return next(index for index, (a, b) in enumerate(zip(left, right, strict=False)) if a != b)
