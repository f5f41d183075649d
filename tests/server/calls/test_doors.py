"""By whatever door a call comes in and however it breaks: of it nothing stays, and the call beside it goes on."""

import asyncio
import contextlib
import gc
import json
import logging
import uuid
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import pytest_asyncio
from aiohttp import web

from media.recording import Recorder
from server.app import Server
from server.calls.call import Call
from server.calls.handed_over import HandedCall
from server.calls.webrtc_line import WebRtcLine
from server.client.caller import Caller
from server.realtime import sockets
from server.realtime.session import RealtimeSession
from tests.leaks import leaked_tasks
from tests.media.calls import until
from tests.server.attentive import attentive_server
from tests.server.calls.doors import CLEAR, DOORS, Client, RefusedError, read
from tests.server.scripted import events, place
from tests.serving import free_port

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def remembering(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    settings: dict[str, Any] = {
        "memory": "on",
        "record_calls": True,
        "embedder_engine": "none",
        "audio_socket_port": free_port(),
        "calls_per_minute": 1_000_000,
        "lost_grace_s": 0.2,
        "farewell": "Sorry.",
    }
    async with attentive_server(tmp_path_factory.mktemp("doors"), **settings) as server:
        # The thread that writes recordings begins with the first of them, and lives as long as the server.
        first = server.memory.recordings.begin("nobody", str(uuid.uuid4()), "call_0")
        assert first is not None
        first.close()
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(remembering: Server) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(remembering.url, connector=connector) as session:
        yield session


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other(remembering: Server, http: aiohttp.ClientSession) -> AsyncIterator[tuple[Call, Caller]]:
    """Another call, which stands all the while."""
    async with Caller() as caller:
        opened = await place(http, caller)
        call = remembering.registry.find(opened["call_id"])
        assert call is not None
        yield call, caller


# How calls break ------------------------------------------------------------------------------------------------------


def raising(*_: Any, **__: Any) -> Any:
    raise RuntimeError("this is broken")


@dataclass
class Broken:
    """A call by one door that is about to end."""

    call: Call
    client: Client
    patch: pytest.MonkeyPatch
    acts: tuple[Any, str]


async def hangs_up(broken: Broken) -> str:
    await broken.client.hang_up()
    return "hangup dtls_closed bye"


async def vanishes(broken: Broken) -> str:
    await broken.client.vanish()
    return "lost"


async def machine_raises(broken: Broken) -> str:
    broken.patch.setattr(broken.call.actor.machine, "handle", raising)
    return "internal_error"


async def words_raise(broken: Broken) -> str:
    broken.patch.setattr(*broken.acts, raising)
    await broken.client.speak()
    return "internal_error"


async def tick_raises(broken: Broken) -> str:
    line: Any = broken.call.line
    # The trace that pytest would keep of it keeps the call.
    broken.patch.setattr(logging.getLogger("media.pacer"), "disabled", True)
    if isinstance(line, WebRtcLine):
        for peer in line.peers:
            broken.patch.setattr(peer._link, "tick", raising)
        return "lost"  # It might have come back on another connection.
    broken.patch.setattr(line.link, "tick", raising)
    return "internal_error"


async def goodbye_raises(broken: Broken) -> str:
    broken.patch.setattr(RealtimeSession, "close", raising)
    return await hangs_up(broken)


WAYS = (hangs_up, vanishes, machine_raises, words_raise, tick_raises, goodbye_raises)


@pytest.mark.parametrize("door", DOORS)
async def test_of_a_call_nothing_stays_however_it_ends(
    remembering: Server, http: aiohttp.ClientSession, other: tuple[Call, Caller], door: str
) -> None:
    for way in WAYS:
        before = set(asyncio.all_tasks())
        gone = await ended(remembering, http, other[0], door, way)
        await nothing_stays(remembering, other[0], before, way.__name__)
        assert gone() is None, way.__name__
    await goes_on(other[1])


async def ended(
    server: Server, http: aiohttp.ClientSession, other: Call, door: str, way: Callable[[Broken], Awaitable[str]]
) -> "weakref.ref[Call]":
    """What is left of a call that came in by a door and ended in a way."""
    opening, owner, name = DOORS[door]
    with pytest.MonkeyPatch.context() as patch:
        async with opening(server, http) as client:
            call = await begun(server, other)
            expected = await way(Broken(call, client, patch, (owner, name)))
            await until(lambda: call.ended_reason is not None)
            assert call.ended_reason in expected.split(), way.__name__
    return weakref.ref(call)


@pytest.mark.parametrize("door", DOORS)
async def test_of_a_call_that_cannot_begin_nothing_stays(
    remembering: Server, http: aiohttp.ClientSession, other: tuple[Call, Caller], door: str
) -> None:
    for owner, name in ((remembering.registry.engines.vad, "open_stream"), (Call, "put_on"), (Recorder, "begin")):
        before = set(asyncio.all_tasks())
        await refused(remembering, http, door, owner, name)
        await nothing_stays(remembering, other[0], before, name)
    await goes_on(other[1])


async def refused(server: Server, http: aiohttp.ClientSession, door: str, owner: Any, name: str) -> None:
    """Try to begin a call by a door while something that it needs is broken."""
    tried: list[None] = []

    def broken(*_: Any, **__: Any) -> None:
        tried.append(None)
        raise RuntimeError("this is broken")

    opening, *_ = DOORS[door]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, broken)
        with contextlib.suppress(RefusedError):
            async with opening(server, http):
                await until(lambda: tried)
    assert tried


async def begun(server: Server, other: Call) -> Call:
    """The call that was just opened, once it can be spoken on."""
    await until(lambda: len(server.registry.active) == 2)
    (call,) = (each for each in server.registry.active if each is not other)
    await until(lambda: call.state.value == "listening")
    return call


async def nothing_stays(server: Server, other: Call, before: set[asyncio.Task[Any]], what: str) -> None:
    """Of tasks, peers, ticks, lines, recordings and connections only those of the other call are there."""
    registry, endpoint = server.registry, server.registry.endpoint
    await until(lambda: registry.active == [other], timeout=20)
    assert await leaked_tasks(before) == [], what
    await until(lambda: endpoint.stats().peers == 1)
    assert list(endpoint.pacer._members) == list(other.peers), what
    assert list(endpoint._port.demux._by_ufrag.values()) == [peer._transport._ice for peer in other.peers], what
    assert set(registry._lines._clients) == {other}, what
    await until(lambda: server.memory.recordings.figures()["running"] == 1)
    ports = {server.settings.port, server.settings.audio_socket_port}
    await until(lambda: not connections(ports))
    gc.collect()


def connections(ports: set[int]) -> list[Any]:
    """The server's ends of connections to it, but for the one over which the fixtures ask."""
    found = psutil.Process().net_connections("tcp")
    return [each for each in found if each.laddr.port in ports and each.status != psutil.CONN_LISTEN]


async def goes_on(caller: Caller) -> None:
    """A call still does what it is told."""
    before = len(events(caller, "input_audio_buffer.cleared"))
    caller.send(json.dumps(CLEAR))
    await until(lambda: len(events(caller, "input_audio_buffer.cleared")) > before)


# Beside a call -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["the client leaves", "the call ends", "what is said there breaks the call"])
async def test_of_a_seat_beside_a_call_nothing_stays(
    remembering: Server, http: aiohttp.ClientSession, other: tuple[Call, Caller], how: str
) -> None:
    opening, *_ = DOORS["realtime socket"]
    before = set(asyncio.all_tasks())
    with pytest.MonkeyPatch.context() as patch:
        async with opening(remembering, http):
            call = await begun(remembering, other[0])
            async with http.ws_connect(f"/v1/realtime?call_id={call.id}") as socket:
                assert json.loads((await socket.receive()).data)["type"] == "session.created"
                if how == "the call ends":
                    await call.end("hangup")
                elif how != "the client leaves":
                    patch.setattr(RealtimeSession, "_apply", raising)
                    await socket.send_json(CLEAR)
                    await until(lambda: call.ended_reason == "internal_error")
                if how != "the client leaves":
                    await read(socket)
    await nothing_stays(remembering, other[0], before, how)


async def test_who_comes_beside_a_call_that_ends_just_then_is_sent_away(
    remembering: Server, http: aiohttp.ClientSession, other: tuple[Call, Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, *_ = DOORS["realtime socket"]
    async with opening(remembering, http):
        call = await begun(remembering, other[0])
        prepared = sockets.prepared

        async def prepared_late(request: web.Request) -> web.WebSocketResponse:
            await call.end("hangup")
            return await prepared(request)

        monkeypatch.setattr(sockets, "prepared", prepared_late)
        async with http.ws_connect(f"/v1/realtime?call_id={call.id}") as socket:
            await read(socket)
            assert socket.close_code == 1000


async def test_two_who_come_beside_a_call_at_once_do_not_pass_the_bound(
    remembering: Server, http: aiohttp.ClientSession, other: tuple[Call, Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, *_ = DOORS["realtime socket"]
    prepared, came, goes_on = sockets.prepared, asyncio.Event(), asyncio.Event()

    async def prepared_late(request: web.Request) -> web.WebSocketResponse:
        if not came.is_set():
            came.set()
            await goes_on.wait()
        return await prepared(request)

    monkeypatch.setattr(sockets, "MOST", 1)
    async with opening(remembering, http):
        call = await begun(remembering, other[0])

        async def status() -> int:
            try:
                async with http.ws_connect(f"/v1/realtime?call_id={call.id}") as socket:
                    await socket.receive()
            except aiohttp.WSServerHandshakeError as refused:
                return refused.status
            return 101

        monkeypatch.setattr(sockets, "prepared", prepared_late)
        first = asyncio.create_task(status())
        await came.wait()
        assert await status() == 429
        goes_on.set()
        assert await first == 101
        # Who has left makes room.
        await until(lambda: sockets.session_of(call).beside == 0)
        assert await status() == 101


# The end of a server -------------------------------------------------------------------------------------------------


async def test_a_call_that_cannot_be_told_of_a_restart_keeps_no_other_from_being_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = {"type": "start", "user_id": "doors"}
    async with (
        attentive_server(tmp_path) as server,
        aiohttp.ClientSession(server.url) as http,
        http.ws_connect("/ws/audio") as first,
        http.ws_connect("/ws/audio") as second,
    ):
        for socket in (first, second):
            await socket.send_json(start)
            assert (await socket.receive_json())["type"] == "started"
        broken, call = server.registry.active
        monkeypatch.setattr(broken.line, "tell", raising)
        monkeypatch.setattr(HandedCall, "of", raising)
        broken.resumable = call.resumable = True
        stopping = asyncio.create_task(server.stop(1.0))
        told = [json.loads(each.data)["type"] async for each in second if each.type is aiohttp.WSMsgType.TEXT]
        assert told[-2:] == ["shutdown", "ended"]
        await stopping
        assert server.registry.active == []
