"""One clock for all calls."""

import asyncio
import time

import pytest

from media.audio_sender import Due
from media.pacer import Pacer


class Member:
    def __init__(self, fail: bool = False) -> None:
        self.frames = 0
        self.skipped = 0
        self.times: list[float] = []
        self.fail = fail

    def tick(self, due: Due, now: float) -> None:
        self.frames += due.frames
        self.skipped += due.skipped
        self.times.append(now)
        if self.fail:
            raise RuntimeError("this call is broken")


async def test_every_member_gets_fifty_frames_a_second() -> None:
    pacer, members = Pacer(), [Member(), Member()]
    for member in members:
        pacer.add(member)
    await asyncio.sleep(0.6)
    pacer.close()
    for member in members:
        assert member.frames + member.skipped == pytest.approx(30, abs=3)


async def test_a_broken_member_does_not_silence_the_others() -> None:
    pacer, broken, healthy = Pacer(), Member(fail=True), Member()
    pacer.add(broken)
    pacer.add(healthy)
    await asyncio.sleep(0.3)
    pacer.close()
    assert healthy.frames + healthy.skipped >= 12


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
