"""How often one client may ask: 429 before anything is read or built, and nobody is kept out by somebody else."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import BaseModel

from server.app import Server
from server.client.caller import Caller
from server.engines.factory import build_engines
from server.http.errors import errors_as_json
from server.http.guard import guard
from server.http.operation import operation
from server.http.rate_limits import limited
from server.http.server import HttpRunner
from server.identity.keys_file import KEYS_FILE, new_key, write_keys
from server.memory.door import MemoryDoor
from server.observability.metrics import Metrics
from server.services.access import build_access
from server.settings import Settings
from tests.media.calls import until
from tests.serving import free_port

KEYS = ("a-key-that-is-long-enough-to-be-one", "another-key-that-is-long-enough-too")


class Number(BaseModel):
    """A body."""

    value: int


@operation("test", body=Number, cost="work", scope="calls")
async def work(_: web.Request, body: Number) -> web.Response:
    return web.json_response(body.model_dump())


@operation("test", body=Number, cost="call", scope="calls")
async def call(_: web.Request, body: Number) -> web.Response:
    return web.json_response(body.model_dump())


@operation("test", body=Number, scope="calls")
async def cheap(_: web.Request, body: Number) -> web.Response:
    return web.json_response(body.model_dump())


@asynccontextmanager
async def served(per_minute: int, folder: Path, per_day: int | None = None) -> AsyncIterator[str]:
    settings = Settings(data_dir=folder, memory="off", api_keys=",".join(KEYS))
    access = build_access(settings, MemoryDoor(settings), Metrics())
    app = web.Application(
        middlewares=[
            errors_as_json,
            guard(access),
            limited({"work": per_minute, "call": per_minute}, per_day={"work": per_day, "call": None}),
        ]
    )
    for path, handler in (("/work", work), ("/call", call), ("/cheap", cheap)):
        app.router.add_post(path, handler)
    runner = HttpRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        access.close()


def client(address: str = "127.0.0.1", key: str = KEYS[0]) -> aiohttp.ClientSession:
    """Somebody who calls from an address of this machine."""
    connector = aiohttp.TCPConnector(local_addr=(address, 0))
    return aiohttp.ClientSession(connector=connector, headers={"Authorization": f"Bearer {key}"})


async def post(http: aiohttp.ClientSession, url: str, body: str = '{"value": 1}') -> tuple[int, str, int]:
    async with http.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
        code = json.loads(await response.read()).get("error", {}).get("code", "")
        return response.status, code, int(response.headers.get("Retry-After", 0))


async def test_beyond_its_limit_a_client_is_told_when_to_come_again_before_its_body_is_read(tmp_path: Path) -> None:
    async with served(5, tmp_path) as url, client() as http:
        assert [(await post(http, f"{url}/work"))[0] for _ in range(5)] == [200] * 5
        status, code, retry_s = await post(http, f"{url}/work", "no JSON")
        assert (status, code) == (429, "too_many_requests")
        assert 0 < retry_s <= 60
        assert (await post(http, f"{url}/call"))[0] == 200
        assert [(await post(http, f"{url}/cheap"))[0] for _ in range(20)] == [200] * 20


async def test_each_key_and_each_address_has_a_limit_of_its_own(tmp_path: Path) -> None:
    async with served(3, tmp_path) as url:
        for address, key in (("127.0.0.1", KEYS[0]), ("127.0.0.2", KEYS[0]), ("127.0.0.1", KEYS[1])):
            async with client(address, key) as http:
                assert [(await post(http, f"{url}/work"))[0] for _ in range(4)] == [200] * 3 + [429]


async def test_a_quota_is_a_keys_from_wherever_it_asks_and_of_one_kind_of_request(tmp_path: Path) -> None:
    async with served(50, tmp_path, per_day=4) as url:
        for address, expected in (("127.0.0.1", [200] * 3), ("127.0.0.2", [200, 429, 429])):
            async with client(address) as http:
                assert [(await post(http, f"{url}/work"))[0] for _ in range(3)] == expected
        async with client() as http, client(key=KEYS[1]) as other:
            status, code, retry_s = await post(http, f"{url}/work", "no JSON")
            assert (status, code) == (429, "quota_exceeded")
            # A window of the day ends at midnight (UTC), which may be a second away.
            assert 0 < retry_s <= 2 * 86_400
            assert (await post(http, f"{url}/call"))[0] == 200
            assert (await post(other, f"{url}/work"))[0] == 200


async def test_a_key_has_its_own_quota_in_place_of_the_servers(tmp_path: Path) -> None:
    secret, key = new_key("backend", frozenset({"calls"}), per_day={"work": 6})
    write_keys(tmp_path / KEYS_FILE, [key])
    async with served(50, tmp_path, per_day=2) as url, client(key=secret) as http, client() as other:
        assert [(await post(http, f"{url}/work"))[0] for _ in range(7)] == [200] * 6 + [429]
        assert [(await post(other, f"{url}/work"))[0] for _ in range(3)] == [200] * 2 + [429]


async def test_a_request_without_a_key_takes_nothing_of_the_limit(tmp_path: Path) -> None:
    async with (
        served(3, tmp_path) as url,
        client() as http,
        client(key="no-key-at-all-but-of-the-right-length") as stranger,
    ):
        assert {(await post(stranger, f"{url}/work"))[0] for _ in range(10)} == {401}
        assert (await post(http, f"{url}/work"))[0] == 200


@asynccontextmanager
async def calls_of(models_dir: Path, folder: Path, **settings: Any) -> AsyncIterator[Server]:
    wanted = Settings(
        port=free_port(),
        memory="off",
        models_dir=models_dir,
        data_dir=folder,
        stt_model="whisper-tiny.en",
        embedder_engine="none",
        connect_timeout_s=60.0,
        **settings,
    )
    engines = build_engines(wanted)
    server = await Server.start(wanted, engines)
    try:
        yield server
    finally:
        await server.stop()
        for engine in engines.all().values():
            await engine.close()


async def open_call(http: aiohttp.ClientSession, server: Server, offer: str) -> tuple[int, str, int]:
    return await post(http, f"{server.url}/api/calls", json.dumps({"sdp": offer, "type": "offer"}))


@pytest.mark.timeout(120)
async def test_one_offer_sent_16_times_takes_some_lines_for_a_moment_and_keeps_nobody_out(
    models_dir: Path, tmp_path: Path
) -> None:
    async with (
        calls_of(models_dir, tmp_path, max_calls=4, half_open_calls=3) as server,
        Caller() as caller,
        client() as many,
        client("127.0.0.2") as other,
        client("127.0.0.3") as third,
    ):
        offer = await caller.offer()
        answers = [await open_call(many, server, offer) for _ in range(16)]
        assert [status for status, _, _ in answers] == [201] * 3 + [429] * 13
        assert {code for _, code, _ in answers[3:]} == {"too_many_half_open"}
        assert all(retry_s > 0 for _, _, retry_s in answers[3:])
        first = server.registry.active[0]
        # A line was left for somebody else, and of a second one the oldest half-open call makes room.
        assert (await open_call(other, server, offer))[0] == 201
        assert first.ended_reason is None
        assert (await open_call(third, server, offer))[0] == 201
        assert first.ended_reason == "displaced"
        await until(lambda: len(server.registry.active) == 4)
        # Whoever has as many half open as anybody else displaces nobody.
        assert (await open_call(third, server, offer))[:2] == (503, "no_capacity")


@pytest.mark.timeout(120)
async def test_a_call_that_stands_makes_room_for_nobody_and_is_half_open_no_more(
    models_dir: Path, tmp_path: Path
) -> None:
    async with calls_of(models_dir, tmp_path, max_calls=3, half_open_calls=1) as server, client() as http:
        callers = [Caller() for _ in range(3)]
        try:
            for caller in callers:
                url, offer = f"{server.url}/api/calls", await caller.offer()
                async with http.post(url, json={"sdp": offer, "type": "offer"}) as response:
                    assert response.status == 201
                    await caller.accept((await response.json())["sdp"])
                await caller.channel_open()
            async with client("127.0.0.2") as other:
                assert (await open_call(other, server, offer))[:2] == (503, "no_capacity")
            assert [each.ended_reason for each in server.registry.active] == [None] * 3
        finally:
            for caller in callers:
                await caller.close()
