"""Speed of a language model here: how soon it answers in a growing conversation, and how quickly it then writes."""

import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.engines.protocols import ChatRequest, LanguageModel, Message
from pipeline.scheduling.lanes import Ticket, Urgency

TOKENS = 24
"""Of each reply that is measured."""

CLAUSE_TOKENS = 6
"""Of the first clause of a reply, for which the voice waits."""

QUESTIONS = (
    "I would like to know how the weather will be in Paris tomorrow afternoon.",
    "And what should I wear if it rains in the evening, do you think?",
)

LEAST_S = 1e-6
"""No time is shorter: a clock may stand still between two tokens, and rates are the inverse of times."""

_SYSTEM = Message("system", "You are Morgan, a friendly and helpful voice assistant. Answer in one or two sentences.")


@dataclass(frozen=True, slots=True)
class LanguageModelSpeed:
    """Of one language model on this machine. There is none where nothing is known of it.

    Attributes:
        first_s: seconds to the first token of a prompt whose beginning is known.
        clause_s: from there to the end of the first clause, on all cores that are free.
        token_s: each further token, on one thread.
        measured: False where it was worked out from another model.

    Raises:
        ValueError: a token that takes no time; what is not known is no speed.
    """

    first_s: float
    clause_s: float
    token_s: float
    measured: bool = True

    def __post_init__(self) -> None:
        if self.token_s <= 0 or self.first_s < 0 or self.clause_s < 0:
            raise ValueError(f"no speed of a language model: {self.first_s}, {self.clause_s}, {self.token_s} s")

    @property
    def voiced_s(self) -> float:
        """Seconds until the voice has a clause to say."""
        return self.first_s + self.clause_s

    def times(self, factor: float) -> "LanguageModelSpeed":
        """About the speed of a model that takes so many times as long."""
        first, clause, token = (factor * each for each in (self.first_s, self.clause_s, self.token_s))
        return LanguageModelSpeed(first, clause, token, measured=False)

    def best_with(self, other: "LanguageModelSpeed") -> "LanguageModelSpeed":
        """Figure by figure the quicker one of two measurements: other programs make a model slower, none quicker."""
        first, clause = min(self.first_s, other.first_s), min(self.clause_s, other.clause_s)
        return LanguageModelSpeed(first, clause, min(self.token_s, other.token_s))


class Mark(NamedTuple):
    """A moment of a reply: tokens that there are, and seconds since the question."""

    tokens: int
    at_s: float


async def measure_language_model(llm: LanguageModel) -> LanguageModelSpeed | None:
    """How quickly a language model goes on with a growing conversation: the best of two questions; about a second.

    Replies have `TOKENS` tokens where the engine can be told so, thoughts counted with the rest; what ends earlier is
    taken for a shorter sample of the same pace.

    Returns:
        None where no reply tells a pace: it is a single token, or comes as a whole.

    Raises:
        EngineError: it failed.
    """
    await llm.prefill(_request(), Ticket(Urgency.FIRST_AUDIO))
    return speed_of([await _marks(llm, _request(asked)) for asked in QUESTIONS])


def speed_of(replies: Sequence[Sequence[Mark]]) -> LanguageModelSpeed | None:
    """The best that the moments of some replies tell; None where all tokens of each came at the same moment.

    Args:
        replies: moments in order; tokens may come by several at a time.
    """
    telling = [marks for marks in replies if marks and marks[-1].tokens > marks[0].tokens]
    if not telling:
        return None
    ways = [(marks[0], _clause_end(marks), marks[-1]) for marks in telling]
    first_s = min(first.at_s for first, _, _ in ways)
    clause_s = min(clause.at_s - first.at_s for first, clause, _ in ways)
    behind = [_token_s(clause, last) for _, clause, last in ways if last.tokens > clause.tokens]
    # Replies that ended with their first clause were written on all cores that are free: a token takes that at least.
    return LanguageModelSpeed(first_s, clause_s, min(behind or [_token_s(first, last) for first, _, last in ways]))


def _token_s(since: Mark, until: Mark) -> float:
    return max(LEAST_S, (until.at_s - since.at_s) / (until.tokens - since.tokens))


def _clause_end(marks: Sequence[Mark]) -> Mark:
    """When the first clause was there: between two moments, or beyond the last one at the pace of all."""
    first, last = marks[0], marks[-1]
    if first.tokens >= CLAUSE_TOKENS:
        return first
    after = next((index for index, mark in enumerate(marks) if mark.tokens >= CLAUSE_TOKENS), None)
    before, then = (first, last) if after is None else (marks[after - 1], marks[after])
    return Mark(CLAUSE_TOKENS, before.at_s + (CLAUSE_TOKENS - before.tokens) * _token_s(before, then))


def _request(*asked: str) -> ChatRequest:
    said = [_SYSTEM, Message("user", "Hello."), *(Message("user", each) for each in asked)]
    return ChatRequest(tuple(said), "speeds", max_tokens=TOKENS, min_tokens=TOKENS)


async def _marks(llm: LanguageModel, request: ChatRequest) -> list[Mark]:
    """Moments of a reply; from the end of the first clause on it is written on one thread, as in calls."""
    ticket, began = Ticket(Urgency.FIRST_AUDIO), time.perf_counter()
    marks: list[Mark] = []
    pieces = told = 0
    async with aclosing(llm.stream(request, ticket)) as deltas:  # type: ignore[type-var]
        async for delta in deltas:
            told = max(told, delta.completion_tokens)
            if not (delta.text or delta.thinking):
                continue
            pieces += 1
            marks.append(Mark(pieces, time.perf_counter() - began))
            if pieces == CLAUSE_TOKENS:
                ticket.urgency = Urgency.LOOK_AHEAD
            if pieces >= TOKENS and delta.thinking:
                # Thoughts do not count for `max_tokens`, and may take minutes.
                break
    if told <= pieces:
        return marks
    # Where pieces are words or sentences, their tokens are known at the end alone: so many each, about.
    return [Mark(round(mark.tokens * told / pieces), mark.at_s) for mark in marks]
