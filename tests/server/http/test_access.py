"""Who gets in: keys on every port, wrong keys, foreign pages. On a real server with all of its routes."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from server.app import Server
from server.client.caller import Caller
from server.engines.factory import build_engines
from server.http.cors import Origins
from server.http.operation import operation_of
from server.settings import Settings, SettingsError, load_settings
from tests.serving import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "a-key-that-is-long-enough-to-be-one"
FRIEND = "https://friend.example"
OPEN = {"/", "/admin", "/health", "/health/live", "/health/ready", "/openapi.json", "/docs"}
WRONG_KEYS = 5


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def keyed(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """A server that asks for a key."""
    port = free_port()
    settings = Settings(
        port=port,
        api_keys=KEY,
        memory="off",
        models_dir=models_dir,
        data_dir=tmp_path_factory.mktemp("keyed"),
        stt_model="whisper-tiny.en",
        allowed_origins=FRIEND,
        wrong_keys_per_minute=WRONG_KEYS,
        metrics_port=port + 5000,
        connect_timeout_s=1.0,
        max_calls=16,
    )
    engines = build_engines(settings)
    server = await Server.start(settings, engines)
    yield server
    await server.stop()
    for engine in engines.all().values():
        await engine.close()


@pytest_asyncio.fixture(loop_scope="module")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def apps(server: Server) -> list[tuple[str, web.Application]]:
    """The four ports of the API, by address."""
    return [(f"http://127.0.0.1:{server.settings.port + offset}", app) for offset, app in enumerate(server.apps[:4])]


def routes(app: web.Application) -> list[tuple[str, str, Any]]:
    """Method, path with something for its parameters, and handler of each route that is no static file."""
    found = []
    for route in app.router.routes():
        assert route.resource is not None
        if route.method != "HEAD" and not route.resource.canonical.startswith("/static/"):
            found.append((route.method, re.sub(r"\{\w+\}", "x", route.resource.canonical), route.handler))
    return found


async def test_every_route_but_the_open_ones_asks_for_a_key(keyed: Server, http: aiohttp.ClientSession) -> None:
    asked = 0
    for url, app in apps(keyed):
        for method, path, _ in routes(app):
            async with http.request(method, url + path) as response:
                assert (response.status == 401) == (path not in OPEN), (url, method, path, response.status)
                if response.status == 401:
                    asked += 1
                    assert (await response.json())["error"]["code"] == "unauthorized"
                    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert asked > 20


async def test_every_websocket_asks_for_a_key(keyed: Server, http: aiohttp.ClientSession) -> None:
    sockets = [
        url + path
        for url, app in apps(keyed)
        for _, path, handler in routes(app)
        if (operation := operation_of(handler)) is not None and operation.socket
    ]
    assert sockets
    for url in sockets:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(url)
        assert refused.value.status == 401


async def test_every_route_is_described(keyed: Server) -> None:
    for url, app in apps(keyed):
        undescribed = [path for _, path, handler in routes(app) if operation_of(handler) is None]
        assert not undescribed, url


async def test_what_no_route_has_asks_for_a_key_too(keyed: Server, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{keyed.url}/api/nothing") as response:
        assert response.status == 401


async def test_a_key_lets_in_on_every_port(keyed: Server, http: aiohttp.ClientSession) -> None:
    for url, _ in apps(keyed):
        async with http.get(f"{url}/metrics", headers={"Authorization": f"Bearer {KEY}"}) as response:
            assert response.status == 200


async def test_metrics_need_no_key_on_a_port_of_their_own(keyed: Server, http: aiohttp.ClientSession) -> None:
    own = f"http://127.0.0.1:{keyed.settings.metrics_port}"
    async with http.get(f"{own}/metrics") as response:
        assert response.status == 200
        assert "morgan_calls_active 0.0" in await response.text()
    async with http.get(f"{own}/api/calls") as response:
        assert response.status == 404


async def test_wrong_keys_are_limited_and_right_ones_are_not(keyed: Server, http: aiohttp.ClientSession) -> None:
    statuses = []
    for number in range(WRONG_KEYS + 3):
        wrong = {"Authorization": f"Bearer {KEY}-{number}"}
        async with http.get(f"{keyed.url}/api/calls", headers=wrong) as response:
            statuses.append(response.status)
    assert statuses == [401] * WRONG_KEYS + [429] * 3
    assert 0 < int(response.headers["Retry-After"]) <= 60
    async with http.get(f"{keyed.url}/api/calls", headers={"Authorization": f"Bearer {KEY}"}) as response:
        assert response.status == 200


async def test_a_foreign_page_is_refused_even_with_a_key(keyed: Server, http: aiohttp.ClientSession) -> None:
    for origin in ("https://evil.example", "null", f"{FRIEND}.evil.example"):
        headers = {"Authorization": f"Bearer {KEY}", "Origin": origin}
        async with http.post(f"{keyed.url}/api/calls", headers=headers, json={}) as response:
            assert response.status == 403
            assert (await response.json())["error"]["code"] == "foreign_origin"
            assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize(
    ("origin", "remedy"),
    [
        ("chrome-extension://abcdefgh", "set MORGAN_ALLOWED_ORIGINS=chrome-extension://abcdefgh"),
        ("tauri://localhost", "set MORGAN_ALLOWED_ORIGINS=tauri://localhost"),
        ("capacitor://localhost", "set MORGAN_ALLOWED_ORIGINS=capacitor://localhost"),
        ("null", "set MORGAN_ALLOWED_ORIGINS=null"),
    ],
)
async def test_whoever_is_refused_is_told_what_lets_them_in(
    keyed: Server, http: aiohttp.ClientSession, origin: str, remedy: str
) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Origin": origin}
    async with http.post(f"{keyed.url}/v1/chat/completions", headers=headers, json={}) as response:
        assert response.status == 403
        assert remedy in (await response.json())["error"]["message"]
    # And so it does.
    assert Settings(api_keys=KEY, allowed_origins=origin).allowed_origins == (origin,)
    assert Origins((origin,), local_only=False).allows(origin, "localhost:8000")


async def test_an_app_of_the_same_name_is_no_page_of_ours() -> None:
    assert not Origins((), local_only=True).allows("tauri://localhost", "localhost")
    assert Origins((), local_only=True).allows("http://localhost", "localhost")


async def test_a_foreign_page_opens_no_websocket(keyed: Server, http: aiohttp.ClientSession) -> None:
    stt = f"http://127.0.0.1:{keyed.settings.port + 3}"
    headers = {"Authorization": f"Bearer {KEY}", "Origin": "https://evil.example"}
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(f"{stt}/ws/stream/x", headers=headers)
    assert refused.value.status == 403


async def test_a_caller_who_leaves_while_calling_leaves_no_call_behind(keyed: Server) -> None:
    opened = keyed.registry.total
    for wait_s in (0.0, 0.002, 0.01, 0.05, 1.0):
        async with Caller() as caller:
            body = json.dumps({"sdp": await caller.offer(), "type": "offer"}).encode()
            _, writer = await asyncio.open_connection("127.0.0.1", keyed.settings.port)
            head = f"POST /api/calls HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
            await asyncio.sleep(wait_s)
            writer.transport.abort()
    for _ in range(200):
        await asyncio.sleep(0.05)
        if not keyed.registry.active:
            break
    assert not keyed.registry.active
    assert keyed.registry.endpoint.stats().peers == 0
    assert keyed.registry.total > opened


async def test_memory_that_is_off_on_purpose_is_no_fault(keyed: Server, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{keyed.url}/health") as response:
        report = await response.json()
    assert report["status"] == "ok"
    assert report["components"]["postgres"]["status"] == "off"


async def test_an_allowed_page_may_ask_and_read(keyed: Server, http: aiohttp.ClientSession) -> None:
    asked = {"Origin": FRIEND, "Access-Control-Request-Method": "POST"}
    async with http.options(f"{keyed.url}/api/calls", headers=asked) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == FRIEND
        assert "POST" in response.headers["Access-Control-Allow-Methods"]
        assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
    headers = {"Authorization": f"Bearer {KEY}", "Origin": FRIEND}
    async with http.post(f"{keyed.url}/api/calls", headers=headers, json={}) as response:
        assert response.status == 422
        assert response.headers["Access-Control-Allow-Origin"] == FRIEND


async def test_a_page_of_an_allowed_origin_may_send_what_its_sdk_sends(
    keyed: Server, http: aiohttp.ClientSession
) -> None:
    named = "authorization,content-type,x-openai-agents-sdk,x-stainless-os,x-stainless-retry-count"
    asked = {"Origin": FRIEND, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": named}
    async with http.options(f"{keyed.url}/v1/realtime/calls", headers=asked) as response:
        assert (response.status, response.headers["Access-Control-Allow-Headers"]) == (204, named)
    asked["Access-Control-Request-Headers"] = "x-good, <script>"
    async with http.options(f"{keyed.url}/v1/realtime/calls", headers=asked) as response:
        assert "script" not in response.headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("localhost:8000", True),
        ("127.0.0.1", True),
        ("[::1]:8000", True),
        ("morgan.localhost", True),
        ("friend.example", True),
        ("", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("[", False),
    ],
)
async def test_a_name_that_was_bent_to_this_machine_is_refused(host: str, known: bool) -> None:
    assert Origins([FRIEND], local_only=True).knows_host(host) == known
    assert Origins([FRIEND], local_only=False).knows_host(host)


@pytest.mark.parametrize("origins", ["friend.example", "https://a.example/path", "*"])
async def test_origins_that_are_none_stop_the_start(origins: str) -> None:
    with pytest.raises(SettingsError, match="allowed_origins"):
        load_settings(environ={"MORGAN_CONFIG": "", "HOME": "/nowhere"}, overrides={"allowed_origins": origins})
