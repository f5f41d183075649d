"""What the name or address that a server listens on stands for."""

import ipaddress

LOOPBACKS = ("127.0.0.1", "::1")


def listening_addresses(host: str) -> tuple[str, ...]:
    """What a server on `host` binds: browsers try both addresses of localhost, so it is both.

    The second can be lacking, where a machine has no IPv6.
    """
    return LOOPBACKS if host == "localhost" else (host,)


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
