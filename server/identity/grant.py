"""What a token is for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from server.identity.scopes import Scope

TokenKind: TypeAlias = Literal["join", "page", "realtime"]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token lets its holder do.

    Attributes:
        kind: of token.
        scopes: of `server.identity.scopes.LENDABLE`.
        user_id: who its holder is; None makes them a guest of their own.
        options: of the calls it opens: conversation_id, language, voice, instructions. They cannot be changed.
        single_use: whether it lets in once only.
        issuer: id of the principal that had it made.
    """

    kind: TokenKind
    scopes: frozenset[Scope]
    user_id: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    single_use: bool = True
    issuer: str = ""
