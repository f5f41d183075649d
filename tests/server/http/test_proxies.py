"""Behind reverse proxies each client is counted by its own address, and nobody can choose which that is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import structlog
from aiohttp import web
from multidict import CIMultiDict
from pydantic import ValidationError

from server.addresses import ProxyHeader
from server.http.errors import errors_as_json
from server.http.guard import guard
from server.http.operation import operation
from server.http.proxies import PROXIES, Proxies, address_of
from server.http.rate_limits import client_of, limited
from server.http.server import Book, HttpRunner
from server.memory.door import MemoryDoor
from server.observability.metrics import Metrics
from server.services.access import build_access
from server.settings import Settings
from tests.nginx import nginx
from tests.persistence.parts import until
from tests.serving import free_port

KEY = "a-key-that-is-long-enough-to-be-one"
PROXY = "127.0.0.1"
OURS = ("127.0.0.1", "10.0.0.0/8", "2001:db8:aa::/48")


@operation("test", cost="work", scope="calls")
async def work(request: web.Request) -> web.Response:
    return web.json_response([address_of(request), client_of(request).partition("@")[2]])


@asynccontextmanager
async def served(folder: Path, *proxies: str, per_minute: int = 3, wrong_keys: int = 3) -> AsyncIterator[str]:
    settings = Settings(data_dir=folder, memory="off", api_keys=KEY, wrong_keys_per_minute=wrong_keys)
    access = build_access(settings, MemoryDoor(settings), Metrics())
    app = web.Application(middlewares=[errors_as_json, guard(access), limited({"work": per_minute})])
    app[PROXIES] = Proxies(proxies)
    app.router.add_get("/work", work)
    runner = HttpRunner(app, Book(proxies=app[PROXIES]))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        access.close()


async def statuses(url: str, told: str | None, times: int, key: str = KEY, address: str = PROXY) -> list[int]:
    """What somebody is answered who says to ask for others, from an address of this machine."""
    headers = {"Authorization": f"Bearer {key}", **({} if told is None else {"X-Forwarded-For": told})}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(address, 0))) as http:
        found = []
        for _ in range(times):
            async with http.get(f"{url}/work", headers=headers) as response:
                found.append(response.status)
        return found


async def test_behind_a_trusted_proxy_each_client_has_limits_of_its_own(tmp_path: Path) -> None:
    async with served(tmp_path, PROXY) as url:
        assert await statuses(url, "192.0.2.1", 4) == [200] * 3 + [429]
        assert await statuses(url, "192.0.2.2", 4) == [200] * 3 + [429]
        # A /64 of IPv6 is one client, there too.
        assert await statuses(url, "2001:db8:1:2::3", 2) == [200] * 2
        assert await statuses(url, "2001:db8:1:2::4", 2) == [200, 429]


async def test_wrong_keys_are_counted_by_who_shows_them_to_the_proxy(tmp_path: Path) -> None:
    async with served(tmp_path, PROXY) as url:
        assert await statuses(url, "192.0.2.1", 4, "no-key") == [401] * 3 + [429]
        assert await statuses(url, "192.0.2.2", 3, "no-key") == [401] * 3


@pytest.mark.parametrize("proxies", [(), ("127.0.0.9",)])
async def test_a_stranger_who_names_another_address_each_time_is_still_one(
    tmp_path: Path, proxies: tuple[str, ...]
) -> None:
    async with served(tmp_path, *proxies) as url:
        found = [status for number in range(5) for status in await statuses(url, f"192.0.2.{number}", 1)]
        assert found == [200] * 3 + [429] * 2
        found = [status for number in range(5) for status in await statuses(url, f"192.0.2.{number}", 1, "no-key")]
        assert found == [401] * 3 + [429] * 2


async def test_what_a_stranger_has_written_left_of_the_proxies_address_counts_for_nothing(tmp_path: Path) -> None:
    async with served(tmp_path, PROXY) as url:
        told = [f"192.0.2.{number}, 198.51.100.7" for number in range(4)]
        assert [status for line in told for status in await statuses(url, line, 1)] == [200] * 3 + [429]


@pytest.mark.parametrize(
    ("remote", "lines", "client"),
    [
        (PROXY, ["192.0.2.1"], "192.0.2.1"),
        ("::ffff:127.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        (PROXY, ["192.0.2.1, 10.1.2.3, 10.4.5.6"], "192.0.2.1"),
        (PROXY, ["6.6.6.6, 192.0.2.1, 10.1.2.3"], "192.0.2.1"),
        (PROXY, ["6.6.6.6", "192.0.2.1"], "192.0.2.1"),
        (PROXY, ["192.0.2.1", "10.1.2.3"], "192.0.2.1"),
        (PROXY, ["192.0.2.1:5000"], "192.0.2.1"),
        (PROXY, ["[2001:db8::1]:5000"], "2001:db8::1"),
        (PROXY, ["2001:db8::1, 2001:db8:aa::7"], "2001:db8::1"),
        (PROXY, ["::ffff:192.0.2.1"], "192.0.2.1"),
        # All of them are proxies: the request began at the first.
        (PROXY, ["10.1.2.3, 10.4.5.6"], "10.1.2.3"),
        # What makes no sense is no client, and neither is what stands left of it.
        (PROXY, ["6.6.6.6, unknown"], PROXY),
        (PROXY, ["6.6.6.6, nonsense, 10.1.2.3"], "10.1.2.3"),
        (PROXY, ["6.6.6.6,"], PROXY),
        (PROXY, [""], PROXY),
        (PROXY, ["192.0.2.1:"], PROXY),
        (PROXY, [], PROXY),
        ("203.0.113.5", ["192.0.2.1"], "203.0.113.5"),
        ("203.0.113.5", ["127.0.0.1"], "203.0.113.5"),
        (None, ["192.0.2.1"], None),
    ],
)
def test_the_last_address_that_is_no_proxy_is_who_asks(
    remote: str | None, lines: list[str], client: str | None
) -> None:
    headers = CIMultiDict([("X-Forwarded-For", line) for line in lines])
    # A proxy that writes X-Forwarded-For hands Forwarded on as it came.
    headers.add("Forwarded", "for=6.6.6.6")
    assert Proxies(OURS).client(remote, headers) == client


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        (["for=192.0.2.1"], "192.0.2.1"),
        (["For=192.0.2.1;proto=https;by=10.1.1.1"], "192.0.2.1"),
        (['for="[2001:db8::1]:5000"'], "2001:db8::1"),
        (["for=6.6.6.6, for=192.0.2.1, for=10.1.1.1"], "192.0.2.1"),
        (['for=6.6.6.6;host="a,for=7.7.7.7", for=192.0.2.1'], "192.0.2.1"),
        (['for="192.0.2\\.1"'], "192.0.2.1"),
        (["for=unknown"], PROXY),
        (["for=6.6.6.6, for=_hidden"], PROXY),
        (["for=6.6.6.6, proto=https"], PROXY),
        # A quote that is opened left of what the proxy has added.
        (['for=6.6.6.6;x=", for=192.0.2.1'], PROXY),
        (['for=6.6.6.6;x=", for="[2001:db8::1]"'], PROXY),
        (['for=6.6.6.6;x="', "for=192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1"], PROXY),
    ],
)
def test_forwarded_is_read_where_it_is_what_the_proxies_write(lines: list[str], client: str) -> None:
    headers = CIMultiDict([("Forwarded", line) for line in lines])
    headers.add("X-Forwarded-For", "6.6.6.6")
    assert Proxies(OURS, "forwarded").client(PROXY, headers) == client


def test_a_proxy_that_nobody_named_is_told_of_once_and_strangers_are_none() -> None:
    proxies, headers = Proxies(), CIMultiDict({"X-Forwarded-For": "192.0.2.1"})
    with structlog.testing.capture_logs() as logged:
        proxies.client("8.8.8.8", headers)
        assert logged == []
        for _ in range(3):
            assert proxies.client("172.18.0.5", headers) == "172.18.0.5"
    assert [line["hint"] for line in logged] == ["MORGAN_TRUSTED_PROXIES=172.18.0.5"]


@pytest.mark.parametrize("wrong", ["0.0.0.0/0", "::/0", "10.0.0.1/8", "nginx", "*"])
def test_what_is_no_address_or_everybodys_stops_the_start(wrong: str) -> None:
    with pytest.raises(ValidationError, match="trusted_proxies"):
        Settings(trusted_proxies=f"127.0.0.1, {wrong}")


async def test_connections_of_a_proxy_are_not_those_of_one_client() -> None:
    book = Book(most=6, most_each=2, proxies=Proxies([PROXY]))
    assert [book.network_of(remote) for remote in (PROXY, "::ffff:127.0.0.1", "127.0.0.2")] == [None, None, "127.0.0.2"]
    app = web.Application()
    runner = HttpRunner(app, book)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        port = runner.addresses[0][1]

        async def connect(address: str) -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
            writers.append(writer)

        writers: list[asyncio.StreamWriter] = []
        for _ in range(4):
            await connect(PROXY)
        for _ in range(2):
            await connect("127.0.0.2")
        await until(lambda: len(book) == 6)
        assert book.shed == 0
        # All of them together are bounded all the same.
        await connect(PROXY)
        await until(lambda: book.shed == 1)
        assert len(book) == 6
        for writer in writers:
            writer.close()
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("trusted", [True, False])
async def test_behind_the_documented_nginx_clients_are_counted_apart(tmp_path: Path, trusted: bool) -> None:
    port = free_port()
    async with served(tmp_path / "morgan", *([PROXY] if trusted else [])) as morgan, nginx(tmp_path, port, morgan):
        url = f"https://127.0.0.1:{port}/work"
        found = {}
        for number, address in enumerate(("127.0.0.2", "127.0.0.3")):
            connector = aiohttp.TCPConnector(local_addr=(address, 0), ssl=False)
            headers = {"Authorization": f"Bearer {KEY}", "X-Forwarded-For": f"192.0.2.{number}"}
            async with (
                aiohttp.ClientSession(connector=connector, headers=headers) as http,
                http.get(url) as response,
            ):
                found[address] = await response.json()
    told = {address: [address] * 2 for address in ("127.0.0.2", "127.0.0.3")}
    assert found == (told if trusted else dict.fromkeys(told, [PROXY] * 2))


def test_the_header_of_the_settings_is_the_one_that_is_read() -> None:
    headers = CIMultiDict({"X-Forwarded-For": "192.0.2.1", "Forwarded": "for=192.0.2.2"})
    expected: dict[ProxyHeader, str] = {"x-forwarded-for": "192.0.2.1", "forwarded": "192.0.2.2"}
    for header, client in expected.items():
        settings = Settings(trusted_proxies=PROXY, proxy_header=header, api_keys="a-key-of-sixteen-letters")
        assert Proxies(settings.trusted_proxies, settings.proxy_header).client(PROXY, headers) == client


def test_a_server_that_a_proxy_shows_to_others_asks_for_keys(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"a proxy at 127\.0\.0\.1 hands on requests.*MORGAN_API_KEYS"):
        Settings(trusted_proxies=PROXY, data_dir=tmp_path)
    assert Settings(trusted_proxies=PROXY, data_dir=tmp_path, api_keys="a-key-of-sixteen-letters").trusted_proxies
