"""Whom an address belongs to, for everything that is counted by client."""

import ipaddress

from server.addresses import parse_address


def network(remote: str | None) -> str:
    """The client behind an address: itself in IPv4, its /64 in IPv6, which is what one customer has.

    What is no address stands for itself.
    """
    address = parse_address(remote)
    if address is None:
        return remote or ""
    return str(address if address.version == 4 else ipaddress.ip_network((address, 64), strict=False))
