"""What strangers and foreign pages get, who may say what is urgent, and how a page signs in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from pipeline.scheduling.lanes import Urgency
from server.http.cors import Origins, only_ours
from server.http.errors import errors_as_json
from server.http.guard import guard
from server.http.operation import operation
from server.http.rate_limits import limited
from server.http.server import HttpRunner
from server.http.tickets import TICKETS, asked_ticket
from server.identity.grant import Grant
from server.identity.keys_file import KEYS_FILE, new_key, write_keys
from server.identity.principal import principal_of
from server.identity.tokens import TOKENS, Tokens
from server.memory.door import MemoryDoor
from server.observability.metrics import Metrics
from server.routes import tokens as token_routes
from server.routes.health import for_strangers as health_for_strangers
from server.services.access import build_access
from server.services.health import sees_details
from server.settings import Settings

KEY = "a-key-that-is-long-enough-to-be-one"
opened: list[str] = []
seen: list[Urgency] = []


def _told(request: web.Request) -> web.Response:
    opened.append(principal_of(request).user_id or "")
    return web.json_response({"user_id": principal_of(request).user_id, "session": principal_of(request).session})


@operation("test", scope="calls", cost="call")
async def call(request: web.Request) -> web.Response:
    return _told(request)


@operation("realtime", scope="calls", cost="call")
async def realtime(request: web.Request) -> web.Response:
    return _told(request)


@operation("test", scope="read")
async def read(request: web.Request) -> web.Response:
    return web.json_response({})


@operation("test", scope="llm", cost="work")
async def work(request: web.Request) -> web.Response:
    with asked_ticket(request) as ticket:
        seen.append(ticket.urgency)
    return web.json_response({})


@operation("test", open=True)
async def health(request: web.Request) -> web.Response:
    return web.json_response({"details": sees_details(request)})


@operation("test")
async def forgotten(request: web.Request) -> web.Response:
    return web.json_response({})


@asynccontextmanager
async def served(
    folder: Path, *, keys: str = KEY, service: bool = False, per_minute: int = 1_000
) -> AsyncIterator[tuple[aiohttp.ClientSession, Tokens]]:
    """The guard in front of a few routes, as `server.application` puts it together."""
    settings = Settings(data_dir=folder, memory="off", api_keys=keys, wrong_keys_per_minute=1_000)
    access = build_access(settings, MemoryDoor(settings), Metrics())
    limits = limited({"call": per_minute, "work": per_minute}, spare_cores=service)
    ours = only_ours(Origins([], local_only=not access.guarded))
    app = web.Application(middlewares=[errors_as_json, ours, guard(access), limits])
    app[TOKENS] = access.tokens
    if service:
        app[TICKETS] = {}
    for path, handler in (
        ("/call", call),
        ("/v1/realtime/calls", realtime),
        ("/work", work),
        ("/forgotten", forgotten),
    ):
        app.router.add_post(path, handler)
    for path, handler in (("/read", read), ("/health", health)):
        app.router.add_get(path, handler)
    app.add_routes(token_routes.routes)
    runner = HttpRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as http:
            yield http, access.tokens
    finally:
        await runner.cleanup()
        access.close()


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}


async def status(http: aiohttp.ClientSession, method: str, path: str, credential: str = "", **more: str) -> int:
    headers = {**(bearer(credential) if credential else {}), **more}
    async with http.request(method, path, headers=headers) as response:
        return response.status


async def test_a_hundred_who_race_with_one_token_open_one_call(tmp_path: Path) -> None:
    async with served(tmp_path) as (http, tokens):
        value = tokens.mint(Grant("join", frozenset({"calls"}), "alice"), 60).value
        opened.clear()
        ways = [{"path": "/call", "credential": value}, {"path": f"/call?token={value}"}]
        got = await asyncio.gather(*(status(http, "POST", **ways[turn % 2]) for turn in range(100)))
        assert sorted(got) == [200] + [401] * 99
        assert opened == ["alice"]
        # Expired, tampered with, of another server: none.
        expired = tokens.mint(Grant("join", frozenset({"calls"}), "alice"), -1).value
        async with served(tmp_path / "another") as (_, others):
            foreign = others.mint(Grant("join", frozenset({"calls"}), "alice"), 60).value
        for wrong in (value, expired, foreign, expired[:-4], value.replace("mt_", "ek_")):
            assert await status(http, "POST", "/call", wrong) == 401
        assert opened == ["alice"]


async def test_a_token_is_not_used_up_where_it_may_not_be_used(tmp_path: Path) -> None:
    async with served(tmp_path) as (http, tokens):
        value = tokens.mint(Grant("join", frozenset({"calls"}), "alice"), 60).value
        assert await status(http, "GET", "/read", value) == 403
        assert await status(http, "GET", "/health", value) == 200
        assert await status(http, "POST", "/call", value) == 200


async def test_a_page_signs_in_with_a_link_and_never_sees_the_key(tmp_path: Path) -> None:
    async with served(tmp_path) as (http, _):
        wanted = {"user_id": "alice", "language": "de", "expires_in_s": 60}
        async with http.post("/api/tokens", json=wanted, headers=bearer(KEY)) as response:
            assert response.status == 201
            assert response.headers["Cache-Control"] == "no-store"
            join = await response.json()
        assert join["link"] == f"/?token={join['token']}"
        async with http.post("/api/tokens/exchange", headers=bearer(join["token"])) as response:
            assert response.status == 201
            page = await response.json()
        assert page["user_id"] == "alice"
        assert await status(http, "POST", "/api/tokens/exchange", join["token"]) == 401
        for _ in range(3):
            async with http.post("/call", headers=bearer(page["token"])) as response:
                assert (await response.json())["user_id"] == "alice"
        # It prolongs itself neither so nor so, and is no key.
        assert await status(http, "POST", "/api/tokens/exchange", page["token"]) == 403
        assert await status(http, "POST", "/api/tokens", page["token"]) == 403


async def test_nobody_lends_more_than_they_have_nor_in_anothers_name(tmp_path: Path) -> None:
    secret, key = new_key("phone", frozenset({"calls", "tokens"}), "bob")
    write_keys(tmp_path / KEYS_FILE, [key])

    async def asked(http: aiohttp.ClientSession, **wanted: Any) -> tuple[int, Any]:
        async with http.post("/api/tokens", json=wanted, headers=bearer(secret)) as response:
            return response.status, await response.json()

    async with served(tmp_path) as (http, _):
        granted, token = await asked(http)
        assert (granted, token["user_id"], token["scopes"]) == (201, "bob", ["calls"])
        assert (await asked(http, scopes=["read"]))[0] == 403
        assert (await asked(http, scopes=["admin"]))[0] == 403
        assert (await asked(http, scopes=["everything"]))[0] == 422
        assert (await asked(http, user_id="alice"))[0] == 404
        assert (await asked(http, instructions="x" * 2_000))[0] == 201


async def test_a_client_secret_brings_its_session_by_header_and_by_subprotocol(tmp_path: Path) -> None:
    async with served(tmp_path) as (http, tokens):
        session = {"type": "realtime", "instructions": "x" * 30_000}
        secret = tokens.mint(Grant("realtime", frozenset({"calls"}), single_use=False), 60, session).value
        offered = {"Sec-WebSocket-Protocol": f"realtime, openai-insecure-api-key.{secret}"}
        for headers in (bearer(secret), {"api-key": secret}, offered):
            assert await status(http, "POST", "/call", **headers) == 403
            async with http.post("/v1/realtime/calls", headers=headers) as response:
                told = await response.json()
            assert told["session"] == session
            assert told["user_id"].startswith("guest-")
        assert await status(http, "POST", "/call", **{"api-key": "wrong"}) == 401
        assert await status(http, "POST", "/call", **{"api-key": KEY}) == 200


async def test_a_route_that_says_no_scope_is_for_administrators(tmp_path: Path) -> None:
    secret, key = new_key("almost", frozenset({"calls", "read", "erase", "speech", "llm", "tokens", "service"}))
    write_keys(tmp_path / KEYS_FILE, [key])
    async with served(tmp_path) as (http, _):
        assert await status(http, "POST", "/forgotten", secret) == 403
        assert await status(http, "POST", "/forgotten", KEY) == 200


async def test_strangers_are_told_that_it_is_well_and_no_more(tmp_path: Path) -> None:
    async with served(tmp_path) as (http, _):
        for credential, details in (("", False), ("wrong", False), (KEY, True)):
            async with http.get("/health", headers=bearer(credential) if credential else {}) as response:
                assert await response.json() == {"details": details}


def test_strangers_see_each_field_of_the_health_report_and_nothing_in_it_but_what_is_well() -> None:
    report = {
        "status": "degraded",
        "version": "1.2.3",
        "uptime_s": 7.0,
        "components": {"postgres": {"status": "down", "kind": "external", "latency_ms": 1.5, "detail": "10.0.0.7"}},
        "conversations": {"active": 1, "total": 2, "messages": 3},
        "calls": {"active": 1, "capacity": 4, "total": 9},
        "cache": {"hits": 1, "misses": 2, "hit_rate": 0.3},
        "media": {"port": 1},
    }
    shown = health_for_strangers(report)
    assert shown.keys() == report.keys()
    assert {name: value for name, value in shown.items() if value is not None} == {
        "status": "degraded",
        "components": {"postgres": {"status": "down", "kind": "external", "latency_ms": None}},
    }


async def test_only_cores_say_what_is_urgent(tmp_path: Path) -> None:
    caller, kept = new_key("caller", frozenset({"llm"}))
    core, kept_core = new_key("core", frozenset({"llm", "service"}))
    write_keys(tmp_path / KEYS_FILE, [kept, kept_core])
    async with served(tmp_path, service=True) as (http, _):
        seen.clear()
        urgent = {"X-Morgan-Urgency": "first_audio", "X-Morgan-Ticket": "mine"}
        assert await status(http, "POST", "/work", caller, **urgent) == 200
        assert await status(http, "POST", "/work", core, **urgent) == 200
        assert seen == [Urgency.BACKGROUND, Urgency.FIRST_AUDIO]


async def test_a_service_limits_everybody_but_cores(tmp_path: Path) -> None:
    caller, kept = new_key("caller", frozenset({"llm"}))
    core, kept_core = new_key("core", frozenset({"llm", "service"}))
    write_keys(tmp_path / KEYS_FILE, [kept, kept_core])
    async with served(tmp_path, service=True, per_minute=3) as (http, _):
        assert [await status(http, "POST", "/work", caller) for _ in range(5)] == [200] * 3 + [429] * 2
        assert [await status(http, "POST", "/work", core) for _ in range(9)] == [200] * 9


async def test_a_key_has_limits_of_its_own_wherever_it_comes_from(tmp_path: Path) -> None:
    secret, key = new_key("phone", frozenset({"calls"}), "bob", {"call": 2})
    write_keys(tmp_path / KEYS_FILE, [key])
    async with served(tmp_path) as (http, _):
        assert [await status(http, "POST", "/call", secret) for _ in range(2)] == [200, 200]
        connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
        async with aiohttp.ClientSession(http._base_url, connector=connector) as elsewhere:
            assert await status(elsewhere, "POST", "/call", secret) == 429


FOREIGN = {"Origin": "https://evil.example"}
IMAGE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
OTHER_PORT = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}


@pytest.mark.parametrize("page", [FOREIGN, IMAGE, OTHER_PORT])
async def test_a_foreign_page_runs_nothing_here_not_even_a_read(tmp_path: Path, page: dict[str, str]) -> None:
    async with served(tmp_path, keys="") as (http, _):
        assert await status(http, "GET", "/read", **page) == 403
        assert await status(http, "GET", "/health", **page) == 200
        assert await status(http, "GET", "/read", **{"Sec-Fetch-Site": "same-origin"}) == 200
        assert await status(http, "GET", "/read") == 200


async def test_without_keys_everybody_on_this_machine_is_let_in_and_tokens_bind_all_the_same(tmp_path: Path) -> None:
    async with served(tmp_path, keys="") as (http, tokens):
        assert await status(http, "POST", "/call") == 200
        # What stock clients send to servers that ask for nothing.
        assert await status(http, "POST", "/call", "sk-no-key-needed") == 200
        value = tokens.mint(Grant("join", frozenset({"calls"}), "alice"), 60).value
        async with http.post("/call", headers=bearer(value)) as response:
            assert (await response.json())["user_id"] == "alice"
        assert await status(http, "POST", "/call", value) == 401
