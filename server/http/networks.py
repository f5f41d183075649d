"""Whom an address belongs to, for everything that is counted by client."""

import ipaddress


def network(remote: str | None) -> str:
    """The client behind an address: itself in IPv4, its /64 in IPv6, which is what one customer has.

    An IPv4 address in IPv6's clothes (::ffff:192.0.2.1) is one in IPv4. What is no address stands for itself.
    """
    try:
        address = ipaddress.ip_address((remote or "").partition("%")[0])
    except ValueError:
        return remote or ""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
