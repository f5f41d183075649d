import asyncio
import gc
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from pipeline.scheduling.cores import Cores
from pipeline.scheduling.lanes import Lane, LaneClosedError, LaneFullError, Ticket, Urgency


@pytest.fixture
async def lane() -> AsyncIterator[Lane]:
    lane = Lane("test", capacity=8, backlog=16)
    yield lane
    await lane.aclose()


class Gate:
    """Holds a worker until it is opened, so that a test can fill the queue behind it."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self) -> None:
        self.entered.set()
        assert self.opened.wait(10)


async def hold(lane: Lane) -> tuple[Gate, "asyncio.Task[None]"]:
    gate = Gate()
    task = asyncio.create_task(lane.run(gate, Ticket(Urgency.FIRST_AUDIO)))
    await until(gate.entered.is_set)
    return gate, task


async def until(condition: Callable[[], bool], limit: float = 5.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.001)


async def collect(stream: AsyncIterator[int], into: list[int]) -> None:
    """Read a stream that may break off, keeping what came before."""
    async for item in stream:
        into.append(item)  # noqa: PERF401 - a comprehension would lose the items before the error


async def queue(lane: Lane, ran: list[str], *jobs: tuple[str, Ticket]) -> "list[asyncio.Task[None]]":
    waiting = lane.load.waiting
    tasks = [asyncio.create_task(lane.run(lambda name=name: ran.append(name), ticket)) for name, ticket in jobs]
    await until(lambda: lane.load.waiting == waiting + len(jobs))
    return tasks


async def test_a_job_returns_what_its_function_returns(lane: Lane) -> None:
    assert await lane.run(lambda: threading.current_thread().name, Ticket()) == "lane-test-0"


async def test_a_job_raises_what_its_function_raises(lane: Lane) -> None:
    def fail() -> None:
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        await lane.run(fail, Ticket())
    assert await lane.run(lambda: 1, Ticket()) == 1, "the worker lives on"


async def test_a_function_that_raises_stop_iteration_does_not_hang_its_waiter(lane: Lane) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await asyncio.wait_for(lane.run(lambda: next(iter([])), Ticket()), 60)


async def test_the_most_urgent_job_runs_first(lane: Lane) -> None:
    gate, _ = await hold(lane)
    ran: list[str] = []
    tasks = await queue(
        lane,
        ran,
        ("background", Ticket(Urgency.BACKGROUND)),
        ("interim", Ticket(Urgency.INTERIM)),
        ("first audio", Ticket(Urgency.FIRST_AUDIO)),
        ("final", Ticket(Urgency.FINAL_TRANSCRIPT)),
    )
    gate.opened.set()
    await asyncio.gather(*tasks)
    assert ran == ["first audio", "final", "interim", "background"]


async def test_the_nearer_deadline_runs_first_and_then_the_older_job(lane: Lane) -> None:
    gate, _ = await hold(lane)
    ran: list[str] = []
    tasks = await queue(
        lane,
        ran,
        ("none, older", Ticket(Urgency.INTERIM)),
        ("none, younger", Ticket(Urgency.INTERIM)),
        ("late", Ticket(Urgency.INTERIM, deadline=20.0)),
        ("soon", Ticket(Urgency.INTERIM, deadline=10.0)),
    )
    gate.opened.set()
    await asyncio.gather(*tasks)
    assert ran == ["soon", "late", "none, older", "none, younger"]


async def test_a_job_that_waits_is_promoted_by_its_ticket(lane: Lane) -> None:
    gate, _ = await hold(lane)
    ran: list[str] = []
    promoted = Ticket(Urgency.BACKGROUND)
    tasks = await queue(lane, ran, ("a", Ticket(Urgency.INTERIM)), ("b", promoted))
    promoted.urgency = Urgency.FIRST_AUDIO
    gate.opened.set()
    await asyncio.gather(*tasks)
    assert ran == ["b", "a"]


async def test_a_job_cancelled_before_its_start_does_not_run(lane: Lane) -> None:
    gate, _ = await hold(lane)
    ran: list[str] = []
    ticket = Ticket()
    (task,) = await queue(lane, ran, ("never", ticket))
    ticket.cancel()
    gate.opened.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 60)
    assert ran == []
    assert lane.load.dropped == 1


async def test_cancelled_jobs_are_swept_out_before_more_urgent_work_starts(lane: Lane) -> None:
    gate, _ = await hold(lane)
    dead = Ticket(Urgency.BACKGROUND)
    (task,) = await queue(lane, [], ("dead", dead))
    second = Gate()
    urgent = asyncio.create_task(lane.run(second, Ticket(Urgency.FIRST_AUDIO)))
    await until(lambda: lane.load.waiting == 2)
    dead.cancel()
    gate.opened.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 60)
    assert not urgent.done(), "the waiter was told while the urgent job was still running"
    second.opened.set()
    await urgent


async def test_a_job_is_withdrawn_when_the_task_that_awaits_it_is_cancelled(lane: Lane) -> None:
    gate, _ = await hold(lane)
    ran: list[str] = []
    (task,) = await queue(lane, ran, ("never", Ticket()))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert lane.load.waiting == 0
    gate.opened.set()
    await lane.run(lambda: None, Ticket())
    assert ran == []


async def test_a_job_in_hand_whose_task_is_cancelled_leaves_the_lane_usable(lane: Lane) -> None:
    gate, task = await hold(lane)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.opened.set()
    assert await asyncio.wait_for(lane.run(lambda: "next", Ticket()), 60) == "next"


async def test_a_full_queue_refuses_more(lane: Lane) -> None:
    gate, _ = await hold(lane)
    tasks = await queue(lane, [], *((str(number), Ticket()) for number in range(8)))
    with pytest.raises(LaneFullError, match="8 jobs waiting"):
        await lane.run(lambda: None, Ticket())
    gate.opened.set()
    await asyncio.gather(*tasks)


async def test_cancelled_jobs_do_not_count_against_the_bound(lane: Lane) -> None:
    gate, _ = await hold(lane)
    tickets = [Ticket() for _ in range(8)]
    tasks = await queue(lane, [], *((str(number), ticket) for number, ticket in enumerate(tickets)))
    for ticket in tickets:
        ticket.cancel()
    late = asyncio.create_task(lane.run(lambda: "ran", Ticket()))
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    gate.opened.set()
    assert await late == "ran"


async def test_a_stream_yields_items_as_they_are_made(lane: Lane) -> None:
    go_on = threading.Event()

    def slow() -> Iterator[int]:
        yield 1
        assert go_on.wait(5)
        yield 2

    stream = lane.stream(slow, Ticket())
    assert await anext(stream) == 1, "the first came before the second was made"
    go_on.set()
    assert [item async for item in stream] == [2]


async def test_a_stream_raises_what_its_generator_raises_after_the_items_before(lane: Lane) -> None:
    def fail() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    items: list[int] = []
    with pytest.raises(ValueError, match="broken"):
        await collect(lane.stream(fail, Ticket()), items)
    assert items == [1]


class Endless:
    """A generator that counts how far it came and whether it was closed."""

    def __init__(self) -> None:
        self.made = 0
        self.closed = threading.Event()

    def __call__(self) -> Iterator[int]:
        try:
            while True:
                self.made += 1
                yield self.made
                time.sleep(0.002)
        finally:
            self.closed.set()


async def test_cancelling_the_ticket_ends_a_stream_in_the_middle(lane: Lane) -> None:
    endless, ticket, items = Endless(), Ticket(), []
    async for item in lane.stream(endless, ticket):
        items.append(item)
        if item == 3:
            ticket.cancel()
    assert items == [1, 2, 3], "what was already made is not delivered after the cancellation"
    assert endless.closed.is_set() or endless.closed.wait(1)
    assert endless.made <= 10


async def test_a_stream_cancelled_before_its_start_is_empty_and_never_runs(lane: Lane) -> None:
    gate, _ = await hold(lane)
    endless, ticket = Endless(), Ticket()
    stream = lane.stream(endless, ticket)
    first = asyncio.ensure_future(anext(stream, None))
    await until(lambda: lane.load.waiting == 1)
    ticket.cancel()
    gate.opened.set()
    assert await asyncio.wait_for(first, 60) is None
    assert endless.made == 0


async def test_a_consumer_that_closes_the_stream_stops_the_generator(lane: Lane) -> None:
    endless = Endless()
    stream = lane.stream(endless, Ticket())
    assert await anext(stream) == 1
    await stream.aclose()
    await until(endless.closed.is_set)
    made = endless.made
    assert await lane.run(lambda: "free", Ticket()) == "free"
    assert endless.made == made


async def test_a_consumer_whose_task_is_cancelled_stops_the_generator(lane: Lane) -> None:
    endless = Endless()

    async def consume() -> None:
        async for _ in lane.stream(endless, Ticket()):
            pass

    task = asyncio.create_task(consume())
    await until(lambda: endless.made > 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(endless.closed.is_set)


async def test_a_stream_whose_consumer_gives_up_while_it_waits_leaves_the_queue(lane: Lane) -> None:
    gate, _ = await hold(lane)
    endless = Endless()
    stream = lane.stream(endless, Ticket())
    first = asyncio.ensure_future(anext(stream))
    await until(lambda: lane.load.waiting == 1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert lane.load.waiting == 0
    gate.opened.set()
    await lane.run(lambda: None, Ticket())
    assert endless.made == 0


async def test_a_consumer_that_falls_too_far_behind_loses_its_stream_and_not_the_lane(lane: Lane) -> None:
    stream = lane.stream(lambda: iter(range(1000)), Ticket())
    assert await anext(stream) == 0
    assert await asyncio.wait_for(lane.run(lambda: "free", Ticket()), 60) == "free"
    items: list[int] = []
    with pytest.raises(LaneFullError, match="16 results unread"):
        await collect(stream, items)
    assert items == list(range(1, 1 + len(items)))
    assert 15 <= len(items) <= 17


async def test_closing_fails_the_jobs_that_wait_and_lets_the_one_in_hand_finish() -> None:
    lane = Lane("test")
    gate, in_hand = await hold(lane)
    (waiting,) = await queue(lane, [], ("never", Ticket()))
    closing = asyncio.create_task(lane.aclose())
    with pytest.raises(LaneClosedError):
        await asyncio.wait_for(waiting, 60)
    assert not closing.done()
    gate.opened.set()
    await asyncio.wait_for(asyncio.gather(in_hand, closing), 60)
    with pytest.raises(LaneClosedError):
        await lane.run(lambda: None, Ticket())


async def test_closing_ends_a_stream_between_two_items() -> None:
    lane = Lane("test")
    endless = Endless()
    stream = lane.stream(endless, Ticket())
    assert await anext(stream) == 1
    await asyncio.wait_for(lane.aclose(), 60)
    assert endless.closed.is_set()
    with pytest.raises(LaneClosedError):
        await collect(stream, [])


async def test_closing_gives_up_on_a_job_that_does_not_end() -> None:
    lane = Lane("test")
    gate, task = await hold(lane)
    started = time.monotonic()
    await lane.aclose(timeout=0.05)
    assert time.monotonic() - started < 2
    gate.opened.set()
    await task


async def test_closing_leaves_no_thread_and_no_task() -> None:
    tasks = asyncio.all_tasks()
    lane = Lane("leak-check", workers=2)
    await asyncio.gather(*(lane.run(lambda: None, Ticket()) for _ in range(10)))
    _ = [item async for item in lane.stream(lambda: iter(range(5)), Ticket())]
    await lane.aclose()
    await until(lambda: not any(thread.name.startswith("lane-leak-check") for thread in threading.enumerate()))
    assert asyncio.all_tasks() == tasks


async def test_several_workers_share_one_queue() -> None:
    lane = Lane("wide", workers=2, cores=Cores(2))
    gate, held = await hold(lane)
    assert await asyncio.wait_for(lane.run(lambda: "other worker", Ticket(Urgency.SPECULATION)), 60) == "other worker"
    await until(lambda: lane.load.running == 1)
    gate.opened.set()
    await held
    await lane.aclose()


async def test_the_load_counts_what_was_done(lane: Lane) -> None:
    await lane.run(lambda: time.sleep(0.02), Ticket())
    await until(lambda: lane.load.done == 1)
    assert 0.02 <= lane.load.busy_s < 1.0
    gate, task = await hold(lane)
    assert lane.load.running == 1
    assert lane.load.running_since is not None
    assert 0 <= time.monotonic() - lane.load.running_since < 5
    gate.opened.set()
    await task
    await until(lambda: lane.load.running_since is None)


async def test_an_idle_worker_keeps_nothing_of_its_last_job_alive(lane: Lane) -> None:
    class Audio:
        pass

    audio = Audio()
    gone = weakref.ref(audio)
    await lane.run(lambda held=audio: None, Ticket())
    del audio
    await until(lambda: gc.collect() >= 0 and gone() is None)


def test_a_constructor_may_call_into_the_lane() -> None:
    lane = Lane("load")
    assert lane.call(lambda: threading.current_thread().name) == "lane-load-0"
    with pytest.raises(KeyError):
        lane.call(lambda: dict[str, str]()["missing"])
    lane.close()
    with pytest.raises(LaneClosedError):
        lane.call(lambda: None)


def test_a_result_for_a_loop_that_is_gone_harms_nobody() -> None:
    lane = Lane("orphan")
    gate = Gate()

    async def leave() -> None:
        task = asyncio.create_task(lane.run(gate, Ticket()))
        await until(gate.entered.is_set)
        task.cancel()

    asyncio.run(leave())
    gate.opened.set()
    assert asyncio.run(lane.run(lambda: "alive", Ticket())) == "alive"
    lane.close()


async def test_look_ahead_lets_the_urgent_work_of_other_lanes_go_first() -> None:
    cores = Cores(2)
    urgent, idle = Lane("urgent", cores=cores), Lane("idle", cores=cores)
    order: list[str] = []

    def work(name: str, seconds: float) -> None:
        time.sleep(seconds)
        order.append(name)

    first = asyncio.create_task(urgent.run(lambda: work("first audio", 0.2), Ticket(Urgency.FIRST_AUDIO)))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(idle.run(lambda: work("look-ahead", 0.0), Ticket(Urgency.LOOK_AHEAD)))
    await asyncio.gather(first, second)
    assert order == ["first audio", "look-ahead"]
    await asyncio.gather(urgent.aclose(), idle.aclose())


async def test_look_ahead_whose_audio_runs_dry_waits_for_nobody() -> None:
    cores = Cores(2)
    urgent, idle = Lane("urgent", cores=cores), Lane("idle", cores=cores)
    order: list[str] = []

    def work(name: str, seconds: float) -> None:
        time.sleep(seconds)
        order.append(name)

    first = asyncio.create_task(urgent.run(lambda: work("first audio", 0.4), Ticket(Urgency.FIRST_AUDIO)))
    await asyncio.sleep(0.05)
    ticket = Ticket(Urgency.LOOK_AHEAD)
    second = asyncio.create_task(idle.run(lambda: work("ahead", 0.0), ticket))
    await asyncio.sleep(0.05)
    ticket.urgency = Urgency.RUNNING_DRY
    await asyncio.gather(first, second)
    assert order == ["ahead", "first audio"]
    await asyncio.gather(urgent.aclose(), idle.aclose())
