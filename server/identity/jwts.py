"""JWTs of an identity provider: whose they are and what they let their bearers do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from persistence.errors import InvalidTextError
from persistence.text import check_id
from server.bounds import MAX_JWT_CHARS
from server.identity.errors import TokenError
from server.identity.jwt_keys import JwtKeys
from server.identity.principal import Principal
from server.identity.scopes import ALL, Scope

MORGAN = "morgan:"
"""May stand before the names of our scopes, where the provider has others of the same name."""


@dataclass(frozen=True, slots=True)
class JwtRules:
    """What a JWT has to say.

    Attributes:
        issuer: its `iss`; "" for any.
        audience: among its `aud`; "" where it must not have any.
        user_claim: that names the user.
        scope_claim: that names the scopes, as words in a text or as a list.
        scopes: of JWTs without that claim.
        leeway_s: that the provider's clock may be off.
    """

    issuer: str
    audience: str
    user_claim: str
    scope_claim: str
    scopes: frozenset[Scope]
    leeway_s: float


class Jwts:
    """Takes the JWTs of one identity provider.

    Args:
        keys: that they are signed with.
        rules: what they have to say.
    """

    def __init__(self, keys: JwtKeys, rules: JwtRules) -> None:
        self._keys = keys
        self._rules = rules

    async def principal(self, shown: str) -> Principal:
        """Whose a JWT is: they reach what is their own, and with the scope admin everything.

        Raises:
            TokenError: it lets nobody in.
        """
        if len(shown) > MAX_JWT_CHARS:
            raise TokenError("This JWT is too long")
        try:
            key, algorithm = await self._keys.find(jwt.get_unverified_header(shown))
            claims = self._verified(shown, key, algorithm)
        except jwt.ExpiredSignatureError:
            raise TokenError("This JWT has expired") from None
        except (jwt.PyJWTError, ValueError, TypeError):
            raise TokenError("This JWT is not one that this server takes") from None
        user_id = self._user(claims)
        scopes = self._scopes(claims)
        return Principal(f"user:{user_id}", scopes, None if "admin" in scopes else user_id)

    def _verified(self, shown: str, key: Any, algorithm: str) -> Mapping[str, Any]:
        rules = self._rules
        return jwt.decode(
            shown,
            key,
            algorithms=[algorithm],
            audience=rules.audience or None,
            issuer=rules.issuer or None,
            leeway=rules.leeway_s,
            # Without an end it would let its bearer in for ever.
            options={"require": ["exp"]},
        )

    def _user(self, claims: Mapping[str, Any]) -> str:
        named = claims.get(self._rules.user_claim)
        try:
            if not isinstance(named, str) or not 1 <= len(named) <= 256:
                raise TokenError(f"This JWT names no user in its claim {self._rules.user_claim}")
            return check_id(named, self._rules.user_claim)
        except InvalidTextError as error:
            raise TokenError(str(error)) from None

    def _scopes(self, claims: Mapping[str, Any]) -> frozenset[Scope]:
        told = claims.get(self._rules.scope_claim)
        if told is None:
            return self._rules.scopes
        names = told.split() if isinstance(told, str) else told if isinstance(told, list) else []
        ours = {str(name).removeprefix(MORGAN) for name in names}
        return frozenset(scope for scope in ALL if scope in ours)
