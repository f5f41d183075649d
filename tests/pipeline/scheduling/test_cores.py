"""One budget of cores over the threads of several lanes."""

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from pipeline.scheduling.cores import Cores, usable_cores
from pipeline.scheduling.lanes import Lane, Ticket, Urgency
from pipeline.scheduling.thread_cpu import cpu_by_thread_name, cpu_of


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.001)


class Lanes:
    """Two engines on as many cores as a test wants; `gate` holds a core until it is opened."""

    def __init__(self, cores: int) -> None:
        self.cores = Cores(cores)
        self.stt = Lane("stt", workers=2, cores=self.cores)
        self.tts = Lane("tts", workers=1, pausing=True, cores=self.cores)
        self.gates: list[threading.Event] = []
        self.running = self.most = 0
        self.order: list[str] = []
        self._lock = threading.Lock()

    async def hold(self, lane: Lane, urgency: Urgency) -> tuple[threading.Event, "asyncio.Task[None]"]:
        entered, gate = threading.Event(), threading.Event()
        self.gates.append(gate)

        def work() -> None:
            entered.set()
            assert gate.wait(10)

        task = asyncio.create_task(lane.run(work, Ticket(urgency)))
        await until(entered.is_set)
        return gate, task

    def note(self, name: str) -> Callable[[], None]:
        return lambda: self.order.append(name)

    def count(self) -> None:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(0.002)
        with self._lock:
            self.running -= 1

    async def close(self) -> None:
        for gate in self.gates:
            gate.set()
        await asyncio.gather(self.stt.aclose(), self.tts.aclose())


@pytest.fixture
async def pair() -> AsyncIterator[Lanes]:
    lanes = Lanes(2)
    yield lanes
    await lanes.close()


@pytest.fixture
async def single() -> AsyncIterator[Lanes]:
    lanes = Lanes(1)
    yield lanes
    await lanes.close()


async def test_all_lanes_together_run_no_more_jobs_than_there_are_cores(pair: Lanes) -> None:
    work = [lane.run(pair.count, Ticket(Urgency.SPECULATION)) for lane in (pair.stt, pair.tts) for _ in range(20)]
    await asyncio.gather(*work)
    assert 1 <= pair.most <= 2


async def test_a_core_that_comes_free_goes_to_the_most_urgent_of_all_lanes(single: Lanes) -> None:
    gate, held = await single.hold(single.stt, Urgency.FIRST_AUDIO)
    tasks = [
        asyncio.create_task(single.stt.run(single.note("draft"), Ticket(Urgency.SPECULATION))),
        asyncio.create_task(single.tts.run(single.note("first clause"), Ticket(Urgency.FIRST_AUDIO))),
    ]
    await until(lambda: single.stt.load.waiting + single.tts.load.waiting == 2)
    gate.set()
    await asyncio.gather(held, *tasks)
    assert single.order == ["first clause", "draft"]


async def test_look_ahead_does_not_start_beside_committed_work_until_it_is_raised(pair: Lanes) -> None:
    gate, held = await pair.hold(pair.stt, Urgency.FIRST_AUDIO)
    ticket = Ticket(Urgency.LOOK_AHEAD)
    ahead = asyncio.create_task(pair.tts.run(pair.note("ahead"), ticket))
    await until(lambda: pair.tts.load.waiting == 1)
    await asyncio.sleep(0.02)
    assert not ahead.done()
    ticket.urgency = Urgency.RUNNING_DRY
    await asyncio.wait_for(ahead, 10)
    gate.set()
    await held


async def test_a_stream_gives_its_core_to_what_is_more_urgent_and_goes_on_afterwards(single: Lanes) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def clause() -> Iterator[int]:
        yield 1
        begun.set()
        assert go_on.wait(10)
        single.order.append("second part")
        yield 2
        single.order.append("third part")
        yield 3

    stream = single.tts.stream(clause, Ticket(Urgency.RUNNING_DRY))
    assert await anext(stream) == 1
    # What is more urgent before that would be given the core between the first part and the second.
    await until(begun.is_set)
    urgent = asyncio.create_task(single.tts.run(single.note("first clause"), Ticket(Urgency.FIRST_AUDIO)))
    await until(lambda: single.tts.load.waiting == 1)
    go_on.set()
    assert [item async for item in stream] == [2, 3]
    await urgent
    assert single.order == ["second part", "first clause", "third part"], "in the same lane, which has one worker"


async def test_a_stream_rests_as_long_as_its_ticket_does(single: Lanes) -> None:
    ticket, made = Ticket(Urgency.LOOK_AHEAD), []

    def reply() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if number == 3:
                ticket.resting = True
            yield number

    reading = asyncio.create_task(collect(single.tts.stream(reply, ticket)))
    await until(lambda: len(made) == 4)
    assert await single.stt.run(lambda: "the core is free", Ticket()) == "the core is free"
    assert len(made) == 4
    ticket.resting = False
    assert await asyncio.wait_for(reading, 10) == list(range(100))


@pytest.mark.parametrize("how", ["ticket", "reader", "close"])
async def test_a_stream_that_rests_can_be_given_up(how: str) -> None:
    lanes, ticket, closed = Lanes(1), Ticket(Urgency.LOOK_AHEAD), threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                ticket.resting = True
                yield 1
        finally:
            closed.set()

    stream = lanes.tts.stream(endless, ticket)
    assert await anext(stream) == 1
    await until(lambda: lanes.cores.spare() or lanes.cores.count == 1)
    if how == "ticket":
        ticket.cancel()
    elif how == "reader":
        await stream.aclose()
    else:
        await asyncio.wait_for(lanes.tts.aclose(), 10)
    await until(closed.is_set)
    await stream.aclose()
    await lanes.close()


async def collect(stream: AsyncIterator[int]) -> list[int]:
    return [item async for item in stream]


async def test_work_of_another_process_waits_only_if_nobody_waits_for_it() -> None:
    cores, order = Cores(1), []

    async def ask(name: str, urgency: Urgency, until: asyncio.Event) -> None:
        async with cores.elsewhere(Ticket(urgency)):
            order.append(name)
            await until.wait()

    done, at_once = asyncio.Event(), asyncio.Event()
    at_once.set()
    question = asyncio.create_task(ask("question", Urgency.FIRST_AUDIO, done))
    await until(lambda: order == ["question"])
    text = asyncio.create_task(ask("text", Urgency.BACKGROUND, at_once))
    another = asyncio.create_task(ask("another question", Urgency.SPECULATION, at_once))
    await another
    done.set()
    await asyncio.gather(question, text)
    assert order == ["question", "another question", "text"]


async def test_more_cores_let_more_run(single: Lanes) -> None:
    gate, held = await single.hold(single.stt, Urgency.FIRST_AUDIO)
    second = asyncio.create_task(single.stt.run(single.note("second"), Ticket(Urgency.FIRST_AUDIO)))
    await until(lambda: single.stt.load.waiting == 1)
    single.cores.resize(2)
    await asyncio.wait_for(second, 10)
    gate.set()
    await held


@pytest.mark.parametrize(
    ("file", "text", "most"),
    [
        ("cpu.max", "150000 100000\n", 1),
        ("cpu.max", "50000 100000\n", 1),
        ("cpu.max", "100000 100000\n", 1),
    ],
)
def test_a_containers_quota_bounds_the_cores(tmp_path: Path, file: str, text: str, most: int) -> None:
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / file).write_text(text)
    assert usable_cores(tmp_path) == most


def test_without_a_quota_all_cores_that_this_process_may_run_on_count(tmp_path: Path) -> None:
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "cpu.max").write_text("max 100000\n")
    assert usable_cores(tmp_path) == usable_cores(tmp_path / "nothing here") >= 1


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux tells")
async def test_the_cpu_time_of_a_lane_is_that_of_its_threads_and_of_those_they_start() -> None:
    lane = Lane("cpu-time", cores=Cores(2))

    def burn() -> None:
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass

    def with_help() -> None:
        helper = threading.Thread(target=burn)
        helper.start()
        burn()
        # Both are looked at while they live.
        found.append(cpu_of("cpu-time", cpu_by_thread_name()))
        helper.join()

    found: list[float | None] = []
    await lane.run(burn, Ticket())
    alone = lane.load.cpu_s(cpu_by_thread_name())
    assert alone is not None
    assert alone >= 0.04
    await lane.run(with_help, Ticket())
    assert found[0] is not None
    assert found[0] >= alone + 0.05
    await lane.aclose()


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_raised_rested_and_cancelled_every_core_comes_back(seed: int) -> None:
    dice, cores = random.Random(seed), Cores(2)
    lanes = [Lane(f"lane{number}", workers=number, pausing=number > 1, cores=cores) for number in (1, 2, 2)]

    def clause(parts: int) -> Iterator[int]:
        for part in range(parts):
            time.sleep(0.0005)
            yield part

    async def work(ticket: Ticket) -> None:
        lane, how = dice.choice(lanes), dice.random()
        try:
            if how < 0.4:
                await lane.run(lambda: time.sleep(0.001), ticket)
            elif how < 0.9:
                async for part in lane.stream(lambda: clause(6), ticket):
                    if not meddling.done() and dice.random() < 0.05:
                        ticket.resting = True
                    if part == 4 and dice.random() < 0.2:
                        break
            else:
                async with cores.elsewhere(ticket):
                    await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            if not ticket.cancelled:
                raise

    async def meddle(tickets: list[Ticket]) -> None:
        while True:
            ticket = dice.choice(tickets)
            ticket.urgency = dice.choice(list(Urgency))
            ticket.resting = dice.random() < 0.2
            if dice.random() < 0.02:
                ticket.cancel()
            await asyncio.sleep(0.0005)

    tickets = [Ticket(dice.choice(list(Urgency))) for _ in range(300)]
    meddling = asyncio.create_task(meddle(tickets))
    working = [asyncio.create_task(work(ticket)) for ticket in tickets]
    await asyncio.sleep(0.3)
    for task in dice.sample(working, 20):
        task.cancel()
    await asyncio.sleep(0.3)
    meddling.cancel()
    for ticket in tickets:
        ticket.resting = False
    done, left = await asyncio.wait(working, timeout=30)
    assert not left
    await until(lambda: cores.used == 0 and cores.waiting_s() == 0)
    assert [lane.load.running + lane.load.waiting for lane in lanes] == [0, 0, 0]
    assert all(task.cancelled() or task.exception() is None for task in done)
    await asyncio.gather(*(lane.aclose() for lane in lanes))
