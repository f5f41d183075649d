"""Where a request comes from when reverse proxies stand in front of the server.

Who is counted by address would otherwise be one client together with everybody behind the same proxy.
"""

import re
from collections.abc import Iterable, Iterator

import structlog
from aiohttp import web
from multidict import MultiMapping

from server.addresses import Address, ProxyHeader, parse_address, parse_networks
from server.http.networks import network

_NODE = re.compile(r"\[(?P<v6>[^\]]*)\](?::\d{1,5})?|(?P<v4>[^:\[\]]+)(?::\d{1,5})?|(?P<bare>[^\[\]]+)")
"""An address as proxies write it, some with a port: https://www.rfc-editor.org/rfc/rfc7239#section-6."""

_PAIR = re.compile(r'[ \t]*(?:(?P<name>[!#$%&\'*+.^_`|~\w-]+)=(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s",;]*)))?')
"""A parameter of the header Forwarded, or none between two separators."""

log = structlog.get_logger(__name__)


class Proxies:
    """The reverse proxies whose word is taken for where a request comes from; nobody else's is.

    Args:
        networks: of them.
        header: in which they say it.
    """

    def __init__(self, networks: Iterable[str] = (), header: ProxyHeader = "x-forwarded-for") -> None:
        self._networks = parse_networks(networks)
        self._header = header
        self._hinted = False

    def trusts(self, address: Address | None) -> bool:
        """Whether an address is one of theirs."""
        return address is not None and any(address in each for each in self._networks)

    def client(self, remote: str | None, headers: MultiMapping[str]) -> str | None:
        """The address that a request comes from: the last that a proxy has seen and that is no proxy itself.

        What stands further left in the header was there before, so that any stranger may have written it. Where
        something cannot be read, the request is counted as that proxy's which handed it on.

        Args:
            remote: the address of the connection.
            headers: of the request.
        """
        address = parse_address(remote)
        if not self.trusts(address):
            self._hint(address, headers)
            return remote
        for named in self._named(headers):
            if named is None:
                break
            address = named
            if not self.trusts(named):
                break
        return str(address)

    def _named(self, headers: MultiMapping[str]) -> Iterator[Address | None]:
        """The addresses in the header, the last first; None for what cannot be read."""
        for line in reversed(headers.getall(self._header, [])):
            nodes = line.split(",") if self._header == "x-forwarded-for" else _forwarded(line)
            if nodes is None:
                yield None
                return
            for node in reversed(nodes):
                yield _address(node.strip())

    def _hint(self, address: Address | None, headers: MultiMapping[str]) -> None:
        """Tell the operator, once, of a proxy that is not in the settings; a stranger is none."""
        if self._networks or self._hinted or address is None or not address.is_private or self._header not in headers:
            return
        self._hinted = True
        log.warning(
            "a proxy seems to stand in front, and everybody behind it shares the limits of one address",
            proxy=str(address),
            hint=f"MORGAN_TRUSTED_PROXIES={address}",
        )


def _address(node: str) -> Address | None:
    found = _NODE.fullmatch(node)
    return None if found is None else parse_address(found[found.lastgroup or 0])


def _forwarded(line: str) -> list[str] | None:
    """Who is named by each proxy in a header Forwarded ("" where one names nobody); None where it makes no sense.

    A quote that a stranger has opened must not swallow what a proxy has written behind it.
    """
    nodes, at = [""], 0
    while True:
        pair = _PAIR.match(line, at)
        assert pair is not None
        if (pair["name"] or "").lower() == "for":
            nodes[-1] = pair["plain"] if pair["quoted"] is None else re.sub(r"\\(.)", r"\1", pair["quoted"])
        rest = line[pair.end() :].lstrip(" \t")
        if not rest:
            return nodes
        if rest[0] not in ",;":
            return None
        if rest[0] == ",":
            nodes.append("")
        at = len(line) - len(rest) + 1


PROXIES: web.AppKey[Proxies] = web.AppKey("proxies", Proxies)
"""In front of an application's port."""

NONE = Proxies()


def address_of(request: web.Request) -> str | None:
    """The address that a request comes from."""
    return request.app.get(PROXIES, NONE).client(request.remote, request.headers)


def network_of(request: web.Request) -> str:
    """The same as it is counted (`server.http.networks.network`)."""
    return network(address_of(request))
