"""Webhooks go where whoever set them meant them to go, and nowhere else."""

import ipaddress
import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from server.outgoing import ForbiddenAddressError, check_url
from server.settings import Settings
from server.webhooks.resolver import GuardedResolver
from tests.server.webhooks.receiving import SECRET


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/hooks?a=b",
        "http://localhost:9000/",
        "http://receiver:8080/hook",
        "http://crm.internal/hook",
        "http://192.168.1.7/hook",
        "http://[::1]:8000/",
    ],
)
def test_public_servers_by_https_and_ones_own_by_name_are_fine(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/hook",
        "ftp://example.org/",
        "file:///etc/passwd",
        "https://user:password@example.org/",
        "https:///nothing",
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[2002:a9fe:a9fe::1]/",
        "http://0.0.0.0:8000/",
        "http://224.0.0.1/",
    ],
)
def test_everything_else_is_refused(url: str) -> None:
    with pytest.raises((ValueError, ForbiddenAddressError)):
        check_url(url)
    with pytest.raises(ValueError, match="webhook_urls"):
        Settings(webhook_urls=url, webhook_secret=SECRET)


class _Leading(AbstractResolver):
    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host=self._address, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("host", "address", "private", "goes"),
    [
        ("example.org", "93.184.215.14", False, True),
        ("example.org", "127.0.0.1", False, False),
        ("example.org", "10.0.0.1", False, False),
        ("example.org", "10.0.0.1", True, True),
        ("receiver", "10.0.0.1", False, True),
        ("localhost", "127.0.0.1", False, True),
        ("receiver", "169.254.169.254", False, False),
        ("example.org", "169.254.169.254", True, False),
        ("example.org", "::ffff:127.0.0.1", False, False),
    ],
)
async def test_a_name_is_judged_by_where_it_leads_now(host: str, address: str, private: bool, goes: bool) -> None:
    resolver = GuardedResolver(private=private, resolver=_Leading(address))
    if goes:
        assert ipaddress.ip_address((await resolver.resolve(host))[0]["host"])
    else:
        with pytest.raises(ForbiddenAddressError, match=host):
            await resolver.resolve(host)
    await resolver.close()


@pytest.mark.parametrize("secret", ["", "whsec_c2hvcnQ=", SECRET.removeprefix("whsec_"), "whsec_!"])
def test_webhooks_are_never_sent_without_a_proper_secret(secret: str) -> None:
    with pytest.raises(ValueError, match="webhook"):
        Settings(webhook_urls="http://localhost/", webhook_secret=secret)


def test_a_secret_is_not_shown_and_unknown_events_are_named() -> None:
    assert SECRET not in repr(Settings(webhook_urls="http://localhost/", webhook_secret=SECRET))
    with pytest.raises(ValueError, match=r"call\.paused"):
        Settings(webhook_events="call.paused")
