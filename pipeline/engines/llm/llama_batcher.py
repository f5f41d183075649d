"""One model, many conversations: takes requests in and moves all of them on, one step at a time.

Not thread-safe and without a thread of its own; `llama_worker.py` has it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.engines.llm.answer_grammar import told_of_form
from pipeline.engines.llm.context_window import fit_messages
from pipeline.engines.llm.llama_job import Job, last_delta
from pipeline.engines.llm.llama_native import NativeContext, NativeModel, Sampler
from pipeline.engines.llm.llama_slots import Logits, SlotTable, Tokens, common_prefix
from pipeline.engines.llm.llama_steps import Share, StepLimits, StepPace, plan_step
from pipeline.engines.llm.reply_text import ReplyAssembler
from pipeline.engines.llm.token_cache import PromptTokens
from pipeline.engines.llm.tool_call_text import ToolCallText
from pipeline.engines.protocols import ChatDelta, ChatRequest, EngineError, Message
from pipeline.scheduling.lanes import Ticket, Urgency
from pipeline.text.thinking import opens_thought

SEEDS = 0xFFFFFFFF
"""llama.cpp takes this many; one more would mean "at random"."""

_ENDS = ("and", "but")
"""Two ways of going on with any words; what tokens have in common for both is certain."""

MOST_THOUGHT = 1024
"""Tokens of thoughts that do not count as part of a reply."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen; requests may say otherwise, and say the temperature.

    Attributes:
        top_p: at temperatures above 0, sample among the likeliest tokens that add up to this probability.
        repeat_penalty: divides the score of tokens that the last 64 of the reply hold; 1 is off.
        seed: of every generation's random numbers; None takes a random one.
    """

    top_p: float = 0.95
    repeat_penalty: float = 1.1
    seed: int | None = None


@dataclass(slots=True)
class LlamaStats:
    """Counters since the start.

    Attributes:
        steps: batches evaluated.
        evaluated: tokens evaluated, prompts and replies.
        reused: prompt tokens found in the conversation's own slot.
        copied: prompt tokens copied from another slot.
        generated: tokens of replies.
        preempted: running requests that gave their slot to a more urgent one.
        waited_s: seconds that requests waited for a slot, summed.
    """

    steps: int = 0
    evaluated: int = 0
    reused: int = 0
    copied: int = 0
    generated: int = 0
    preempted: int = 0
    waited_s: float = 0.0


class Batcher:
    """Continuous batching over one context.

    Args:
        model: the weights.
        context: its cache, with `slots` sequences of `n_ctx` tokens.
        slots: requests that run at once; more wait, and a more urgent one takes the slot of a less urgent one, which
            goes on later from where it was.
        n_ctx: tokens that prompt and reply of a request may have together.
        limits: of a step.
        sampling: how tokens are chosen.
        threads: that a step has use for; a single token that nobody waits for is made on one, and any that they save
            little of.
        granted: told how many threads the next step has use for, says how many it may take.
        pace: what is known of how long steps take; it is learnt as they are made.
    """

    def __init__(
        self,
        model: NativeModel,
        context: NativeContext,
        *,
        slots: int,
        n_ctx: int,
        limits: StepLimits,
        sampling: Sampling,
        threads: int,
        granted: Callable[[int], int],
        pace: StepPace | None = None,
    ) -> None:
        self.stats = LlamaStats()
        self._model = model
        self._template = model.template()
        self._context = context
        self._slots = SlotTable(slots)
        self._n_ctx = n_ctx
        self._limits = limits
        self._sampling = sampling
        self._threads = threads
        self._granted = granted
        self._pace = pace or StepPace()
        self._jobs: dict[Tokens, Job] = {}
        self._order = 0

    @property
    def calls_tools(self) -> bool:
        """Whether the model is told of tools."""
        return self._template.calls_tools

    @property
    def busy(self) -> bool:
        """Whether there is anything left to do."""
        return bool(self._jobs)

    @property
    def running(self) -> int:
        """Requests that have a slot."""
        return sum(tokens.slot is not None for tokens in self._jobs)

    def add(self, job: Job, now: float) -> None:
        """Take a request; one that cannot be tokenised or does not fit ends here."""
        if job.cancelled:
            job.on_end(None)
            return
        try:
            job.most = max(1, min(job.request.max_tokens, self._n_ctx // 2))
            prompt = self._model.prompt()
            asked, budget = told_of_form(job.request), self._n_ctx - job.most
            if job.generate:
                ids, opened = self._prompt(asked, budget, prompt)
            else:
                ids, opened = self._certain(asked, budget, prompt), False
            job.text = ReplyAssembler(job.request.stop, in_thought=opened)
            if job.request.tools and self.calls_tools:
                job.tools = ToolCallText(job.request.tools)
            if job.generate:
                job.sampler = self._sampler(job.request)
        except Exception as error:  # whatever a template or a message does, only this request ends
            job.on_end(_as_engine_error(error))
            return
        prompt.accept()
        self._supersede(job.request.conversation, now)
        self._order += 1
        job.prompt_tokens = len(ids)
        job.tokens = Tokens(job.ticket, self._order, job.request.conversation, ids, served_at=job.queued_at or now)
        self._jobs[job.tokens] = job

    def _supersede(self, conversation: str, now: float) -> None:
        """A conversation goes on: what was still to be read of it ahead of time is part of what comes now, or outdated.

        What it has read stays in its slot for what comes now; in a slot of its own it would cost another call theirs.
        """
        reading = [job for job in self._jobs.values() if not job.generate and job.request.conversation == conversation]
        for job in reading if conversation else ():
            self._end(job, now, None)

    @property
    def most_urgent(self) -> Ticket | None:
        """The ticket that the next step serves first; None while there is nothing to do, or everything rests."""
        awake = (tokens for tokens in self._jobs if not tokens.ticket.resting)
        first = min(awake, key=lambda tokens: tokens.rank, default=None)
        return None if first is None else first.ticket

    @property
    def littered(self) -> bool:
        """Whether there are requests that nobody wants any more."""
        return any(job.cancelled for job in self._jobs.values())

    def clear(self, now: float) -> None:
        """End the requests that nobody wants any more; costs no work."""
        for job in [job for job in self._jobs.values() if job.cancelled]:
            self._end(job, now, None)

    def step(self, now: float) -> bool:
        """Evaluate one batch: the next token of what runs and the next stretch of what waits; not of what rests.

        Returns:
            False where there was nothing to do, because what waits finds no slot.
        """
        before = len(self._jobs)
        self.clear(now)
        self._admit(now)
        running = [tokens for tokens in self._jobs if tokens.slot is not None and not tokens.ticket.resting]
        for tokens in [tokens for tokens in running if tokens.pending == 0]:
            if (known := tokens.logits) is not None:
                tokens.logits = None
                self._advance(self._jobs[tokens], known, now)
        waiting = [tokens for tokens in running if tokens.slot is not None and tokens.pending > 0]
        shares = plan_step(waiting, now, self._limits.paced(self._pace.token_s), self._pace)
        if shares and not self._evaluate(shares, now):
            # One of them spoiled the batch; alone, it spoils only itself.
            for share in shares:
                if not self._evaluate([share], now):
                    error = EngineError("the language model could not evaluate this conversation")
                    self._end(self._jobs[share.tokens], now, error)
        return bool(shares) or len(self._jobs) != before

    def abandon(self, error: BaseException) -> None:
        """End everything."""
        for job in list(self._jobs.values()):
            self._end(job, 0.0, error)

    def start_over(self, error: Exception) -> None:
        """End everything, and believe nothing of the cache: a step failed in the middle."""
        self.abandon(_as_engine_error(error))
        self._slots.forget()

    def _admit(self, now: float) -> None:
        waiting = (tokens for tokens in self._jobs if tokens.slot is None and not tokens.ticket.resting)
        for tokens in sorted(waiting, key=lambda tokens: tokens.rank):
            job = self._jobs[tokens]
            ahead = not job.generate and tokens.ticket.urgency is not Urgency.BACKGROUND
            placement = self._slots.place(tokens, now, ahead=ahead)
            if placement is None and ahead:
                # It would wait for other calls to be over, and has been outdated long before.
                self._end(job, now, None)
                continue
            if placement is None:
                last = self._to_make_room(tokens)
                if last is None:
                    continue
                self._slots.release(last, now)
                self.stats.preempted += 1
                placement = self._slots.place(tokens, now)
                if placement is None:
                    continue
            self.stats.waited_s += max(0.0, now - tokens.served_at)
            if not self._context.arrange(placement):
                tokens.evaluated, tokens.logits = 0, None
            elif placement.source is None:
                self.stats.reused += placement.keep
            else:
                self.stats.copied += placement.keep

    def _to_make_room(self, tokens: Tokens) -> Tokens | None:
        """Who gives its slot to a request: the least urgent, else one that rests, but not to a text."""
        running = [other for other in self._jobs if other.slot is not None]
        last = max(running, key=lambda other: other.rank, default=None)
        if last is None or last.ticket.urgency > tokens.ticket.urgency:
            return last
        resting = [other for other in running if other.ticket.resting]
        if tokens.ticket.urgency is Urgency.BACKGROUND:
            return None
        return max(resting, key=lambda other: other.rank, default=None)

    def _evaluate(self, shares: list[Share], now: float) -> bool:
        """False when llama.cpp refused; nothing has changed then."""
        alone = len(shares) == 1 and shares[0].length == 1
        if alone and shares[0].tokens.ticket.optional:
            useful = 1
        else:
            useful = self._pace.threads(sum(share.length for share in shares), self._threads)
        threads = self._granted(useful)
        self._context.set_threads(threads)
        began = time.perf_counter()
        try:
            outputs = self._context.evaluate(shares)
        except EngineError:
            return False
        self._pace.learn(shares, time.perf_counter() - began, threads)
        self.stats.steps += 1
        self.stats.evaluated += sum(share.length for share in shares)
        for place, (tokens, count) in enumerate(shares):
            tokens.evaluated += count
            tokens.served_at = now
            if place in outputs:
                self._advance(self._jobs[tokens], outputs[place], now)
        return True

    def _advance(self, job: Job, logits: Logits, now: float) -> None:
        """The scores of a request's next token are known."""
        tokens = job.tokens
        if tokens is None or job.cancelled:
            return
        if job.sampler is None:
            tokens.logits = logits.copy()
            self._end(job, now, None)
            return
        try:
            # What a model thinks has no form.
            grammar = None if job.text.thinking else job.grammar
            allowed = grammar.allowed() if grammar is not None else None
            token = job.sampler.sample(logits, allowed)
            while allowed is None and job.out_of_place(self._model.piece(token), ends=self._model.ends(token)):
                logits[token] = -np.inf
                token = job.sampler.sample(logits, allowed)
            finished = self._say(job, token, tokens, whole=grammar is not None and grammar.take(token))
        except Exception as error:  # only this request ends
            self._end(job, now, _as_engine_error(error))
            return
        if finished:
            self._end(job, now, None)

    def _say(self, job: Job, token: int, tokens: Tokens, *, whole: bool) -> bool:
        """Pass on a sampled token; True when the reply is complete.

        Args:
            job: whose reply.
            token: that was sampled.
            tokens: of the job.
            whole: the grammar lets nothing follow.
        """
        if self._model.ends(token):
            job.on_delta(last_delta(job, "", stop=True))
            return True
        job.generated += 1
        self.stats.generated += 1
        text = job.feed(self._model.piece(token))
        job.thought += job.text.thinking
        over = whole or job.text.stopped
        if over or job.generated - min(job.thought, MOST_THOUGHT) >= job.most or self._full(tokens):
            job.on_delta(last_delta(job, text, stop=over))
            return True
        if job.tools is not None:
            text = job.tools.feed(text)
        if text or job.text.thinking:
            job.on_delta(ChatDelta(text, thinking=job.text.thinking))
        tokens.ids.append(token)
        return False

    def _full(self, tokens: Tokens) -> bool:
        """Whether the context has no room for another token: thoughts take what the prompt left."""
        return len(tokens.ids) + 1 >= self._n_ctx

    def _end(self, job: Job, now: float, error: BaseException | None) -> None:
        if job.tokens is not None:
            self._slots.release(job.tokens, now)
            self._jobs.pop(job.tokens, None)
        if job.sampler is not None:
            job.sampler.close()
        job.on_end(error)

    def _prompt(self, request: ChatRequest, budget: int, prompt: PromptTokens) -> tuple[list[int], bool]:
        """The tokens of what fits, and whether they end within a thought; no text is tokenised twice on the way."""
        opened, messages = False, request.messages

        def tokenize(kept: Sequence[Message]) -> list[int]:
            nonlocal opened
            pieces = self._template.render(kept, request.tools)
            opened = not pieces[-1].literal and opens_thought(pieces[-1].text)
            return self._model.tokenize(pieces, prompt)

        if not messages:
            raise EngineError("there are no messages to answer")
        ids = tokenize(messages)
        if len(ids) > budget:
            ids = tokenize(fit_messages(messages, budget, lambda kept: len(tokenize(kept))))
        return ids, opened

    def _certain(self, request: ChatRequest, budget: int, prompt: PromptTokens) -> list[int]:
        """The tokens that prompts have in common however the user goes on from here.

        What ends a message and begins the reply comes behind words that nobody knows yet: read now, it is read again.
        """
        ways = [
            self._prompt(replace(request, messages=_going_on(request.messages, end)), budget, prompt)[0]
            for end in _ENDS
        ]
        return ways[0][: common_prefix(*ways)] or ways[0]

    def _sampler(self, request: ChatRequest) -> Sampler:
        seed = self._sampling.seed if request.seed is None else request.seed % SEEDS
        return Sampler(
            self._model,
            temperature=request.temperature,
            top_p=self._sampling.top_p if request.top_p is None else request.top_p,
            repeat_penalty=self._sampling.repeat_penalty,
            seed=seed,
        )


def _going_on(messages: Sequence[Message], words: str) -> tuple[Message, ...]:
    """A conversation whose user says more."""
    if messages and messages[-1].role == "user":
        return (*messages[:-1], replace(messages[-1], content=f"{messages[-1].content} {words}"))
    return (*messages, Message("user", words))


def _as_engine_error(error: Exception) -> EngineError:
    if isinstance(error, EngineError):
        return error
    return EngineError(f"the language model failed: {type(error).__name__}: {error}")
