"""A call's life and its failures: what breaks in one call touches no other, and of an ended call nothing is left."""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from media.endpoint import EndpointFullError, MediaEndpoint
from media.values import IceCandidate, InvalidOfferError
from pipeline.call.inputs import StopReply, UserTyped
from server.app import Server
from server.bounds import MAX_MESSAGE_BURST
from server.calls.call import Call, CallOverError
from server.calls.peer_sweep import PeerSweep
from server.calls.webrtc_line import WebRtcLine
from server.calls.websocket.line import SocketLine
from server.client.caller import Caller, CallFailedError
from server.engines.factory import build_engines
from server.settings import Settings
from tests.media.calls import Notes, until
from tests.serving import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

GRACE_S = 1.0
CONNECT_S = 4.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    settings = Settings(
        port=free_port(),
        record_calls=True,
        models_dir=models_dir,
        data_dir=tmp_path_factory.mktemp("life"),
        stt_model="whisper-tiny.en",
        embedder_engine="none",
        connect_timeout_s=CONNECT_S,
        lost_grace_s=GRACE_S,
        max_calls=4,
    )
    engines = build_engines(settings)
    server = await Server.start(settings, engines)
    # The thread that writes recordings begins with the first of them, and lives as long as the server.
    first = server.memory.recordings.begin("nobody", str(uuid.uuid4()), "call_0")
    assert first is not None
    first.close()
    yield server
    await server.stop()
    for engine in engines.all().values():
        await engine.close()


@pytest_asyncio.fixture(loop_scope="module")
async def http(running: Server) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(running.url) as session:
        yield session
    await until(lambda: not running.registry.active, timeout=20)
    await until(lambda: not peers(running), timeout=20)


def peers(server: Server) -> int:
    return server.registry.endpoint.stats().peers


def figure(server: Server, name: str, **labels: str) -> float:
    return sum(
        f.value for f in server.registry.metrics.figures() if f.name == name and labels.items() <= f.labels.items()
    )


async def post(http: aiohttp.ClientSession, offer: str) -> tuple[int, dict[str, Any]]:
    async with http.post("/api/calls", json={"sdp": offer, "type": "offer"}) as response:
        return response.status, await response.json()


@asynccontextmanager
async def calling(server: Server, http: aiohttp.ClientSession) -> AsyncIterator[tuple[Call, Caller, dict[str, Any]]]:
    """A call that stands."""
    async with Caller() as caller:
        status, opened = await post(http, await caller.offer())
        assert status == 201, opened
        await caller.accept(opened["sdp"])
        await caller.channel_open()
        call = server.registry.find(opened["call_id"])
        assert call is not None
        yield call, caller, opened
        await hang_up(http, call)


async def hang_up(http: aiohttp.ClientSession, call: Call) -> int:
    async with http.delete(f"/api/calls/{call.id}") as response:
        return response.status


async def resume(http: aiohttp.ClientSession, opened: dict[str, Any], offer: str) -> tuple[int, dict[str, Any]]:
    body = {"sdp": offer, "type": "offer", "resume_token": opened["resume_token"]}
    async with http.patch(f"/api/calls/{opened['call_id']}", json=body) as response:
        return response.status, {**await response.json(), "retry": response.headers.get("Retry-After")}


def events(caller: Caller) -> list[dict[str, Any]]:
    return [json.loads(text) for _, text in list(caller.messages)]


def states(caller: Caller) -> list[str]:
    return [event["state"] for event in events(caller) if event["type"] == "morgan.state"]


def answers(caller: Caller) -> bool:
    """Whether the call behind a data channel still reacts."""
    return any(event["type"] == "session.updated" for event in events(caller))


def raising(error: Exception) -> Callable[..., Any]:
    def broken(*_: Any, **__: Any) -> None:
        raise error

    return broken


# What clients send --------------------------------------------------------------------------------------------------


CLEAR = '{"type": "input_audio_buffer.clear"}'


def cleared(caller: Caller) -> int:
    return sum(event["type"] == "input_audio_buffer.cleared" for event in events(caller))


def refusals(caller: Caller) -> list[str]:
    return [event["error"]["code"] for event in events(caller) if event["type"] == "error"]


async def test_a_client_that_floods_its_data_channel_is_told_and_its_call_ends_and_the_others_go_on(
    running: Server, http: aiohttp.ClientSession
) -> None:
    async with calling(running, http) as (call, caller, _), calling(running, http) as (other_call, other, _):
        sent = 0
        while not refusals(caller):
            for _ in range(100):
                caller.send(CLEAR)
            sent += 100
            await until(lambda so_far=sent: cleared(caller) >= so_far or refusals(caller))  # type: ignore[misc]
        assert sent > MAX_MESSAGE_BURST, "so many may come at once"
        while call.ended_reason is None:
            with contextlib.suppress(CallFailedError):
                caller.send(CLEAR)
            await asyncio.sleep(0.001)
        assert call.ended_reason == "flooded"
        assert refusals(caller) == ["rate_limit_exceeded"]
        other.send('{"type": "session.update", "session": {"type": "realtime"}}')
        await until(lambda: answers(other))
        assert other_call.ended_reason is None


# The call's own code ------------------------------------------------------------------------------------------------


@pytest.mark.timeout(60)
async def test_a_call_whose_machine_raises_says_sorry_and_ends_and_the_others_go_on(
    running: Server, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with calling(running, http) as (broken, caller, _), calling(running, http) as (_, other, _):
        # All rest by now, so that packets wait for the clock of all calls, which reads them.
        await until(lambda: running.registry.endpoint._port._held)
        faults = figure(running, "morgan_call_faults_total", code="internal_error")
        monkeypatch.setattr(broken.actor.machine, "handle", raising(RuntimeError("this machine is broken")))
        began = time.monotonic()
        await caller.wait_for_sound(began, timeout=15)
        heard = len(other.packets)
        await until(lambda: len(other.packets) > heard + 20)
        await caller.wait_for_message(lambda text: "morgan.call.ended" in text, timeout=20)
        assert [e["reason"] for e in events(caller) if e["type"] == "morgan.call.ended"] == ["internal_error"]
        assert [e["error"]["code"] for e in events(caller) if e["type"] == "error"] == ["internal_error"]
        assert "speaking" in states(caller)
        await until(lambda: running.registry.find(broken.id) is None)
        assert figure(running, "morgan_call_faults_total", code="internal_error") == faults + 1
        assert figure(running, "morgan_calls_ended_total", reason="internal_error") == 1
        other.send('{"type": "session.update", "session": {"type": "realtime"}}')
        await until(lambda: answers(other))
        assert len(running.registry.active) == 1


async def test_a_call_that_breaks_while_it_is_ended_is_gone_all_the_same(
    running: Server, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with calling(running, http) as (call, _, _):
        monkeypatch.setattr(call.actor.machine, "handle", raising(RuntimeError("this machine is broken")))
        began = time.monotonic()
        assert await hang_up(http, call) == 204
        assert time.monotonic() - began < CONNECT_S
        assert running.registry.find(call.id) is None


@pytest.mark.parametrize("what", ["actor", "memory", "line", "recording"])
async def test_an_end_that_fails_half_way_frees_the_rest(
    running: Server, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    async with calling(running, http) as (call, _, _):
        freed: dict[str, Any] = {}
        parts = {"actor": call.actor, "line": call.line, "recording": call.recording, "memory": call._memory}
        for name, part in parts.items():
            end = "end" if name == "memory" else "close"
            monkeypatch.setattr(part, end, noting(freed, name, getattr(part, end), fails=name == what))
        failures = figure(running, "morgan_call_release_failures_total", part=what)
        assert await hang_up(http, call) == 204
        assert freed == {"actor": "hangup", "line": "hangup", "recording": "", "memory": "hangup"}
        assert running.registry.find(call.id) is None
        assert figure(running, "morgan_call_release_failures_total", part=what) == failures + 1
        if what == "recording":
            monkeypatch.undo()
            assert call.recording is not None
            call.recording.close()
        # The peers of a line that does not close are nobody's then: the sweep finds them.
        await until(lambda: not peers(running), timeout=15)


async def test_a_part_that_never_ends_is_not_waited_for(
    running: Server, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with calling(running, http) as (call, _, _):

        async def never(reason: str) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr("server.calls.holdings.RELEASE_S", 0.2)
        monkeypatch.setattr(call.actor, "close", never)
        assert await hang_up(http, call) == 204
        assert running.registry.find(call.id) is None
        await until(lambda: not peers(running))


def noting(freed: dict[str, Any], name: str, close: Callable[..., Any], *, fails: bool) -> Callable[..., Any]:
    """A `close` that notes its reason, and then fails or closes."""

    def noted(*given: Any) -> Any:
        freed[name] = given[0] if given else ""
        if fails:
            raise RuntimeError(f"{name} does not close")
        return close(*given)

    return noted


async def test_of_a_call_that_cannot_be_connected_the_real_error_is_told_and_nothing_is_left(
    running: Server, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(*_: Any, **__: Any) -> None:
        # Whatever else ends the call meanwhile, such as a shutdown.
        await asyncio.gather(*(call.end("shutdown") for call in running.registry.active))
        raise InvalidOfferError("the real error")

    monkeypatch.setattr(running.registry.endpoint, "answer", answer)
    async with Caller() as caller:
        status, told = await post(http, await caller.offer())
    assert (status, told["error"]["message"]) == (400, "the real error")
    assert running.registry.active == []


async def test_a_call_that_ends_while_it_is_answered_leaves_no_peer(
    running: Server, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = running.registry.endpoint
    original = endpoint.answer

    async def answer(*args: Any, **options: Any) -> Any:
        peer = await original(*args, **options)
        await asyncio.gather(*(call.end("shutdown") for call in running.registry.active))
        return peer

    monkeypatch.setattr(endpoint, "answer", answer)
    async with Caller() as caller:
        status, told = await post(http, await caller.offer())
    assert (status, told["error"]["code"]) == (503, "draining")
    assert running.registry.active == []
    await until(lambda: not peers(running), timeout=CONNECT_S / 2)


async def test_a_caller_who_leaves_before_the_answer_leaves_nothing(
    running: Server, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = asyncio.Event()

    async def answer(*_: Any, **__: Any) -> None:
        waiting.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(running.registry.endpoint, "answer", answer)
    async with Caller() as caller:
        offering = asyncio.ensure_future(post(http, await caller.offer()))
        await waiting.wait()
        assert len(running.registry.active) == 1
        offering.cancel()
        await until(lambda: not running.registry.active)


# New connections ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def slow_resume(
    http: aiohttp.ClientSession, opened: dict[str, Any], offer: str
) -> AsyncIterator[Callable[[], Awaitable[tuple[int, dict[str, Any]]]]]:
    """A request for a new connection that is half sent; what is given sends the rest and returns the answer."""
    body = json.dumps({"sdp": offer, "type": "offer", "resume_token": opened["resume_token"]}).encode()
    rest = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield body[:100]
        await rest.wait()
        yield body[100:]

    headers = {"Content-Type": "application/json"}
    asking = asyncio.ensure_future(http.patch(f"/api/calls/{opened['call_id']}", data=slowly(), headers=headers))

    async def finish() -> tuple[int, dict[str, Any]]:
        rest.set()
        async with await asking as response:
            return response.status, await response.json()

    await asyncio.sleep(0.1)
    yield finish


async def test_new_connections_for_calls_that_end_meanwhile_are_refused_and_leave_the_server_open(
    running: Server, http: aiohttp.ClientSession
) -> None:
    most = running.registry.endpoint._config.max_peers
    for _ in range(most + 1):
        async with calling(running, http) as (call, _, opened), Caller() as second:
            async with slow_resume(http, opened, await second.offer()) as finish:
                assert await hang_up(http, call) == 204
                status, told = await finish()
            assert (status, told["error"]["code"]) == (404, "call_not_found")
    await until(lambda: not peers(running), timeout=CONNECT_S / 2)


async def test_candidates_for_a_call_that_ends_meanwhile_are_refused(
    running: Server, http: aiohttp.ClientSession
) -> None:
    async with calling(running, http) as (call, _, _):
        line = call.line
        await hang_up(http, call)
    assert isinstance(line, WebRtcLine)
    with pytest.raises(CallOverError):
        await line.add_candidates([IceCandidate("")])


async def test_of_two_new_connections_at_once_the_call_owns_both(
    running: Server, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = running.registry.endpoint
    original = endpoint.answer

    async def answer(*args: Any, **options: Any) -> Any:
        peer = await original(*args, **options)
        await asyncio.sleep(0.1)
        return peer

    async with calling(running, http) as (call, _, opened), Caller() as second, Caller() as third:
        monkeypatch.setattr(endpoint, "answer", answer)
        offers = [await second.offer(), await third.offer()]
        (status, first), (other, newest) = await asyncio.gather(*(resume(http, opened, offer) for offer in offers))
        assert (status, other) == (200, 200)
        taken = await asyncio.gather(
            second.accept(first["sdp"], CONNECT_S), third.accept(newest["sdp"], CONNECT_S), return_exceptions=True
        )
        assert None in taken
        await until(lambda: peers(running) == 1, timeout=CONNECT_S)
        assert call.ended_reason is None
        await hang_up(http, call)
        await until(lambda: not peers(running), timeout=CONNECT_S / 2)


async def test_however_often_a_call_asks_for_a_new_connection_it_holds_two_peers_at_most(
    running: Server, http: aiohttp.ClientSession
) -> None:
    async with calling(running, http) as (_, _, opened):
        for _ in range(12):
            async with Caller() as another:
                status, _ = await resume(http, opened, await another.offer())
                assert status == 200
                assert peers(running) <= 2


async def test_a_new_connection_that_never_stands_costs_the_call_nothing(
    running: Server, http: aiohttp.ClientSession
) -> None:
    async with calling(running, http) as (call, caller, opened), Caller() as never:
        status, _ = await resume(http, opened, await never.offer())
        assert status == 200
        assert peers(running) == 2
        await until(lambda: peers(running) == 1, timeout=CONNECT_S * 2)
        await asyncio.sleep(GRACE_S * 1.5)
        assert call.ended_reason is None
        caller.send('{"type": "session.update", "session": {"type": "realtime"}}')
        await until(lambda: answers(caller))


async def test_a_call_moves_to_the_connection_that_stands_and_its_caller_hears_the_events_there(
    running: Server, http: aiohttp.ClientSession
) -> None:
    async with calling(running, http) as (call, _, opened), Caller() as second:
        _, answer = await resume(http, opened, await second.offer())
        await second.accept(answer["sdp"])
        await second.channel_open()
        await until(lambda: peers(running) == 1, timeout=CONNECT_S)
        await asyncio.sleep(GRACE_S * 1.5)
        assert call.ended_reason is None
        second.send('{"type": "session.update", "session": {"type": "realtime"}}')
        await until(lambda: answers(second))
        assert events(second)[0]["type"] == "session.created"


async def test_a_caller_who_closes_the_old_connection_before_the_new_one_stands_keeps_the_call(
    running: Server, http: aiohttp.ClientSession
) -> None:
    async with calling(running, http) as (call, caller, opened), Caller() as second:
        _, answer = await resume(http, opened, await second.offer())
        await caller.close()
        await until(lambda: peers(running) == 1, timeout=CONNECT_S)
        assert call.ended_reason is None
        await second.accept(answer["sdp"])
        await asyncio.sleep(GRACE_S * 1.5)
        assert call.ended_reason is None


async def test_a_caller_who_closes_the_old_connection_while_the_new_offer_is_answered_keeps_the_call(
    running: Server, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = running.registry.endpoint
    original, asked, closed = endpoint.answer, asyncio.Event(), asyncio.Event()

    async def answer(*args: Any, **options: Any) -> Any:
        asked.set()
        await closed.wait()
        return await original(*args, **options)

    async with calling(running, http) as (call, caller, opened), Caller() as second:
        monkeypatch.setattr(endpoint, "answer", answer)
        asking = asyncio.ensure_future(resume(http, opened, await second.offer()))
        await asked.wait()
        await caller.close()
        await until(lambda: not peers(running), timeout=CONNECT_S)
        closed.set()
        status, answered = await asking
        assert (status, call.ended_reason) == (200, None)
        await second.accept(answered["sdp"])
        await until(lambda: "session.created" in [event["type"] for event in events(second)])


async def test_a_caller_who_closes_the_only_connection_has_hung_up(
    running: Server, http: aiohttp.ClientSession
) -> None:
    async with calling(running, http) as (call, caller, _):
        await caller.close()
        await until(lambda: call.ended_reason is not None, timeout=CONNECT_S)
        assert call.ended_reason in ("dtls_closed", "bye")


async def test_a_new_connection_that_the_media_port_has_no_room_for_is_refused_with_words(
    running: Server, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = running.registry.endpoint
    async with calling(running, http) as (call, _, opened), Caller() as second:
        monkeypatch.setattr(endpoint, "_config", replace(endpoint._config, max_peers=1))
        status, told = await resume(http, opened, await second.offer())
        assert (status, told["error"]["code"]) == (503, "no_capacity")
        assert int(told["retry"]) > 0
        assert call.ended_reason is None


async def test_what_happens_while_a_new_connection_comes_up_is_told_on_the_old_one_and_then_on_the_new(
    running: Server, http: aiohttp.ClientSession
) -> None:
    async with calling(running, http) as (call, caller, opened), Caller() as second:
        _, answer = await resume(http, opened, await second.offer())
        call.actor.post(UserTyped("Hello there."))
        await until(lambda: "thinking" in states(caller))
        await second.accept(answer["sdp"])
        await until(lambda: "thinking" in states(second))
        assert events(second)[0]["type"] == "session.created"
        told = len(caller.messages)
        call.actor.post(StopReply())
        await until(lambda: states(second)[-1:] == ["listening"], timeout=20)
        assert len(caller.messages) == told


async def test_a_new_offer_in_place_of_the_first_connection_that_never_stood_ends_with_its_own_timeout(
    running: Server, http: aiohttp.ClientSession
) -> None:
    async with Caller() as first, Caller() as second:
        _, opened = await post(http, await first.offer())
        status, _ = await resume(http, opened, await second.offer())
        assert (status, peers(running)) == (200, 1)
        call = running.registry.find(opened["call_id"])
        assert call is not None
        await until(lambda: call.ended_reason, timeout=CONNECT_S * 2)
        assert call.ended_reason == "connect_timeout"


async def test_a_call_whose_first_connection_cannot_be_replaced_ends(
    running: Server, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Caller() as first, Caller() as second:
        _, opened = await post(http, await first.offer())
        monkeypatch.setattr(running.registry.endpoint, "answer", raising(EndpointFullError("no room")))
        status, _ = await resume(http, opened, await second.offer())
        assert status == 503
        await until(lambda: not running.registry.active)


async def test_an_offer_that_cannot_be_answered_leaves_the_candidate_before_it(
    running: Server, http: aiohttp.ClientSession
) -> None:
    async with calling(running, http) as (_, _, opened), Caller() as second:
        _, answer = await resume(http, opened, await second.offer())
        status, told = await resume(http, opened, "v=0\r\n")
        assert (status, told["error"]["code"]) == (400, "invalid_offer")
        await second.accept(answer["sdp"])


async def test_a_peer_without_a_call_is_swept(running: Server) -> None:
    endpoint = running.registry.endpoint
    notes = Notes()
    async with Caller() as caller:
        peer = await endpoint.answer(await caller.offer(), notes)
        await caller.accept(peer.answer)
        await until(lambda: notes.closed, timeout=20)
    await until(lambda: not peers(running))


async def test_a_sweep_that_fails_sweeps_again(running: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.calls.peer_sweep.SWEEP_S", 0.01)
    looked: list[None] = []
    with monkeypatch.context() as broken:
        broken.setattr(MediaEndpoint, "peers", property(lambda _: looked.append(None) or 1 / 0))
        sweep = PeerSweep(running.registry.endpoint, tuple, running.registry.metrics)
        await until(lambda: len(looked) > 1)
    async with Caller() as caller:
        notes = Notes()
        await running.registry.endpoint.answer(await caller.offer(), notes)
        await until(lambda: notes.closed == ["failed"])
    await sweep.close()
    assert figure(running, "morgan_peers_swept_total") >= 1


# The place of a call -------------------------------------------------------------------------------------------------


async def test_a_place_that_is_not_taken_up_is_given_back(running: Server) -> None:
    calls = running.registry
    async with calls.reserve() as call:
        assert calls.active == [call]
    assert calls.active == []
    with pytest.raises(ZeroDivisionError):
        async with calls.reserve():
            raise ZeroDivisionError
    assert calls.active == []


async def test_a_call_that_has_ended_takes_no_line_and_does_not_begin(running: Server) -> None:
    calls = running.registry
    async with calls.reserve() as call:
        await call.end("shutdown")
        assert calls.active == []
        with pytest.raises(CallOverError):
            call.put_on(WebRtcLine(call, calls.endpoint, GRACE_S, calls.make_talk))
        with pytest.raises(CallOverError):
            call.begin()


async def test_all_that_end_a_call_wait_for_the_one_end(
    running: Server, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with calling(running, http) as (call, _, _):
        closing, may_close = asyncio.Event(), asyncio.Event()
        close = call.actor.close

        async def slowly(reason: str) -> None:
            closing.set()
            await may_close.wait()
            await close(reason)

        monkeypatch.setattr(call.actor, "close", slowly)
        first = asyncio.ensure_future(call.end("hangup"))
        await closing.wait()
        second = asyncio.ensure_future(call.end("lost"))
        first.cancel()  # Whoever asked has left; the end goes on.
        await asyncio.sleep(0.05)
        assert not second.done()
        may_close.set()
        await second
        assert call.ended_reason == "hangup"
        assert running.registry.find(call.id) is None


# Over a WebSocket ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["machine", "tick"])
async def test_a_session_on_a_websocket_that_breaks_is_told_so_and_ends(
    running: Server, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    async with http.ws_connect("/ws/audio") as socket:
        await socket.send_json({"type": "start", "user_id": "life"})
        started = await socket.receive_json()
        call = running.registry.find(started["session_id"])
        assert call is not None
        assert isinstance(call.line, SocketLine)
        if what == "machine":
            monkeypatch.setattr(call.actor.machine, "handle", raising(RuntimeError("this machine is broken")))
        else:
            monkeypatch.setattr(call.line.link, "tick", raising(RuntimeError("this link is broken")))
        told = [json.loads(message.data) async for message in socket if message.type is aiohttp.WSMsgType.TEXT]
        assert socket.close_code == 1011
    assert told[-1] == {"type": "ended", "session_id": call.id, "reason": "internal_error"}
    if what == "machine":
        assert [each["error"]["code"] for each in told if each["type"] == "error"] == ["internal_error"]
    await until(lambda: running.registry.find(call.id) is None)


# The engines of a call ----------------------------------------------------------------------------------------------


async def test_a_call_whose_engines_cannot_be_opened_leaves_nothing(
    running: Server, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running.registry.engines.vad, "open_stream", raising(RuntimeError("no model")))
    async with Caller() as caller:
        status, _ = await post(http, await caller.offer())
    assert status == 500
    assert running.registry.active == []
    await until(lambda: not peers(running), timeout=CONNECT_S / 2)
