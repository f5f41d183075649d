"""WHIP (RFC 9725), with a peer of stock aiortc: what each method answers, and that the call hears and speaks."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from server.app import Server
from server.client.caller import Caller
from tests.media.calls import until
from tests.server.scripted import ask, scripted_server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = "application/trickle-ice-sdpfrag"
OTHER = "a=ice-ufrag:other\r\na=ice-pwd:" + "p" * 24 + "\r\n"
TURN = {"turn_urls": "turn:turn.example.org:3478?transport=udp", "turn_secret": "a-secret-of-sixteen-letters"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    folder: Path = tmp_path_factory.mktemp("whip")
    async with scripted_server(folder, connect_timeout_s=30, **TURN) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def http(running: Server) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(running.url) as session:
        yield session


async def publish(http: aiohttp.ClientSession, offer: str, path: str = "/whip") -> tuple[str, str, str]:
    """Location, ETag and answer."""
    async with http.post(path, data=offer, headers=SDP) as response:
        assert response.status == 201, await response.text()
        assert response.headers["Content-Type"] == "application/sdp"
        return response.headers["Location"], response.headers["ETag"], await response.text()


async def patch(
    http: aiohttp.ClientSession, location: str, body: str, tag: str | None, kind: str = FRAGMENT
) -> tuple[int, str | None, str]:
    headers = {"Content-Type": kind} | ({"If-Match": tag} if tag is not None else {})
    async with http.patch(location, data=body, headers=headers) as response:
        return response.status, response.headers.get("ETag"), await response.text()


async def test_who_offers_to_receive_hears_morgan(running: Server, http: aiohttp.ClientSession) -> None:
    async with Caller() as caller:
        location, _, answer = await publish(http, await caller.offer(), "/whip?user_id=alice&language=en")
        assert "a=sendrecv" in answer
        await caller.accept(answer, timeout=60)
        await caller.channel_open(60)
        began = time.monotonic()
        ask(caller)
        await caller.wait_for_sound(began, timeout=60)
        async with http.get(location) as response:
            assert (response.status, await response.text()) == (204, "")
        (call,) = running.registry.active
        assert (call.options.user_id, call.options.language) == ("alice", "en")
        async with http.delete(location) as response:
            assert response.status == 200
        async with http.delete(location) as response:
            assert response.status == 404


async def test_who_only_sends_is_answered_recvonly_and_heard(running: Server, http: aiohttp.ClientSession) -> None:
    async with Caller() as caller:
        location, _, answer = await publish(http, await caller.offer("sendonly"))
        assert "a=recvonly" in answer
        await caller.accept(answer, timeout=60)
        (call,) = running.registry.active
        await until(lambda: any(peer.stats().packets_received > 10 for peer in call.peers))
        assert (await http.delete(location)).status == 200


@pytest.mark.parametrize("door", ["/whip", "/v1/realtime/calls", "/api/calls", "/api/offer"])
async def test_a_microphone_and_a_loudspeaker_apart_make_a_call_on_every_door(
    running: Server, http: aiohttp.ClientSession, door: str
) -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    heard: list[float] = []
    connection.on("track", lambda track: heard.append(0))
    connection.addTransceiver(AudioStreamTrack(), direction="sendonly")
    receiving = connection.addTransceiver("audio", direction="recvonly")
    await connection.setLocalDescription(await connection.createOffer())
    offer = connection.localDescription.sdp
    if door.startswith("/api"):
        async with http.post(door, json={"sdp": offer, "type": "offer"}) as response:
            answer = (await response.json())["sdp"]
    else:
        _, _, answer = await publish(http, offer, door)
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    try:
        (call,) = running.registry.active
        await until(lambda: any(peer.stats().packets_received > 10 for peer in call.peers))
        track = receiving.receiver.track
        assert track is not None
        for _ in range(5):
            await track.recv()
    finally:
        await connection.close()
        await call.end("hangup")


async def test_candidates_trickle_with_the_tag_of_the_session(running: Server, http: aiohttp.ClientSession) -> None:
    async with Caller() as caller:
        location, tag, _ = await publish(http, await caller.offer())
        body = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.9 9 typ host\r\n"
        assert await patch(http, location, body, tag) == (204, None, "")
        assert (await patch(http, location, body, None))[0] == 428
        assert (await patch(http, location, body, '"older"'))[0] == 412
        assert (await patch(http, location, "{}", tag, "application/json"))[0] == 415
        assert (await patch(http, location, "a=ice-ufrag:x\r\n", tag))[0] == 400
        assert (await http.delete(location)).status == 200


@pytest.mark.parametrize("every", ["*", '"*"'])
async def test_other_credentials_are_answered_with_other_ones(
    running: Server, http: aiohttp.ClientSession, every: str
) -> None:
    async with Caller() as caller:
        location, tag, answer = await publish(http, await caller.offer())
        status, _, told = await patch(http, location, OTHER, every)
        assert status == 409, "it does not stand yet"
        assert "not connected" in told
        await caller.accept(answer, timeout=60)
        (call,) = running.registry.active
        await until(lambda: any(peer.stats().packets_received > 10 for peer in call.peers))
        status, newer, ours = await patch(http, location, OTHER, every)
        assert status == 200
        assert newer not in (None, tag)
        assert f'"{ours.split("a=ice-ufrag:")[1].split()[0]}"' == newer
        assert "a=ice-pwd:" in ours
        assert "a=candidate:" in ours
        assert (await patch(http, location, OTHER, tag))[0] == 412, "that is of before the restart"
        assert (await patch(http, location, OTHER, newer))[0] == 204
        assert (await http.delete(location)).status == 200


@pytest.mark.parametrize("door", ["/api/calls", "/v1/realtime/calls"])
async def test_a_fragment_restarts_ice_on_the_other_doors(
    running: Server, http: aiohttp.ClientSession, door: str
) -> None:
    async with Caller() as caller:
        offer = await caller.offer()
        if door == "/api/calls":
            async with http.post(door, json={"sdp": offer, "type": "offer"}) as response:
                location, answer = response.headers["Location"], (await response.json())["sdp"]
        else:
            location, _, answer = await publish(http, offer, door)
        await caller.accept(answer, timeout=60)
        (call,) = running.registry.active
        await until(lambda: any(peer.stats().packets_received > 10 for peer in call.peers))
        status, _, ours = await patch(http, location, OTHER, None)
        assert (status, ours.startswith("a=ice-ufrag:")) == (200, True)
        assert (await http.delete(location)).status in (200, 204)


async def test_ice_servers_come_as_links(running: Server, http: aiohttp.ClientSession) -> None:
    async with Caller() as caller, http.post("/whip", data=await caller.offer(), headers=SDP) as response:
        (link,) = response.headers.getall("Link")
        assert link.startswith('<turn:turn.example.org:3478?transport=udp>; rel="ice-server"; username=')
        assert (await http.delete(response.headers["Location"])).status == 200
    async with http.options("/whip") as response:
        assert (response.status, response.headers["Accept-Post"]) == (200, "application/sdp")
        assert "turn.example.org" in response.headers["Link"]
    async with http.get("/whip") as response:
        assert (response.status, await response.text()) == (204, "")


async def test_what_cannot_be_answered_is_refused_whole(running: Server, http: aiohttp.ClientSession) -> None:
    async with http.post("/whip", json={}) as response:
        assert (response.status, response.headers["Accept-Post"]) == (415, "application/sdp")
    async with http.post("/whip", data="v=0", headers=SDP) as response:
        assert response.status == 400
    async with http.post("/whip?colour=red", data="v=0", headers=SDP) as response:
        assert response.status == 422
    assert running.registry.active == []
