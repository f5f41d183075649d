"""Speeds of the engines on this machine: a few pieces of real work, each on one thread with nothing beside it."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from itertools import count
from typing import TypeVar

import numpy as np
import soxr

from pipeline.audio import HEARING_RATE, SPEECH_RATE, Waveform, to_waveform
from pipeline.engines.protocols import AbsentEngine, ChatRequest, Engine, EngineError, Engines, LanguageModel, Message
from pipeline.scheduling.cores import CORES
from pipeline.scheduling.lanes import Ticket, Urgency

T = TypeVar("T")

SPOKEN = "I would like to know how the weather will be in Paris tomorrow afternoon."
"""Said by the voice in three to four seconds; the question that speech to text and the turn model are given."""

QUESTION_S = 3.0
TOKENS = 24
TIMES = 2

CLAUSE_TOKENS = 6
"""Of the first clause of a reply, for which the voice waits."""

_LATER = 80

_SYSTEM = Message("system", "You are Morgan, a friendly and helpful voice assistant. Answer in one or two sentences.")


@dataclass(frozen=True, slots=True)
class EngineSpeeds:
    """Seconds of work on this machine, one thread each but for speech to text.

    0 for engines in other processes, which take none of ours.

    Attributes:
        cores: that inference may use here.
        stt_s: a question of 3 s as text.
        turn_model_s: whether a turn is over.
        llm_first_token_s: from a prompt whose beginning is known, with a question of a dozen words at its end.
        llm_clause_s: from there to the end of the first clause, on all cores that are free.
        llm_token_s: each further token.
        tts_share: seconds of work for a second of speech.
        tts_first_s: until the first sound of a sentence.
        stt_threads: that a transcription keeps busy.
    """

    cores: int
    stt_s: float
    turn_model_s: float
    llm_first_token_s: float
    llm_clause_s: float
    llm_token_s: float
    tts_share: float
    tts_first_s: float
    stt_threads: int = 1

    @property
    def llm(self) -> "LanguageModelSpeed | None":
        """Of the language model; None where it is in another process."""
        if not self.llm_token_s:
            return None
        return LanguageModelSpeed(self.llm_first_token_s, self.llm_clause_s, self.llm_token_s)

    def with_llm(self, llm: "LanguageModelSpeed") -> "EngineSpeeds":
        """The same engines beside another language model."""
        return replace(self, llm_first_token_s=llm.first_s, llm_clause_s=llm.clause_s, llm_token_s=llm.token_s)

    def best_with(self, other: "EngineSpeeds") -> "EngineSpeeds":
        """Figure by figure the quicker one: other programs make an engine slower, nothing makes it quicker.

        Args:
            other: of the same engines; what it did not measure (0) counts for nothing.
        """
        one, two = asdict(self), asdict(other)
        best = {name: min(one[name], two[name]) if one[name] and two[name] else one[name] or two[name] for name in one}
        return replace(self, **best | {"cores": self.cores, "stt_threads": self.stt_threads})


@dataclass(frozen=True, slots=True)
class LanguageModelSpeed:
    """Of one language model on this machine.

    Attributes:
        first_s: seconds to the first token of a prompt whose beginning is known.
        clause_s: from there to the end of the first clause, on all cores that are free.
        token_s: each further token, on one thread.
        measured: False where it was worked out from another model.
    """

    first_s: float
    clause_s: float
    token_s: float
    measured: bool = True

    @property
    def voiced_s(self) -> float:
        """Seconds until the voice has a clause to say."""
        return self.first_s + self.clause_s

    def times(self, factor: float) -> "LanguageModelSpeed":
        """About the speed of a model that takes so many times as long."""
        first, clause, token = (factor * each for each in (self.first_s, self.clause_s, self.token_s))
        return LanguageModelSpeed(first, clause, token, measured=False)

    def best_with(self, other: "LanguageModelSpeed") -> "LanguageModelSpeed":
        """Figure by figure the quicker one of two measurements."""
        first, clause = min(self.first_s, other.first_s), min(self.clause_s, other.clause_s)
        return LanguageModelSpeed(first, clause, min(self.token_s, other.token_s))


async def measure_speeds(engines: Engines, cores: int | None = None) -> EngineSpeeds:
    """Measure the engines that do their work in this process, one after the other; 2 to 5 s in all.

    They should be warm, and be used for nothing else meanwhile: the best of two runs counts.

    Args:
        engines: that serve calls.
        cores: that inference may use; those of the process's budget if not given.

    Raises:
        EngineError: one of them failed.
    """
    voice, speech = await _voice(engines)
    question = _question(speech)
    # Each time from a later sample, because what begins alike may be known from the last time.
    beginnings = count()
    stt = await _best(
        engines.stt, lambda: _timed(engines.stt.transcribe(question[_LATER * next(beginnings) :], _ticket()))
    )
    turn = await _best(engines.turn, lambda: _timed(engines.turn.completeness(question, _ticket())))
    llm = await measure_language_model(engines.llm) if _here(engines.llm) else LanguageModelSpeed(0.0, 0.0, 0.0)
    threads = getattr(engines.stt, "threads", 1)
    cores = CORES.count if cores is None else cores
    return EngineSpeeds(cores, stt, turn, llm.first_s, llm.clause_s, llm.token_s, *voice, stt_threads=threads)


def _ticket() -> Ticket:
    return Ticket(Urgency.FIRST_AUDIO)


def _here(engine: Engine) -> bool:
    return not isinstance(engine, AbsentEngine) and engine.kind == "in-process"


async def _timed(work: Awaitable[T]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def _best(engine: Engine, measure: Callable[[], Awaitable[float]]) -> float:
    return min([await measure() for _ in range(TIMES)]) if _here(engine) else 0.0


async def _voice(engines: Engines) -> tuple[tuple[float, float], Waveform]:
    """Work for a second of speech and until the first sound, and the speech at 16 kHz."""
    if not _here(engines.tts):
        return (0.0, 0.0), np.zeros(0, np.float32)
    shares, firsts, speech = [], [], np.zeros(0, np.float32)
    for _ in range(TIMES):
        began, first, chunks = time.perf_counter(), 0.0, []
        async for chunk in engines.tts.synthesize(SPOKEN, _ticket()):
            first = first or time.perf_counter() - began
            chunks.append(chunk.pcm)
        if not chunks:
            raise EngineError("the voice has no sounds for an ordinary sentence")
        pcm = np.concatenate(chunks)
        shares.append((time.perf_counter() - began) * SPEECH_RATE / pcm.size)
        firsts.append(first)
        speech = np.asarray(soxr.resample(to_waveform(pcm), SPEECH_RATE, HEARING_RATE), np.float32)
    return (min(shares), min(firsts)), speech


def _question(speech: Waveform) -> Waveform:
    """Three seconds: of the voice, or of noise where there is none."""
    length = int(QUESTION_S * HEARING_RATE)
    if not speech.size:
        return np.random.default_rng(0).normal(0, 0.05, length).astype(np.float32)
    return np.resize(speech, length)


async def measure_language_model(llm: LanguageModel) -> LanguageModelSpeed:
    """How quickly a language model goes on with a growing conversation: the best of two questions.

    Raises:
        EngineError: it failed.
    """
    known = ChatRequest((_SYSTEM, Message("user", "Hello.")), "speeds", max_tokens=TOKENS)
    await llm.prefill(known, _ticket())
    firsts, clauses, tokens = [], [], []
    for asked in (SPOKEN, "And what should I wear if it rains in the evening, do you think?"):
        request = ChatRequest((*known.messages, Message("user", asked)), "speeds", max_tokens=TOKENS)
        ticket, began = _ticket(), time.perf_counter()
        first, clause, count = 0.0, (0.0, 0), 0
        async with aclosing(_deltas(llm, request, ticket)) as deltas:
            async for completed in deltas:
                passed = time.perf_counter() - began
                first = first or passed
                if count < CLAUSE_TOKENS:
                    clause = (passed, completed)
                    if completed >= CLAUSE_TOKENS:
                        # From here on as behind the first clause of a reply: on one thread.
                        ticket.urgency = Urgency.LOOK_AHEAD
                count = max(count, completed)
        ended, in_clause = clause
        firsts.append(first)
        clauses.append(ended - first)
        if count > in_clause:
            tokens.append((time.perf_counter() - began - ended) / (count - in_clause))
    # A reply that ended with its first clause says at least how long that took.
    return LanguageModelSpeed(min(firsts), min(clauses), min(tokens, default=min(clauses) / (CLAUSE_TOKENS - 1)))


async def _deltas(llm: LanguageModel, request: ChatRequest, ticket: Ticket) -> AsyncGenerator[int, None]:
    """Tokens so far, as far as they are known."""
    seen = 0
    async for delta in llm.stream(request, ticket):
        seen = max(seen + bool(delta.text), delta.completion_tokens)
        yield seen
