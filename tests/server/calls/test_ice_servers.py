"""TURN credentials: what they are made of, and who gets them."""

import base64
import hashlib
import hmac
import re
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from server.calls.ice_servers import NOBODY, TurnServers, link_headers
from server.client.caller import Caller
from server.settings import Settings
from tests.server.scripted import place, scripted_server

SECRET = "a-secret-shared-with-coturn"
KEY = "a-key-of-more-than-24-characters"
URLS = ("turn:turn.example.org:3478?transport=udp", "turns:turn.example.org:5349")


def test_a_credential_is_the_hmac_of_its_end_and_of_whoever_it_is_for() -> None:
    (server,) = TurnServers(URLS, SECRET, 600).ice_servers("user:alice", 1_700_000_000.9)
    assert server["urls"] == list(URLS)
    assert server["username"] == "1700000600:user:alice"
    digest = hmac.new(SECRET.encode(), b"1700000600:user:alice", hashlib.sha1).digest()
    assert base64.b64decode(server["credential"]) == digest


def test_names_that_no_header_and_no_turn_server_takes_are_digests_and_each_person_keeps_theirs() -> None:
    turn = TurnServers(URLS, SECRET, 600)
    names = [turn.ice_servers(who, 0)[0]["username"].partition(":")[2] for who in ('user:"x"\r\n', "user:ü", "a" * 500)]
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in names)
    assert len(set(names)) == 3
    assert turn.ice_servers('user:"x"\r\n', 9)[0]["username"] == f"609:{names[0]}"
    assert turn.ice_servers("", 0)[0]["username"] == f"600:{NOBODY}"


def test_links_are_in_the_form_of_whip() -> None:
    (server,) = TurnServers(URLS, SECRET, 600).ice_servers("user:alice", 0)
    assert link_headers([server]) == [
        (
            "Link",
            f'<{url}>; rel="ice-server"; username="600:user:alice"; credential="{server["credential"]}"; '
            'credential-type="password"',
        )
        for url in URLS
    ]
    assert link_headers([]) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"turn_urls": "turn:example.org"}, "turn_secret"),
        ({"turn_urls": "turn:example.org", "turn_secret": "short"}, "turn_secret"),
        ({"turn_urls": "https://example.org", "turn_secret": SECRET}, "is not a TURN server"),
        ({"turn_urls": 'turn:example.org">', "turn_secret": SECRET}, "is not a TURN server"),
    ],
)
def test_settings_that_would_lead_nowhere_are_refused(given: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told):
        Settings(data_dir=tmp_path, **given)


async def test_every_door_hands_the_callers_own_credentials_out(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"turn_urls": ",".join(URLS), "turn_secret": SECRET, "turn_ttl_s": 900, "api_keys": KEY}
    async with scripted_server(tmp_path, **settings) as server, session(server.url) as http:
        async with http.get("/api/ice-servers") as response:
            listed = await response.json()
        assert listed["ttl_s"] == 900
        (given,) = listed["ice_servers"]
        ends, _, who = given["username"].partition(":")
        assert abs(int(ends) - 900 - time.time()) < 60
        assert who.startswith("key:")
        assert given["credential"] == TurnServers(URLS, SECRET, 900).ice_servers(who, int(ends) - 900)[0]["credential"]
        async with Caller() as caller:
            opened = await place(http, caller)
        assert opened["ice_servers"][0]["username"].endswith(who)
        async with Caller() as caller:
            sdp = await caller.offer()
            async with http.post("/v1/realtime/calls", data=sdp, headers={"Content-Type": "application/sdp"}) as answer:
                assert answer.status == 201
                links = answer.headers.getall("Link")
        assert [link[1 : link.index(">")] for link in links] == list(URLS)
        assert all(f':{who}"; credential="' in link for link in links)
        async with aiohttp.ClientSession(server.url) as stranger, stranger.get("/api/ice-servers") as refused:
            assert refused.status == 401


async def test_without_turn_servers_there_is_nothing_to_hand_out(tmp_path: Path) -> None:
    async with (
        scripted_server(tmp_path) as server,
        session(server.url) as http,
        http.get("/api/ice-servers") as response,
    ):
        assert await response.json() == {"ice_servers": [], "ttl_s": None}


def session(url: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {KEY}"})
