"""ICE servers for callers: TURN with credentials that are good for a while, of a secret that the TURN server knows too.

https://datatracker.ietf.org/doc/html/draft-uberti-behave-turn-rest-00 section 2.2: the username is the Unix time at
which they end, a colon and who they are for; the password is the base64 of the username's HMAC-SHA1 under the secret.
coturn takes them with `use-auth-secret` and `static-auth-secret`.
"""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from server.app_keys import SETTINGS
from server.identity.principal import principal_of
from server.settings import Settings

NOBODY = "anonymous"
"""Whom credentials are for where no key is asked for."""

_PLAIN = re.compile(r"[A-Za-z0-9:._@-]{1,128}")


@dataclass(frozen=True, slots=True)
class TurnServers:
    """Makes credentials for the TURN servers of a deployment.

    Attributes:
        urls: `turn:host:port?transport=udp`, `turns:...` (RFC 7065).
        secret: that they share with Morgan.
        ttl_s: how long credentials are good, seconds.
    """

    urls: tuple[str, ...]
    secret: str
    ttl_s: int

    @classmethod
    def of(cls, settings: Settings) -> "TurnServers":
        """Those of the settings; maybe none."""
        return cls(settings.turn_urls, settings.turn_secret.get_secret_value(), settings.turn_ttl_s)

    def ice_servers(self, principal: str, now: float) -> list[dict[str, Any]]:
        """The servers as RTCPeerConnection takes them; empty where there are none.

        Args:
            principal: who calls (`Principal.id`): the TURN server counts and logs by it.
            now: Unix time.
        """
        if not self.urls:
            return []
        username = f"{int(now) + self.ttl_s}:{_as_username(principal)}"
        digest = hmac.digest(self.secret.encode(), username.encode(), "sha1")
        credential = base64.b64encode(digest).decode()
        return [{"urls": list(self.urls), "username": username, "credential": credential}]


def _as_username(principal: str) -> str:
    """A principal's name in TURN: the same for each of their calls, short, and fit for a header."""
    if not principal:
        return NOBODY
    return principal if _PLAIN.fullmatch(principal) else hashlib.sha256(principal.encode()).hexdigest()[:32]


def ice_servers_for(request: web.Request) -> list[dict[str, Any]]:
    """The ICE servers for whoever asks, with credentials of their own; empty where the server has none."""
    turn = TurnServers.of(request.app[SETTINGS])
    return turn.ice_servers(principal_of(request).id, time.time())


def link_headers(servers: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The same as `Link` headers, one for each URL (RFC 9725 section 4.6), for answers whose body is SDP."""
    links = []
    for server in servers:
        about = 'rel="ice-server"'
        if "username" in server:
            about += (
                f'; username="{server["username"]}"; credential="{server["credential"]}"; credential-type="password"'
            )
        links += [("Link", f"<{url}>; {about}") for url in server["urls"]]
    return links
