"""No call lasts for ever, whichever door it came through."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from server.app import Server
from server.client.caller import Caller
from tests.media.calls import until
from tests.server.scripted import events, place, scripted_server
from tests.server.telephone.bridge import calling

LONGEST_S = 2.0
NEVER_S = 3600.0


@pytest_asyncio.fixture
async def server(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    async with scripted_server(tmp_path, **request.param) as running:
        yield running


LIMITED = {"longest_call_s": LONGEST_S, "telephone_longest_s": NEVER_S}
LIMITED_LINES = {"longest_call_s": NEVER_S, "telephone_longest_s": LONGEST_S}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("server", [LIMITED], indirect=True)
async def test_a_call_over_webrtc_ends_and_its_caller_is_told_why(server: Server) -> None:
    async with aiohttp.ClientSession(server.url) as http, Caller() as caller:
        await place(http, caller)
        await until(lambda: events(caller, "morgan.call.ended"), timeout=60)
        assert [event["reason"] for event in events(caller, "morgan.call.ended")] == ["too_long"]
    await until(lambda: not server.registry.active)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("server", [LIMITED], indirect=True)
@pytest.mark.parametrize("path", ["/ws/audio", "/v1/realtime"])
async def test_a_call_over_a_websocket_ends(server: Server, path: str) -> None:
    calls: list[Any] = []
    async with aiohttp.ClientSession(server.url) as http, http.ws_connect(path) as socket:
        if path == "/ws/audio":
            await socket.send_json({"type": "start", "user_id": "ada"})
        async for _ in socket:
            calls += server.registry.active
        assert socket.closed
    assert {call.ended_reason for call in calls} == {"too_long"}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("server", [LIMITED_LINES], indirect=True)
async def test_a_call_on_a_telephone_line_has_a_limit_of_its_own(server: Server) -> None:
    async with (
        aiohttp.ClientSession() as http,
        calling(http, f"{server.url}/ws/media-stream/twilio", "CA1") as bridge,
    ):
        await until(lambda: server.registry.active, timeout=30)
        (call,) = server.registry.active
        await bridge.until(lambda: bridge.closed is not None)
    assert call.ended_reason == "too_long"
