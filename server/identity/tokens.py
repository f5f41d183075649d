"""Tokens that a server gives out itself: signed, short-lived, for one use or many, bound to a user and options.

Three kinds, told apart by how they begin: `mt_` opens one call or one WebSocket, or signs one page in (a join token);
`ms_` is what that page has from then on; `ek_` is what OpenAI calls a client secret. Each is a JWT (HS256) of the
server's own secret behind its prefix: https://www.rfc-editor.org/rfc/rfc7519.
"""

import contextlib
import os
import secrets
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import jwt
import structlog
from aiohttp import web

from server.bounds import MAX_TOKEN_CHARS
from server.identity.errors import TokenError, TokenTooLargeError
from server.identity.grant import Grant, TokenKind
from server.identity.kept_sessions import KeptSessions
from server.identity.scopes import LENDABLE
from server.identity.used_tokens import UsedTokens

PREFIXES: Mapping[TokenKind, str] = {"join": "mt_", "page": "ms_", "realtime": "ek_"}

ISSUER = "morgan"
SECRET_FILE = "token-secret"  # noqa: S105 - a name
SECRET_BYTES = 32
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Minted:
    """A new token.

    Attributes:
        value: the token; it is kept nowhere.
        expires_at: Unix seconds.
        id: of the token, fit for logs.
        user_id: whom it is bound to.
    """

    value: str
    expires_at: int
    id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class ShownToken:
    """A token that is ours and has not expired. It lets in once `Tokens.use` says so.

    Attributes:
        id: of the token.
        grant: what it lets its holder do.
        expires_at: Unix seconds.
        bound: whether a session was kept for it.
    """

    id: str
    grant: Grant
    expires_at: int
    bound: bool


def new_guest() -> str:
    """The id of a user of whom nothing is known, and who is nobody else."""
    return f"guest-{secrets.token_hex(8)}"


def is_token(credential: str) -> bool:
    """Whether something that was shown has the form of one of our tokens, valid or not."""
    return credential.startswith(tuple(PREFIXES.values()))


def read_secret(folder: Path) -> bytes:
    """The secret that a data directory's tokens are signed with; made where there is none.

    Raises:
        OSError: it can be neither read nor written.
    """
    path = folder / SECRET_FILE
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        # Linked into place, so that of two processes that make one at the same time both read the same.
        made = folder / f"{SECRET_FILE}.{secrets.token_hex(8)}"
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(made, path)
        made.unlink()
    secret = path.read_bytes()
    if len(secret) < SECRET_BYTES:
        raise OSError(f"{path} is damaged: delete it, and tokens that were given out end")
    return secret


class Tokens:
    """Makes tokens and takes them.

    Args:
        secret: that they are signed with, 32 bytes or more.
        used: which were used.
        sessions: what is kept for those of realtime clients.
    """

    def __init__(self, secret: bytes, used: UsedTokens, sessions: KeptSessions) -> None:
        self._secret = secret
        self._used = used
        self._sessions = sessions

    def mint(self, grant: Grant, ttl_s: int, session: Mapping[str, Any] | None = None) -> Minted:
        """A new token.

        Args:
            grant: what it is for.
            ttl_s: seconds until it expires.
            session: kept in memory and in Redis for as long, and given to whoever shows the token
                (`Principal.session`); may be large.

        Raises:
            TokenTooLargeError: the options or the session do not fit.
        """
        token_id, now = secrets.token_urlsafe(16), int(time.time())
        user_id = grant.user_id if grant.user_id is not None else new_guest()
        claims = {
            "iss": ISSUER,
            "aud": grant.kind,
            "sub": user_id,
            "jti": token_id,
            "exp": now + ttl_s,
            "scope": " ".join(sorted(grant.scopes & LENDABLE)),
            "one": grant.single_use,
            "by": grant.issuer,
            "opt": dict(grant.options),
            "kept": session is not None,
        }
        value = PREFIXES[grant.kind] + jwt.encode(claims, self._secret, algorithm="HS256")
        if len(value) > MAX_TOKEN_CHARS:
            raise TokenTooLargeError("the options are too long for a token")
        if session is not None:
            self._sessions.keep(token_id, session, ttl_s)
        return Minted(value, now + ttl_s, token_id, user_id)

    def read(self, value: str) -> ShownToken:
        """What a token is for, before it is used.

        Raises:
            TokenError: expired, tampered with, or somebody else's.
        """
        claims, kind = self._claims(value)
        scopes = frozenset(scope for scope in LENDABLE if scope in claims["scope"].split())
        grant = Grant(kind, scopes, claims["sub"], claims["opt"], claims["one"], claims["by"])
        return ShownToken(claims["jti"], grant, claims["exp"], claims["kept"])

    async def use(self, shown: ShownToken) -> Mapping[str, Any] | None:
        """Let somebody in; of a token for a single use this is the use. The session that was kept for it, if any.

        Raises:
            TokenError: it was used, or what it is bound to is lost.
        """
        if shown.grant.single_use and not await self._first_use(shown):
            raise TokenError("This token was used")
        if not shown.bound:
            return None
        session = await self._sessions.find(shown.id)
        if session is None:
            raise TokenError("What this token was made for is not known any more; ask for a new one")
        return session

    async def claim(self, name: str, ttl_s: int) -> bool:
        """Whether nobody has claimed a name before, as of tokens; from now on it is claimed.

        Raises:
            TokenError: that cannot be told.
        """
        try:
            return await self._used.claim(name, time.time() + ttl_s)
        except (sqlite3.Error, OSError) as error:
            log.error("whether something was used cannot be told", problem=f"{type(error).__name__}: {error}")
            raise TokenError("Whether this was used before cannot be told now") from None

    def close(self) -> None:
        """Let go of the file of used tokens."""
        self._used.close()

    def _claims(self, value: str) -> tuple[dict[str, Any], TokenKind]:
        kind = next((kind for kind in get_args(TokenKind) if value.startswith(PREFIXES[kind])), None)
        if kind is None or len(value) > MAX_TOKEN_CHARS:
            raise TokenError("This is no token of this server")
        try:
            claims = jwt.decode(
                value.removeprefix(PREFIXES[kind]),
                self._secret,
                algorithms=["HS256"],
                audience=kind,
                issuer=ISSUER,
                options={"require": ["exp", "jti", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise TokenError("This token has expired") from None
        except (jwt.InvalidTokenError, ValueError):
            raise TokenError("This is no token of this server") from None
        return claims, kind

    async def _first_use(self, shown: ShownToken) -> bool:
        try:
            return await self._used.claim(shown.id, shown.expires_at)
        except (sqlite3.Error, OSError) as error:
            log.error("whether a token was used cannot be told", problem=f"{type(error).__name__}: {error}")
            raise TokenError("Whether this token was used cannot be told now") from None


TOKENS: web.AppKey[Tokens] = web.AppKey("tokens", Tokens)
"""Of this server; the same on each of its ports."""
