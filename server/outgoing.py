"""Where requests of our own may go: a URL in the settings must not become a way to what only this machine can reach.

Whoever sets a URL may mean a server of their own network, and says so by its name: an address, a name without a dot, or
one under a domain that is never public. A public name has to lead to a public address at the moment of each request,
whatever its owner lets it point at by then. Link-local addresses, where clouds keep credentials, are never called.
"""

import ipaddress
from urllib.parse import urlsplit

PRIVATE_DOMAINS = (".local", ".localhost", ".internal", ".lan", ".home.arpa", ".svc")
"""Ends of names that no public server has (RFC 6761, RFC 6762, RFC 8375, and what containers and clusters use)."""


NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class ForbiddenAddressError(OSError):
    """A name leads to an address that webhooks do not go to; the message says which."""


def check_url(url: str) -> str:
    """The URL of a receiver, as it is used.

    Raises:
        ValueError: it is none that webhooks can be sent to; the message says why.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        raise ValueError(f"{url} is not the address of a webhook, such as https://example.org/hooks/morgan")
    if parts.username or parts.password:
        raise ValueError(f"{parts.hostname}: leave name and password out; the signature says who sends")
    if not (is_private_name(parts.hostname) or parts.scheme == "https"):
        raise ValueError(f"{url}: what was said in calls goes over the open network by https only")
    address = _literal(parts.hostname)
    if address is not None:
        check_address(parts.hostname, address, private=True)
    return url


def is_private_name(host: str) -> bool:
    """Whether a host is meant to be in one's own network."""
    address = _literal(host)
    if address is not None:
        return not address.is_global
    return "." not in host or host.lower().endswith(PRIVATE_DOMAINS)


def check_address(host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address, *, private: bool) -> None:
    """Whether webhooks for a host may go to an address.

    Args:
        host: for the message.
        address: that it leads to.
        private: whether addresses of this machine and of its networks will do.

    Raises:
        ForbiddenAddressError: they may not.
    """
    address = _meant(address)
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        raise ForbiddenAddressError(f"{host} leads to {address}, where no webhook goes")
    if not address.is_global and not private:
        raise ForbiddenAddressError(
            f"{host} leads to {address}, which is not public; MORGAN_WEBHOOK_PRIVATE=true allows that"
        )


def _meant(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 one leads to, where it is one in other clothes (RFC 4291, RFC 3056, RFC 6052)."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
