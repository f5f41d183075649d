"""Calls through a real coturn, with the credentials that Morgan hands out."""

import time
from pathlib import Path

import aiohttp
import pytest
from aiortc import RTCIceServer

from server.calls.ice_servers import TurnServers
from server.client.caller import Caller
from tests.coturn import SECRET, coturn
from tests.server.scripted import ask, call_of, place, scripted_server


@pytest.mark.timeout(180)
async def test_a_caller_whom_only_the_relay_lets_through_is_heard_and_answered(tmp_path: Path) -> None:
    async with (
        coturn(tmp_path) as (url, log),
        scripted_server(tmp_path / "data", turn_urls=url, turn_secret=SECRET, connect_timeout_s=60) as server,
        aiohttp.ClientSession(server.url) as http,
    ):
        async with http.get("/api/ice-servers") as response:
            (given,) = (await response.json())["ice_servers"]
        async with Caller(relays=[RTCIceServer(**given)]) as caller:
            opened = await place(http, caller)
            began = time.monotonic()
            ask(caller)
            await caller.wait_for_sound(began, timeout=60)
            # coturn is the only one that Morgan has seen: its relay address, not the caller's own.
            assert f"<{given['username']}>" in log.read_text(errors="replace")
            (peer,) = call_of(server, opened).peers
            assert {line.split()[7] for line in candidates(local_description(caller))} == {"relay"}
            assert peer.stats().packets_received > 0


@pytest.mark.timeout(180)
async def test_coturn_takes_neither_a_credential_that_is_over_nor_one_of_another_secret(tmp_path: Path) -> None:
    async with coturn(tmp_path) as (url, _):
        over = TurnServers((url,), SECRET, 60).ice_servers("alice", time.time() - 3600)
        forged = TurnServers((url,), "another-secret-than-coturns", 60).ice_servers("alice", time.time())
        for (server,) in (over, forged):
            async with Caller(relays=[RTCIceServer(**server)]) as caller:
                assert candidates(await caller.offer()) == []


def local_description(caller: Caller) -> str:
    connection = caller._connection
    assert connection is not None
    return str(connection.localDescription.sdp)


def candidates(sdp: str) -> list[str]:
    """The lines of an offer's candidates."""
    return [line for line in sdp.splitlines() if line.startswith("a=candidate:")]
