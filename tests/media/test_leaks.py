"""What calls leave behind: nothing."""

import asyncio
import gc
import threading
import weakref

import psutil
import pytest

from media.endpoint import MediaEndpoint
from media.peer import WebRtcPeer
from server.client.caller import Caller
from tests.media.calls import Notes, call, endpoint, until


async def short_call(server: MediaEndpoint) -> "weakref.ref[WebRtcPeer]":
    async with call(server) as (caller, peer, notes):
        await until(lambda: notes.audio and notes.channel_open)
        await caller.channel_open()
        caller.send("hello")
        await peer.close()
        return weakref.ref(peer)


async def test_thirty_calls_leave_no_memory_task_thread_or_file_behind() -> None:
    process = psutil.Process()
    async with endpoint() as server:
        for _ in range(8):
            await short_call(server)
        gc.collect()
        await asyncio.sleep(0.1)
        memory, files, threads = process.memory_info().rss, process.num_fds(), threading.active_count()
        tasks = len(asyncio.all_tasks())
        peers = [await short_call(server) for _ in range(30)]
        await asyncio.sleep(0.1)
        gc.collect()
        assert server.stats().peers == 0
        assert server._port.demux.addresses == 0
        assert server._port.demux.transactions == {}
        assert [peer() for peer in peers] == [None] * 30
        assert len(asyncio.all_tasks()) == tasks
        assert threading.active_count() == threads
        assert process.num_fds() <= files
        assert process.memory_info().rss < memory * 1.05


async def test_an_unanswered_call_leaves_nothing_behind() -> None:
    async with endpoint(connect_timeout_s=0.1) as server:
        tasks = len(asyncio.all_tasks())
        async with Caller() as caller:
            offer = await caller.offer()
        peers = [weakref.ref(await server.answer(offer, Notes())) for _ in range(20)]
        await until(lambda: server.stats().peers == 0)
        await asyncio.sleep(0.05)
        gc.collect()
        assert [peer() for peer in peers] == [None] * 20
        assert len(asyncio.all_tasks()) == tasks


async def test_an_answer_that_is_interrupted_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    async with endpoint() as server, Caller() as caller:
        offer = await caller.offer()

        async def interrupted(self: WebRtcPeer) -> None:
            await self._transport.gather()
            raise asyncio.CancelledError

        monkeypatch.setattr(WebRtcPeer, "open", interrupted)
        with pytest.raises(asyncio.CancelledError):
            await server.answer(offer, Notes())
        assert server.stats().peers == 0
        assert server._port.demux._by_ufrag == {}


async def test_closing_the_endpoint_closes_every_call_and_the_socket() -> None:
    process = psutil.Process()
    async with Caller() as first, Caller() as second:
        tasks, files = len(asyncio.all_tasks()), process.num_fds()
        notes = [Notes(), Notes()]
        async with endpoint() as server:
            for caller, listener in zip((first, second), notes, strict=True):
                await caller.accept((await server.answer(await caller.offer(), listener)).answer)
        assert [listener.closed for listener in notes] == [["hangup"], ["hangup"]]
        await first.close()
        await second.close()
        await asyncio.sleep(0.05)
        assert len(asyncio.all_tasks()) <= tasks
        assert process.num_fds() <= files


async def test_the_clock_stops_with_the_last_call() -> None:
    async with endpoint() as server:
        await short_call(server)
        assert server._pacer._timer is None
        async with call(server) as (_, _, notes):
            await until(lambda: len(notes.audio) > 5)
