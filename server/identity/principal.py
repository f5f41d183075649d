"""Who a request comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from server.identity.grant import Grant
from server.identity.scopes import ALL, Scope


@dataclass(frozen=True, slots=True)
class Principal:
    """A client that was let in.

    Attributes:
        id: what is counted under it: "key:...", "user:..." of JWTs and tokens, "" where no key is asked for.
        scopes: what they may do; "admin" is all of it.
        user_id: whose data they reach and nobody else's; None reaches everybody's, as a server's own key does.
        grant: of the token they came with; None for keys and JWTs.
        session: what a realtime client secret is bound to (`POST /v1/realtime/client_secrets`); None for others.
        per_minute: their own limits by cost ("call", "work"), in place of the server's.
        per_day: their own quotas, likewise.
    """

    id: str
    scopes: frozenset[Scope]
    user_id: str | None = None
    grant: Grant | None = None
    session: Mapping[str, Any] | None = None
    per_minute: Mapping[str, int] = field(default_factory=dict)
    per_day: Mapping[str, int] = field(default_factory=dict)

    @property
    def options(self) -> Mapping[str, Any]:
        """Of calls that they open: conversation_id, language, voice, instructions. A request cannot change them."""
        return {} if self.grant is None else self.grant.options

    def may(self, scope: Scope) -> bool:
        """Whether they have a scope."""
        return scope in self.scopes or "admin" in self.scopes

    def reaches(self, user_id: str) -> bool:
        """Whether what is this user's is theirs to see."""
        return self.user_id is None or self.user_id == user_id


LOCAL = Principal("", ALL)
"""Every client of a server that has no keys: it listens on loopback only."""

STRANGER = Principal("", frozenset())
"""A client without a key, which may ask for what is open."""

PRINCIPAL = web.RequestKey("principal", Principal)
"""Who a request comes from; set by the guard before anything else looks at it."""


def principal_of(request: web.Request) -> Principal:
    """Who asks."""
    found: Principal = request.get(PRINCIPAL, LOCAL)
    return found
