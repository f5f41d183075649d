"""Apps with OpenAI's Realtime shapes: a short-lived secret first, then the offer of their WebRTC stack as it is."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.media.test_phone_offers import OFFERS, read
from tests.media.test_sdp import sections
from tests.server.scripted import scripted_server

KEY = "a-key-of-more-than-24-characters"
SDP = {"Content-Type": "application/sdp"}

SHAPES = {
    "now": ("/v1/realtime/client_secrets", {"session": {"type": "realtime", "model": "x"}}, "/v1/realtime/calls"),
    "beta": ("/v1/realtime/sessions", {"model": "x", "voice": "alloy"}, "/v1/realtime?model=x"),
}
"""Where a secret comes from, what is asked for it, and where the offer goes."""


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a Morgan that asks for keys."""
    async with scripted_server(tmp_path, api_keys=KEY) as server, aiohttp.ClientSession(server.url) as http:
        yield http


async def secret(http: aiohttp.ClientSession, shape: str) -> str:
    """What the app's own server gets for it."""
    path, body, _ = SHAPES[shape]
    async with http.post(path, json=body, headers={"Authorization": f"Bearer {KEY}"}) as made:
        assert made.status in (200, 201), await made.text()
        told = await made.json()
    return str(told["value"] if shape == "now" else told["client_secret"]["value"])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("stack", [path.stem for path in OFFERS])
async def test_the_offer_of_each_stack_is_answered_for_a_secret(
    http: aiohttp.ClientSession, shape: str, stack: str
) -> None:
    bearer = {"Authorization": f"Bearer {await secret(http, shape)}"}
    async with http.post(SHAPES[shape][2], data=read(stack), headers={**SDP, **bearer}) as answer:
        assert answer.status == 201, await answer.text()
        audio, *_ = sections(await answer.text())
        location = answer.headers["Location"]
    assert "opus/48000/2" in audio
    async with http.delete(location, headers={"Authorization": f"Bearer {KEY}"}) as ended:
        assert ended.status == 200


@pytest.mark.parametrize("shape", SHAPES)
async def test_without_a_secret_nothing_is_answered(http: aiohttp.ClientSession, shape: str) -> None:
    async with http.post(SHAPES[shape][2], data=read("ios"), headers=SDP) as refused:
        assert refused.status == 401
