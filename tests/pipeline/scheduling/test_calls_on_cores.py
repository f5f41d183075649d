"""Callers on few cores, in virtual time: the rules of `CoreBudget` with the costs of real engines."""

import heapq
import itertools
import random
import statistics
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import pytest

from pipeline.engines.llm.speed import LanguageModelSpeed
from pipeline.engines.speeds import EngineSpeeds, VoiceSpeed
from pipeline.scheduling.core_budget import Claim, CoreBudget, Room
from pipeline.scheduling.ticket import Ticket, Urgency
from server.calls.capacity import calls_in_time

VNNI = EngineSpeeds(2, 0.17, 0.04, LanguageModelSpeed(0.06, 0.0475, 0.0095), VoiceSpeed(0.05, 0.03))
AVX2 = EngineSpeeds(2, 0.5, 0.16, LanguageModelSpeed(0.2, 0.1, 0.02), VoiceSpeed(0.15, 0.08))

QUESTION_S, REPLY_TOKENS, CLAUSE_TOKENS, PART_S, PARTS = 2.5, 35, 6, 1.5, 4


@dataclass(eq=False)
class Work:
    """A job, and what waits for its end."""

    ticket: Ticket
    room: Room
    seconds: float
    done: bool = False
    waiter: "Process | None" = None


Process: TypeAlias = Generator["float | Work", None, None]


@dataclass
class Machine:
    """Runs the processes of callers: they yield seconds to sleep, or work to wait for."""

    budget: CoreBudget
    now: float = 0.0
    stt: Room = field(default_factory=lambda: Room(2))
    turn: Room = field(default_factory=lambda: Room(1))
    llm: Room = field(default_factory=lambda: Room(1))
    tts: Room = field(default_factory=lambda: Room(2))
    _events: "list[tuple[float, int, Process | None, Claim | None]]" = field(default_factory=list)
    _work: dict[int, Work] = field(default_factory=dict)
    _order: "itertools.count[int]" = field(default_factory=itertools.count)

    def start(self, work: Work) -> Work:
        claim = Claim(work.ticket, work.room)
        self._work[id(claim)] = work
        self.budget.wait(claim, self.now)
        return work

    def run(self, processes: list[Process], until: float) -> None:
        process: Process | None
        for process in processes:
            self._at(0.0, process, None)
        while self._events and self.now < until:
            self.now, _, process, ended = heapq.heappop(self._events)
            if ended is not None:
                self.budget.give_back(ended)
                work = self._work.pop(id(ended))
                work.done, process = True, work.waiter
            if process is not None:
                self._resume(process)
            while (claim := self.budget.grant(self.now)) is not None:
                self._at(self._work[id(claim)].seconds, None, claim)

    def _resume(self, process: Process) -> None:
        for wanted in process:
            if isinstance(wanted, Work):
                if not wanted.done:
                    wanted.waiter = process
                    return
            else:
                self._at(wanted, process, None)
                return

    def _at(self, delay: float, process: Process | None, claim: Claim | None) -> None:
        heapq.heappush(self._events, (self.now + delay, next(self._order), process, claim))


def caller(machine: Machine, speeds: EngineSpeeds, dice: random.Random, answers: list[float]) -> Process:
    """Asks, is answered, hears the answer out, and asks again."""
    figures = dict(speeds.figures())
    while True:
        yield dice.uniform(0.5, 3.0)
        yield QUESTION_S / 2
        if machine.budget.spare():
            machine.start(Work(Ticket(Urgency.INTERIM), machine.stt, figures["stt_s"]))
        yield QUESTION_S / 2
        ended = machine.now
        yield 0.1
        draft = Ticket(Urgency.SPECULATION, machine.now)
        words = machine.start(Work(draft, machine.stt, figures["stt_s"]))
        score = machine.start(Work(Ticket(Urgency.SPECULATION, machine.now), machine.turn, figures["turn_model_s"]))
        yield 0.2
        # By now it is the end, whatever the turn model says.
        draft.urgency = Urgency.FINAL_TRANSCRIPT
        score.ticket.cancel()
        yield words
        reply = Ticket(Urgency.FIRST_AUDIO, ended)
        yield machine.start(Work(reply, machine.llm, figures["llm_first_token_s"]))
        for _ in range(CLAUSE_TOKENS):
            yield machine.start(Work(reply, machine.llm, figures["llm_token_s"]))
        yield machine.start(Work(Ticket(Urgency.FIRST_AUDIO, ended), machine.tts, figures["tts_first_s"]))
        answers.append(machine.now - ended)
        yield from speak(machine, speeds)


def speak(machine: Machine, speeds: EngineSpeeds) -> Process:
    """The rest of the reply: the text on one thread, the voice part by part, urgent only when the audio runs out."""
    figures = dict(speeds.figures())
    until = machine.now + 1.0
    for part in range(PARTS):
        for _ in range((REPLY_TOKENS - CLAUSE_TOKENS) // PARTS):
            ticket = Ticket(Urgency.RUNNING_DRY if until - machine.now < 2.0 else Urgency.LOOK_AHEAD, until)
            yield machine.start(Work(ticket, machine.llm, figures["llm_token_s"]))
        ticket = Ticket(Urgency.RUNNING_DRY if until - machine.now < 1.0 else Urgency.LOOK_AHEAD, until)
        voice = machine.start(Work(ticket, machine.tts, figures["tts_share"] * PART_S))
        while not voice.done and until - machine.now > 1.0:
            yield 0.1
        ticket.urgency = Urgency.RUNNING_DRY
        yield voice
        until = max(until, machine.now) + PART_S
        if part < PARTS - 1:
            yield max(0.0, until - machine.now - 3.0)
    yield max(0.0, until - machine.now)


def answered(speeds: EngineSpeeds, calls: int, seed: int = 1) -> list[float]:
    """Seconds to every answer in ten minutes of so many callers."""
    machine, answers = Machine(CoreBudget(speeds.cores)), list[float]()
    dice = random.Random(seed)
    machine.run([caller(machine, speeds, dice, answers) for _ in range(calls)], 600.0)
    return answers


@pytest.mark.parametrize("speeds", [VNNI, AVX2])
def test_four_callers_on_two_cores_are_answered_like_one(speeds: EngineSpeeds) -> None:
    alone, four = answered(speeds, 1), answered(speeds, 4)
    assert len(four) > 3 * len(alone), "each goes on at its own pace"
    assert np.percentile(four, 95) <= 2.5 * statistics.median(alone)


@pytest.mark.parametrize("cores", [1, 2, 4, 16])
@pytest.mark.parametrize("speeds", [VNNI, AVX2])
def test_as_many_callers_as_are_let_in_are_answered_in_time(speeds: EngineSpeeds, cores: int) -> None:
    speeds = replace(speeds, cores=cores)
    calls = calls_in_time(speeds, cores)
    alone, all_of_them = answered(speeds, 1), answered(speeds, calls)
    assert np.percentile(all_of_them, 95) <= 2.5 * statistics.median(alone), f"{calls} calls"
    assert max(all_of_them) <= 6 * statistics.median(alone)
