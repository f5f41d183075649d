"""Where the doors and the media are, by the settings."""

import socket

import aiohttp
import pytest
from aiohttp import web

from server.http.server import Doors
from server.settings import Settings
from tests.serving import free_port, ipv6

KEYS = ("a-key-of-more-than-24-characters",)


@pytest.mark.parametrize(
    ("host", "media_host", "bound"),
    [
        ("localhost", "", ""),
        ("127.0.0.1", "", ""),
        ("::1", "", ""),
        ("0.0.0.0", "", ""),
        ("::", "", ""),
        ("morgan.example.org", "", ""),
        ("192.0.2.7", "", "192.0.2.7"),
        ("localhost", "127.0.0.1", "127.0.0.1"),
        ("localhost", "localhost", "127.0.0.1"),
        ("0.0.0.0", "192.0.2.7", "192.0.2.7"),
    ],
)
def test_media_is_on_all_addresses_unless_one_interface_is_named(host: str, media_host: str, bound: str) -> None:
    assert Settings(host=host, media_host=media_host, api_keys=KEYS).media_address == bound


def test_without_settings_the_doors_are_on_loopback_only() -> None:
    assert Settings().host == "localhost"


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="hello")


def doors(port: int, host: str = "localhost") -> Doors:
    app = web.Application()
    app.router.add_get("/", hello)
    return Doors(host, [(app, port)])


async def test_localhost_is_both_of_its_addresses() -> None:
    if not ipv6():
        pytest.skip("no IPv6 here")
    port = free_port()
    opened = doors(port)
    await opened.open()
    try:
        async with aiohttp.ClientSession() as http:
            for host in ("127.0.0.1", "[::1]"):
                async with http.get(f"http://{host}:{port}/") as answer:
                    assert await answer.text() == "hello"
    finally:
        await opened.close()


async def test_localhost_is_both_of_its_addresses_beside_all_others() -> None:
    if not ipv6():
        pytest.skip("no IPv6 here")
    port = free_port()
    opened = doors(port, "0.0.0.0")
    await opened.open()
    try:
        async with aiohttp.ClientSession() as http, http.get(f"http://[::1]:{port}/") as answer:
            assert await answer.text() == "hello"
    finally:
        await opened.close()


async def test_another_program_on_the_other_localhost_stops_the_start() -> None:
    """Browsers would show it in place of Morgan."""
    if not ipv6():
        pytest.skip("no IPv6 here")
    port = free_port()
    opened = doors(port)
    with socket.create_server(("::1", port), family=socket.AF_INET6):
        with pytest.raises(OSError, match="in use"):
            await opened.open()
        await opened.close()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("localhost", "http://localhost:8000"),
        ("127.0.0.1", "http://localhost:8000"),
        ("::1", "http://[::1]:8000"),
        ("192.0.2.7", "http://192.0.2.7:8000"),
    ],
)
def test_a_url_says_how_a_browser_here_gets_in(host: str, url: str) -> None:
    assert Doors(host, []).url(8000) == url
