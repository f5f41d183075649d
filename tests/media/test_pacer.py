"""One clock for all calls."""

import asyncio
import time

import pytest

from media.audio_sender import Due
from media.pacer import FEW, Pacer
from tests.media.calls import until


class Member:
    def __init__(self, fail: bool = False) -> None:
        self.frames = 0
        self.skipped = 0
        self.reads = 0
        self.times: list[float] = []
        self.fails = fail
        self.failed: list[Exception] = []
        self.resting = False

    def tick(self, due: Due, now: float, read: bool) -> None:
        self.frames += due.frames
        self.reads += read
        self.skipped += due.skipped
        self.times.append(now)
        if self.fails:
            raise RuntimeError("this call is broken")

    def fail(self, error: Exception) -> None:
        self.failed.append(error)


async def test_every_member_gets_fifty_frames_a_second() -> None:
    pacer, members = Pacer(), [Member(), Member()]
    for member in members:
        pacer.add(member)
    await asyncio.sleep(0.6)
    pacer.close()
    for member in members:
        assert member.frames + member.skipped == pytest.approx(30, abs=3)


async def test_a_tick_that_something_held_up_is_counted_late() -> None:
    pacer, member = Pacer(), Member()
    pacer.add(member)
    await until(lambda: member.frames >= 3)
    before, count = pacer.late, len(member.times)
    time.sleep(0.1)  # noqa: ASYNC251 - the loop is held up on purpose
    await until(lambda: len(member.times) > count)
    pacer.close()
    assert pacer.late > before
    assert pacer.latest_s > 0.06
    pacer.add(Member())
    pacer.close()
    assert pacer.late == before + 1, "what stood still had no tick to be late for"


class Kernel:
    """Where packets wait."""

    def __init__(self) -> None:
        self.held = False
        self.reads: list[bool] = []

    def hold(self, held: bool) -> None:
        self.held = held

    def read(self) -> None:
        self.reads.append(self.held)


async def test_members_at_rest_get_their_frames_by_twos_and_packets_wait_for_the_clock() -> None:
    kernel, members = Kernel(), [Member(), Member()]
    pacer = Pacer(kernel)
    for member in members:
        member.resting = True
        pacer.add(member)
    await asyncio.sleep(0.6)
    assert kernel.held
    pacer.close()
    assert not kernel.held
    assert members[0].frames + members[0].skipped == pytest.approx(30, abs=3)
    assert len(members[0].times) == pytest.approx(15, abs=3)
    # At every other tick, of which alone the members are told that packets were read.
    assert len(kernel.reads) == pytest.approx(7, abs=2)
    assert all(member.reads == pytest.approx(len(kernel.reads), abs=3) for member in members)


async def test_packets_of_many_members_are_read_at_every_tick() -> None:
    kernel, members = Kernel(), [Member() for _ in range(FEW + 1)]
    pacer = Pacer(kernel)
    for member in members:
        member.resting = True
        pacer.add(member)
    await asyncio.sleep(0.6)
    pacer.close()
    assert len(kernel.reads) == pytest.approx(15, abs=3)
    assert len(members[0].times) == members[0].reads


async def test_one_that_does_not_rest_keeps_all_awake() -> None:
    kernel = Kernel()
    pacer, resting, waking = Pacer(kernel), Member(), Member()
    resting.resting = True
    pacer.add(resting)
    await asyncio.sleep(0.1)
    assert kernel.held
    pacer.add(waking)
    assert not kernel.held
    before = len(resting.times)
    await asyncio.sleep(0.4)
    assert len(resting.times) - before == pytest.approx(20, abs=4)
    waking.resting = True
    await asyncio.sleep(0.1)
    assert kernel.held
    pacer.close()


async def ticks(member: Member, more: int) -> None:
    """Wait for so many more ticks of a member."""
    wanted = len(member.times) + more
    await until(lambda: len(member.times) >= wanted)


async def test_a_broken_member_does_not_silence_the_others_and_is_told_once() -> None:
    pacer, broken, healthy = Pacer(), Member(fail=True), Member()
    pacer.add(broken)
    pacer.add(healthy)
    await ticks(healthy, 12)
    pacer.close()
    assert [str(error) for error in broken.failed] == ["this call is broken"]
    assert len(broken.times) == 1
    assert pacer.failures == 1


async def test_a_member_that_cannot_say_whether_it_rests_is_left_out() -> None:
    class Restless(Member):
        resting = property(lambda _: 1 / 0, lambda *_: None)  # type: ignore[assignment]

    pacer, broken, healthy = Pacer(), Restless(), Member()
    pacer.add(broken)
    pacer.add(healthy)
    await ticks(healthy, 5)
    pacer.close()
    assert len(broken.failed) == 1


async def test_packets_that_cannot_be_read_while_all_rest_do_not_stop_the_clock_of_all_calls() -> None:
    class Broken(Kernel):
        def read(self) -> None:
            super().read()
            raise RuntimeError("the call that these packets belong to is broken")

    kernel, member = Broken(), Member()
    pacer = Pacer(kernel)
    member.resting = True
    pacer.add(member)
    await ticks(member, 10)
    pacer.close()
    assert pacer.failures == len(kernel.reads) >= 3
    assert member.failed == []


async def test_a_clock_that_fails_itself_ticks_again() -> None:
    class Stiff(Kernel):
        def hold(self, held: bool) -> None:
            super().hold(held)
            raise OSError("no such file descriptor")

    kernel, member = Stiff(), Member()
    pacer = Pacer(kernel)
    member.resting = True
    pacer.add(member)
    await ticks(member, 5)
    assert pacer.failures == 1
    with pytest.raises(OSError, match="descriptor"):
        pacer.close()
    ticked = len(member.times)
    await asyncio.sleep(0.1)
    assert len(member.times) == ticked


async def test_time_lost_to_a_busy_loop_is_caught_up_or_skipped_but_never_stretched() -> None:
    pacer, member = Pacer(), Member()
    pacer.add(member)
    await asyncio.sleep(0.1)
    time.sleep(0.3)  # noqa: ASYNC251 - the loop is busy
    await asyncio.sleep(0.1)
    pacer.close()
    assert member.frames + member.skipped == pytest.approx(25, abs=4)
    assert member.skipped >= 8


async def test_a_removed_member_is_called_no_more_and_an_empty_pacer_rests() -> None:
    pacer, member = Pacer(), Member()
    pacer.add(member)
    await asyncio.sleep(0.05)
    pacer.remove(member)
    pacer.remove(member)
    calls = len(member.times)
    await asyncio.sleep(0.1)
    assert len(member.times) == calls
    pacer.add(member)
    await asyncio.sleep(0.1)
    assert len(member.times) > calls
    assert member.skipped == 0
    pacer.close()
