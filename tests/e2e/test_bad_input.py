"""Nothing that a client sends takes the server down or gets more than a clear error."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from server.client.caller import Caller
from tests.e2e.conftest import RunningServer, free_port
from tests.e2e.test_call_command import morgan
from tests.media.calls import until


@pytest_asyncio.fixture
async def http(server: RunningServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url) as session:
        yield session


async def error_of(response: aiohttp.ClientResponse) -> dict[str, Any]:
    body = await response.json()
    assert set(body) == {"error"}
    assert body["error"]["code"]
    assert body["error"]["message"]
    return dict(body["error"])


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (b"", 400, "JSON"),
        (b"{", 400, "JSON"),
        (b"[]", 422, ""),
        (b'{"sdp": "v=0", "type": "answer"}', 422, "type"),
        (b'{"sdp": 5, "type": "offer"}', 422, "sdp"),
        (b'{"type": "offer"}', 422, "sdp"),
        (b'{"sdp": "hello", "type": "offer"}', 400, ""),
        (b'{"sdp": "v=0\\r\\n", "type": "offer"}', 400, ""),
        (b'{"sdp": "v=0", "type": "offer", "shoe_size": 44}', 422, "shoe_size"),
        (b'{"sdp": "v=0", "type": "offer", "user_id": ""}', 422, "user_id"),
        (b'{"sdp": "v=0", "type": "offer", "language": "klingon!"}', 422, "language"),
        (b'{"sdp": "v=0", "type": "offer", "voice": "nobody"}', 400, "nobody"),
        (b"x" * 70_000, 413, "65536"),
        (b'{"sdp": "' + b"v" * 70_000 + b'", "type": "offer"}', 413, "65536"),
        (b"\xff\xfe\x00", 400, "JSON"),
    ],
)
async def test_a_bad_offer_is_explained(http: aiohttp.ClientSession, body: bytes, status: int, named: str) -> None:
    async with http.post("/api/calls", data=body, headers={"Content-Type": "application/json"}) as response:
        assert response.status == status, await response.text()
        assert named in (await error_of(response))["message"]


async def test_an_offer_without_audio_is_refused(http: aiohttp.ClientSession) -> None:
    sdp = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
    async with http.post("/api/calls", json={"sdp": sdp, "type": "offer"}) as response:
        assert response.status == 400
        assert "audio" in (await error_of(response))["message"]


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_an_unknown_call_is_not_found(http: aiohttp.ClientSession, method: str) -> None:
    async with http.request(method, "/api/calls/call_nobody", json={"candidates": []}) as response:
        assert response.status == 404
        assert (await error_of(response))["code"] == "call_not_found"


async def test_unknown_paths_and_methods_are_told_as_json(http: aiohttp.ClientSession) -> None:
    async with http.get("/api/nothing") as response:
        assert response.status == 404
        await error_of(response)
    async with http.put("/api/calls") as response:
        assert response.status == 405
        assert "POST" in response.headers["Allow"]
        await error_of(response)


async def test_a_call_refuses_answers_wrong_tokens_and_nonsense(http: aiohttp.ClientSession) -> None:
    async with Caller() as caller:
        offer = await caller.offer()
        async with http.post("/api/calls", json={"sdp": offer, "type": "offer"}) as response:
            assert response.status == 201
            opened = await response.json()
        url = f"/api/calls/{opened['call_id']}"
        assert response.headers["Location"] == url
        answer = {"sdp": opened["sdp"], "type": "answer", "resume_token": opened["resume_token"]}
        for body, status in (
            (answer, 422),
            ({"sdp": offer, "type": "offer", "resume_token": "wrong"}, 403),
            ({"sdp": "v=0", "type": "offer", "resume_token": opened["resume_token"]}, 400),
            ({"candidates": [{"candidate": 5}]}, 422),
            ({"candidates": [{"candidate": "x"}] * 100}, 422),
            ({}, 422),
        ):
            async with http.patch(url, json=body) as response:
                assert response.status == status, body
                await error_of(response)
        nonsense = {"candidates": [{"candidate": "candidate:nonsense", "sdpMid": "0"}, {"candidate": ""}]}
        async with http.patch(url, json=nonsense) as response:
            assert response.status == 204
        await caller.accept(opened["sdp"])
        await caller.channel_open()
        for text in ("", "{", "[]", '{"type": 5}', '{"type": "do.it"}', "x" * 70_000, "[" * 50_000):
            caller.send(text)
        await until(lambda: sum('"type": "error"' in text for _, text in caller.messages) == 7)
        async with http.get(url) as response:
            assert response.status == 200
            assert (await response.json())["state"] == "listening"
        async with http.delete(url) as response:
            assert response.status == 204
        async with http.get(url) as response:
            assert response.status == 404


async def test_a_taken_port_is_told(server: RunningServer) -> None:
    port = server.url.rpartition(":")[2]
    done = await asyncio.to_thread(morgan, "serve", "--port", port)
    assert done.returncode == 1
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("MORGAN_PROT", "9000", "MORGAN_PORT"),
        ("MORGAN_PORT", "nine", "port"),
        ("MORGAN_HOST", "0.0.0.0", "MORGAN_API_KEYS"),
        ("MORGAN_API_KEYS", "short", "24"),
        ("MORGAN_CONFIG", "/nowhere/morgan.toml", "/nowhere/morgan.toml"),
    ],
)
async def test_settings_that_do_not_fit_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    done = await asyncio.to_thread(morgan, "serve", *([] if name == "MORGAN_PORT" else ["--port", str(free_port())]))
    assert done.returncode == 2
    assert told in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr
