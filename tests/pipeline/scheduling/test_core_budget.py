"""Who gets a core, in virtual time; no threads."""

import heapq
import itertools
import random
from dataclasses import dataclass, field

import pytest

from pipeline.scheduling.core_budget import PATIENCE_S, Claim, CoreBudget, Room
from pipeline.scheduling.ticket import Ticket, Urgency
from tests.thorough import share


def claim(urgency: Urgency, threads: int = 1, room: Room | None = None, deadline: float = 1.0) -> Claim:
    return Claim(Ticket(urgency, deadline), room or Room(99), threads)


def granted(budget: CoreBudget, now: float = 0.0) -> list[Claim]:
    return list(iter(lambda: budget.grant(now), None))


def ask(budget: CoreBudget, *claims: Claim, now: float = 0.0) -> list[Claim]:
    for each in claims:
        budget.wait(each, now)
    return granted(budget, now)


def test_no_more_threads_run_than_there_are_cores() -> None:
    budget = CoreBudget(2)
    first, second, third = (claim(Urgency.FIRST_AUDIO) for _ in range(3))
    assert ask(budget, first, second, third) == [first, second]
    budget.give_back(first)
    assert granted(budget) == [third]


def test_the_most_urgent_goes_first_whichever_engine_it_is_of() -> None:
    budget = CoreBudget(1)
    stt, llm = Room(2), Room(1)
    running = claim(Urgency.SPECULATION, room=stt)
    late, soon = claim(Urgency.SPECULATION, room=stt, deadline=9.0), claim(Urgency.SPECULATION, room=llm, deadline=2.0)
    urgent = claim(Urgency.FIRST_AUDIO, room=llm)
    ask(budget, running)
    ask(budget, late, soon, urgent)
    order = []
    for _ in range(3):
        budget.give_back(running)
        (running,) = granted(budget)
        order.append(running)
    assert order == [urgent, soon, late]


def test_what_is_raised_while_it_waits_goes_by_its_new_urgency() -> None:
    budget = CoreBudget(1)
    running, first, second = claim(Urgency.FIRST_AUDIO), claim(Urgency.SPECULATION), claim(Urgency.SPECULATION)
    ask(budget, running, first, second)
    second.ticket.urgency = Urgency.FINAL_TRANSCRIPT
    budget.give_back(running)
    assert granted(budget) == [second]


@pytest.mark.parametrize(("cores", "at_once"), [(1, 1), (2, 1), (4, 3), (16, 15)])
def test_optional_work_leaves_a_core_to_whoever_comes(cores: int, at_once: int) -> None:
    budget = CoreBudget(cores)
    texts = [claim(Urgency.BACKGROUND) for _ in range(20)]
    assert len(ask(budget, *texts)) == at_once
    if cores > 1:
        committed = claim(Urgency.FINAL_TRANSCRIPT)
        assert ask(budget, committed) == [committed], "it did not wait"


def test_beside_committed_work_no_optional_work_takes_the_last_core() -> None:
    budget = CoreBudget(2)
    committed, interim, draft = claim(Urgency.FIRST_AUDIO), claim(Urgency.INTERIM), claim(Urgency.SPECULATION)
    assert ask(budget, committed, interim) == [committed]
    assert ask(budget, draft) == [draft], "somebody may be waiting for that one"
    budget.give_back(committed)
    assert granted(budget) == [], "the draft has one core, the other stays free"
    budget.give_back(draft)
    assert granted(budget) == [interim]


def test_optional_work_that_waited_long_takes_the_last_core_if_nobody_else_wants_it() -> None:
    budget = CoreBudget(2)
    committed, text, ahead = claim(Urgency.FIRST_AUDIO), claim(Urgency.BACKGROUND), claim(Urgency.LOOK_AHEAD)
    ask(budget, committed, text)
    budget.wait(ahead, PATIENCE_S)
    assert granted(budget, PATIENCE_S - 0.01) == []
    assert granted(budget, PATIENCE_S) == [text], "before what is more urgent and came later"


def test_audio_about_to_run_dry_waits_for_no_free_core_beside_it() -> None:
    budget = CoreBudget(2)
    committed, ahead = claim(Urgency.FIRST_AUDIO), claim(Urgency.LOOK_AHEAD)
    ask(budget, committed, ahead)
    ahead.ticket.urgency = Urgency.RUNNING_DRY
    assert granted(budget) == [ahead]


def test_an_engine_runs_no_more_jobs_than_it_can() -> None:
    budget, room = CoreBudget(4), Room(1)
    first, second, other = (
        claim(Urgency.FIRST_AUDIO, room=room),
        claim(Urgency.FIRST_AUDIO, room=room),
        claim(Urgency(3)),
    )
    assert ask(budget, first, second, other) == [first, other]
    budget.give_back(first)
    assert granted(budget) == [second]


def test_a_job_takes_further_cores_that_nobody_else_wants() -> None:
    budget = CoreBudget(4)
    reading = claim(Urgency.FIRST_AUDIO)
    ask(budget, reading, claim(Urgency.SPECULATION))
    assert budget.widen(reading, 2) == 2
    assert budget.widen(reading, 8) == 3
    assert budget.used == 4
    budget.give_back(reading)
    assert budget.used == 1


def test_a_job_that_nobody_waits_for_takes_no_further_core_that_is_the_last() -> None:
    budget = CoreBudget(2)
    prefill = claim(Urgency.LOOK_AHEAD)
    ask(budget, prefill)
    assert budget.widen(prefill, 2) == 1


def test_a_job_of_many_threads_is_not_overtaken_one_core_at_a_time() -> None:
    budget = CoreBudget(2)
    one, wide, small = claim(Urgency.FIRST_AUDIO), claim(Urgency.FIRST_AUDIO, threads=2), claim(Urgency.SPECULATION)
    ask(budget, one)
    assert ask(budget, wide, small) == []
    budget.give_back(one)
    assert granted(budget) == [wide]


def test_work_elsewhere_takes_no_core_and_is_put_off_while_somebody_waits() -> None:
    budget = CoreBudget(1)
    remote, embed = claim(Urgency.FIRST_AUDIO, threads=0), claim(Urgency.BACKGROUND, threads=0)
    local = claim(Urgency.FIRST_AUDIO)
    assert ask(budget, remote, local, embed) == [remote, local]
    budget.give_back(remote)
    assert granted(budget) == [embed]


def test_interim_transcripts_have_room_only_where_a_core_stays_free() -> None:
    assert not CoreBudget(1).spare()
    budget = CoreBudget(2)
    assert budget.spare()
    ask(budget, claim(Urgency.SPECULATION))
    assert not budget.spare()


@dataclass
class Load:
    """Random jobs on a budget, in virtual time."""

    budget: CoreBudget
    random: random.Random
    longest: float
    now: float = 0.0
    ends: list[tuple[float, int, Claim]] = field(default_factory=list)
    worst: dict[Urgency, float] = field(default_factory=dict)
    most: int = 0
    started: int = 0
    _orders: "itertools.count[int]" = field(default_factory=itertools.count)

    def run(self, arrivals: list[tuple[float, Claim]]) -> None:
        for at, each in arrivals:
            self.until(at)
            self.budget.wait(each, at)
            self.begin()
        self.until(float("inf"))

    def until(self, then: float) -> None:
        while self.ends and self.ends[0][0] <= then:
            self.now, _, ended = heapq.heappop(self.ends)
            self.budget.give_back(ended)
            self.begin()
        self.now = then

    def begin(self) -> None:
        while (each := self.budget.grant(self.now)) is not None:
            urgency = each.ticket.urgency
            self.worst[urgency] = max(self.worst.get(urgency, 0.0), self.now - each.since)
            self.started += 1
            takes = self.random.uniform(0.01, self.longest)
            heapq.heappush(self.ends, (self.now + takes, next(self._orders), each))
        self.most = max(self.most, self.budget.used)


@pytest.mark.parametrize("cores", [1, 2, 4, 16])
@pytest.mark.parametrize("seed", range(share(5)))
def test_random_work_is_bounded_urgent_first_and_never_starved(cores: int, seed: int) -> None:
    dice = random.Random(seed)
    arrivals: list[tuple[float, Claim]] = []
    now = 0.0
    for _ in range(2000):
        # Two thirds of what the cores can do.
        now += dice.expovariate(cores * 0.67 / 0.155)
        urgency = dice.choices(list(Urgency), weights=(1, 1, 1, 2, 2, 3, 3))[0]
        arrivals.append((now, claim(urgency, deadline=now + 1)))
    load = Load(CoreBudget(cores), dice, longest=0.3)
    load.run(arrivals)
    assert load.started == 2000, "everything came to its turn"
    assert load.most <= cores
    assert load.worst[Urgency.FIRST_AUDIO] < load.worst[Urgency.BACKGROUND]


@pytest.mark.parametrize("cores", [2, 4, 16])
def test_committed_work_waits_for_nothing_but_committed_work(cores: int) -> None:
    dice = random.Random(cores)
    arrivals: list[tuple[float, Claim]] = [(0.0, claim(Urgency.BACKGROUND)) for _ in range(200)]
    now = 0.0
    for _ in range(100):
        # One at a time: the next comes when the last is certainly done.
        now += 0.3 + dice.random()
        arrivals.append((now, claim(Urgency.FIRST_AUDIO)))
    load = Load(CoreBudget(cores), dice, longest=0.3)
    load.run(arrivals)
    assert load.worst[Urgency.FIRST_AUDIO] <= (0.3 if load.worst[Urgency.BACKGROUND] >= PATIENCE_S else 0.0)
