"""What names and addresses stand for: those that a server listens on, those that requests come from."""

import ipaddress
from collections.abc import Iterable
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

ProxyHeader: TypeAlias = Literal["x-forwarded-for", "forwarded"]
"""In which reverse proxies say for whom they ask. One of them is read: a proxy writes its own, and hands on the other
as any stranger has sent it."""

LOOPBACKS = ("127.0.0.1", "::1")


def listening_addresses(host: str) -> tuple[str, ...]:
    """What a server on `host` binds: clients try either address of localhost first, so it is both.

    So it is beside all IPv4 addresses, or localhost would be another program's, or nobody's, for whoever tries IPv6.
    The second can be lacking, where a machine has no IPv6.
    """
    if host == "0.0.0.0":  # noqa: S104 - compared, not bound
        return (host, "::1")
    return LOOPBACKS if host == "localhost" else (host,)


def host_name(host: str) -> str:
    """The name in a Host header, without its port; "" where there is none in whatever somebody sent."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_address(text: str | None) -> Address | None:
    """An address without its zone; None where it is none.

    An IPv4 address in IPv6's clothes (::ffff:192.0.2.1) is one in IPv4.
    """
    try:
        address = ipaddress.ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and networks (CIDR).

    Raises:
        ValueError: one is neither, or is everybody.
    """
    found = tuple(ipaddress.ip_network(text) for text in texts)
    if any(each.prefixlen == 0 for each in found):
        raise ValueError("whoever asks would be believed, and could call themselves any address")
    return found
