"""Names to addresses that webhooks may go to."""

import ipaddress
import socket
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from server.outgoing import check_address, is_private_name


class GuardedResolver(AbstractResolver):
    """Looks names up, and gives only addresses that webhooks may go to.

    Args:
        private: whether public names too may lead to private addresses.
        resolver: looks the names up; by default the system's.
    """

    def __init__(self, *, private: bool, resolver: AbstractResolver | None = None) -> None:
        self._private = private
        self._resolver = resolver or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host.

        Raises:
            ForbiddenAddressError: one of them is none to go to.
        """
        found = await self._resolver.resolve(host, port, family)
        for each in found:
            address: Any = ipaddress.ip_address(each["host"].partition("%")[0])
            check_address(host, address, private=self._private or is_private_name(host))
        return found

    async def close(self) -> None:
        """Give everything back."""
        await self._resolver.close()
