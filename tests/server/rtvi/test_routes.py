"""Signaling of the SmallWebRTC transport, with a peer of stock aiortc."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from server.app import Server
from server.client.caller import Caller
from tests.media.calls import until
from tests.server.scripted import scripted_server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    async with scripted_server(tmp_path_factory.mktemp("rtvi"), connect_timeout_s=30, greeting="") as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def http(running: Server) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(running.url) as session:
        yield session
    for call in running.registry.active:
        await call.end("hangup")


async def ask(http: aiohttp.ClientSession, path: str, body: dict[str, Any], method: str = "POST") -> tuple[int, Any]:
    async with http.request(method, path, json=body) as response:
        return response.status, await response.json()


async def called(http: aiohttp.ClientSession, caller: Caller, path: str = "/api/offer", **more: Any) -> dict[str, Any]:
    """Call, and wait for `bot-ready`; what the server answered."""
    offer = {"sdp": await caller.offer(), "type": "offer", "pc_id": None, "restart_pc": False, **more}
    status, answer = await ask(http, path, offer)
    assert status == 200, answer
    await caller.accept(answer["sdp"], timeout=60)
    await caller.channel_open(60)
    caller.send(json.dumps({"label": "rtvi-ai", "type": "client-ready", "id": "c1", "data": {"version": "2.1.0"}}))
    await until(lambda: any('"bot-ready"' in text for _, text in list(caller.messages)))
    found: dict[str, Any] = answer
    return found


async def test_a_call_takes_what_its_client_wants_of_it(running: Server, http: aiohttp.ClientSession) -> None:
    tools = [{"type": "function", "name": "weather", "description": "", "parameters": {"type": "object"}}]
    wanted = {"user_id": "alice", "language": "de", "instructions": "Be brief.", "something": "else"}
    async with Caller(label="chat") as caller:
        await called(http, caller, requestData=wanted)
        (call,) = running.registry.active
        options = call.options
        assert (options.user_id, options.language, options.instructions) == ("alice", "de", "Be brief.")
        offer = {"sdp": await caller.offer(), "type": "offer", "requestData": {"session": {"tools": tools}}}
        status, refused = await ask(http, "/api/offer", offer)
        assert (status, "cannot call functions" in refused["error"]["message"]) == (400, True)


async def test_with_its_pc_id_a_call_goes_on_over_a_new_connection(
    running: Server, http: aiohttp.ClientSession
) -> None:
    async with Caller(label="chat") as before, Caller(label="chat") as after:
        first = await called(http, before)
        second = await called(http, after, pc_id=first["pc_id"], restart_pc=True)
        assert second["pc_id"] == first["pc_id"]
        (call,) = running.registry.active
        await until(lambda: len(call.peers) == 1)
        candidate = {"candidate": "candidate:1 1 udp 1 192.0.2.9 9 typ host", "sdp_mid": "0", "sdp_mline_index": 0}
        body = {"pc_id": first["pc_id"], "candidates": [candidate]}
        assert await ask(http, "/api/offer", body, "PATCH") == (200, {"status": "success"})


async def test_a_pc_id_is_the_key_of_its_call(running: Server, http: aiohttp.ClientSession) -> None:
    async with Caller(label="chat") as caller:
        opened = await called(http, caller)
        wrong = opened["pc_id"].partition(".")[0] + ".another-token"
        offer = {"sdp": await caller.offer(), "type": "offer", "pc_id": wrong}
        assert (await ask(http, "/api/offer", offer))[0] == 403
        assert (await ask(http, "/api/offer", {"pc_id": wrong, "candidates": []}, "PATCH"))[0] == 403
        (call,) = running.registry.active
        await call.end("hangup")
        body = {"pc_id": opened["pc_id"], "candidates": []}
        assert (await ask(http, "/api/offer", body, "PATCH"))[0] == 404
        async with Caller(label="chat") as again:
            assert (await called(http, again, pc_id=opened["pc_id"]))["pc_id"] != opened["pc_id"]


async def test_an_announced_session_holds_for_its_offers(running: Server, http: aiohttp.ClientSession) -> None:
    status, started = await ask(http, "/start", {"transport": "webrtc", "body": {"user_id": "bob"}})
    assert (status, started["iceConfig"]) == (200, {"iceServers": []})
    path = f"/sessions/{started['sessionId']}/api/offer"
    async with Caller(label="chat") as caller:
        opened = await called(http, caller, path)
        (call,) = running.registry.active
        assert call.options.user_id == "bob"
        assert (await ask(http, path, {"pc_id": opened["pc_id"], "candidates": []}, "PATCH"))[0] == 200
        caller.send(json.dumps({"label": "rtvi-ai", "type": "disconnect-bot", "id": "c2", "data": {}}))
        await until(lambda: not running.registry.active)
    assert (await ask(http, "/sessions/nobody/api/offer", {"sdp": "v=0", "type": "offer"}))[0] == 404


async def test_what_is_no_offer_is_refused_for_good(http: aiohttp.ClientSession) -> None:
    """A client gives up at a 4xx, and tries again at anything else."""
    assert (await ask(http, "/api/offer", {"sdp": "v=0", "type": "offer"}))[0] == 400
    wrong = {"sdp": "v=0", "type": "offer", "requestData": {"language": "?"}}
    assert (await ask(http, "/api/offer", wrong))[0] == 422
    assert (await ask(http, "/start", {"body": {"user_id": ""}}))[0] == 422
