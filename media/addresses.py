"""Addresses of the UDP port: which are bound, and which go into the candidates."""

import ipaddress
import socket
from collections.abc import Sequence

import ifaddr

WILDCARDS = {4: "0.0.0.0", 6: "::"}  # noqa: S104 - the socket only answers ICE checks that carry a peer's password
LOOPBACKS = {4: "127.0.0.1", 6: "::1"}

FAR_AWAY = {4: "198.51.100.1", 6: "2001:db8::1"}
"""Addresses for documentation (RFC 5737, RFC 3849), which are reached by the default route if at all."""


def bound_addresses(host: str) -> tuple[str, ...]:
    """What `media.values.MediaConfig.host` stands for: "" for all addresses of both IP versions."""
    return (host,) if host else tuple(WILDCARDS.values())


def announced_addresses(hosts: tuple[str, ...], public_addresses: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The IP addresses that go into the candidates, best first.

    Sockets bound to all addresses are announced under those of the interfaces and, last, on loopback. A browser on the
    same machine needs either: Firefox sends nothing to loopback, so it connects to an address of an interface;
    loopback is what is left where there is no network, or where only a public address was configured.

    Args:
        hosts: what the sockets are bound to, one of each IP version.
        public_addresses: announced instead of those of the interfaces.
    """
    wild = [version for version, host in WILDCARDS.items() if host in hosts]
    if not wild:
        return public_addresses or hosts
    addresses = public_addresses or local_addresses(wild)
    return tuple(dict.fromkeys((*addresses, *(LOOPBACKS[version] for version in wild))))


def local_addresses(versions: Sequence[int]) -> tuple[str, ...]:
    """Addresses of this machine's interfaces, without loopback and link-local ones.

    Those of the default route come first: browsers check in this order, and a machine with containers has dozens.

    Args:
        versions: of IP; the addresses of the first come before those of the next.
    """
    found: dict[int, list[str]] = {version: [] for version in versions}
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            text = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            address = ipaddress.ip_address(text)
            if address.version in found and not (address.is_loopback or address.is_link_local):
                found[address.version].append(text)
    for version, texts in found.items():
        routed = _default_source(version)
        if routed in texts:
            texts.insert(0, texts.pop(texts.index(routed)))
    return tuple(text for texts in found.values() for text in texts)


def _default_source(version: int) -> str | None:
    """The address from which this machine would send to the world; nothing is sent."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((FAR_AWAY[version], 9))
            return str(probe.getsockname()[0])
    except OSError:
        return None
