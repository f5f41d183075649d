"""What the name or address that a server listens on stands for."""

import ipaddress
from urllib.parse import urlsplit

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
