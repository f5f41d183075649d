"""The guard of every port: who is let in, and what for; who tries wrong keys is slowed down."""

import asyncio
from collections.abc import Awaitable
from typing import Protocol
from urllib.parse import parse_qsl

from aiohttp import web
from aiohttp.typedefs import Middleware

from server.bounds import MAX_SIGNED_FORM
from server.http.errors import ApiError, Handler
from server.http.operation import operation_of
from server.http.proxies import network_of
from server.http.rate_limits import PerClient, too_many
from server.identity.credentials import credential_of
from server.identity.errors import TokenError
from server.identity.keys import KeyRing
from server.identity.principal import LOCAL, PRINCIPAL, STRANGER, Principal
from server.identity.scopes import Scope
from server.identity.signed_requests import SignedRequests
from server.identity.tokens import ShownToken, Tokens, is_token
from server.identity.twilio_signature import HEADER, is_signed, spellings
from server.observability.metrics import Metrics

STATIC = "/static/"

TWILIO = Principal("twilio", frozenset({"calls"}))
"""Whoever signs as Twilio does."""

SIGNED_BODY_S = 5.0
"""Until a form with a signature has to be there."""

MOST_SIGNED_FIELDS = 256
"""Of such a form. Twilio's have some thirty; each spelling of the address is signed with all of them, for strangers."""


class WrongKeys(PerClient):
    """Counts wrong keys by address.

    A right key is always let in: behind one address may be many people, and keys are too long to be guessed, however
    fast. What is limited is the work and the log lines that guessing costs.
    """


class JwtReader(Protocol):
    """Takes JWTs that somebody else gives out."""

    def principal(self, shown: str) -> Awaitable[Principal]:
        """Whose it is; raises `TokenError`."""


class Access:
    """Knows everybody who may come in. The same for all ports of a server.

    Args:
        keys: API keys.
        tokens: that this server gives out.
        wrong_keys: counted.
        metrics: what is counted.
        jwts: takes those of an identity provider; None where none is configured.
        twilio_auth_token: with which Twilio signs; "" where it lets nobody in.
        signed_again_s: for so long a request that it signed may come again.
    """

    def __init__(
        self,
        keys: KeyRing,
        tokens: Tokens,
        wrong_keys: WrongKeys,
        metrics: Metrics,
        jwts: JwtReader | None = None,
        twilio_auth_token: str = "",
        signed_again_s: float = 0.0,
    ) -> None:
        self.keys = keys
        self.tokens = tokens
        self._wrong_keys = wrong_keys
        self._metrics = metrics
        self._jwts = jwts
        self._twilio_auth_token = twilio_auth_token
        self._signed_requests = SignedRequests(tokens.claim, signed_again_s)

    async def signed(self, request: web.Request) -> Principal | None:
        """Twilio, of a request that bears its signature; None where a key or a token is to be shown instead.

        Raises:
            ApiError: 401, the signature is wrong, or is missing where nothing else lets in.
        """
        credential = credential_of(request)
        # Where nobody asks for keys, whatever is shown in place of one shows nothing.
        shows = credential is not None and (self.guarded or is_token(credential))
        if not self._twilio_auth_token or shows:
            return None
        shown = request.headers.get(HEADER, "")
        hosts = (request.host, request.headers.get("X-Forwarded-Host", "").partition(",")[0].strip())
        urls = spellings(request.scheme, hosts, request.raw_path)
        form = await _signed_form(request) if shown else []
        if shown and is_signed(self._twilio_auth_token, shown, urls, form):
            # Without a form there is nothing in it that would tell one request from the next.
            if not form or await self._in_time(shown):
                return TWILIO
            await self._count(request, shown)
            raise _unauthorized(f"This request ({HEADER}) was made before, and its call must be over")
        await self._count(request, shown or None)
        raise _unauthorized(
            f"This asks for a key, or for Twilio's signature ({HEADER}): it has neither, or a wrong one"
        )

    async def _in_time(self, signature: str) -> bool:
        try:
            return await self._signed_requests.lets_in(signature)
        except TokenError as error:
            raise _unauthorized(str(error)) from None

    @property
    def guarded(self) -> bool:
        """Whether a key is asked for; where not, the server listens on loopback only and everybody is let in."""
        return self._jwts is not None or self.keys.present

    def close(self) -> None:
        """Let go of files."""
        self.tokens.close()

    async def recognised(self, credential: str | None) -> Principal:
        """Who asks for something open: a key or a JWT tells, and a wrong one makes a stranger."""
        if not self.guarded:
            return LOCAL
        try:
            return await self._known(credential or "")
        except TokenError:
            return STRANGER

    async def admitted(self, request: web.Request, scope: Scope | None) -> Principal:
        """Who asks for something that needs a scope.

        Raises:
            ApiError: 401 nobody who is known, 403 without the scope, 429 after too many wrong keys.
        """
        credential = credential_of(request)
        token: ShownToken | None = None
        try:
            if credential is not None and is_token(credential):
                token = self.tokens.read(credential)
                principal = Principal(
                    f"user:{token.grant.user_id}", token.grant.scopes, token.grant.user_id, token.grant
                )
            else:
                principal = await self._known(credential or "") if self.guarded else LOCAL
            if scope is not None and not principal.may(scope):
                raise missing_scope(scope)
            if token is not None and token.grant.kind == "realtime" and not _is_realtime(request):
                raise ApiError(403, "realtime_only", "A client secret opens Realtime sessions, and nothing else")
            return principal if token is None else await self._used(token, principal)
        except TokenError as error:
            await self._count(request, credential)
            raise _unauthorized(str(error)) from None

    async def _used(self, token: ShownToken, principal: Principal) -> Principal:
        session = await self.tokens.use(token)
        return Principal(principal.id, principal.scopes, principal.user_id, principal.grant, session)

    async def _known(self, credential: str) -> Principal:
        found = self.keys.find(credential) if credential else None
        if found is not None:
            return found
        if self._jwts is not None and credential.count(".") == 2:
            return await self._jwts.principal(credential)
        raise TokenError("This server asks for a key: send it as `Authorization: Bearer <key>`")

    async def _count(self, request: web.Request, credential: str | None) -> None:
        if credential is None:
            return
        self._metrics.wrong_key()
        wait_s = await self._wrong_keys.hit(network_of(request))
        if wait_s is not None:
            raise too_many("too_many_wrong_keys", "Too many wrong keys from this address", wait_s)


ACCESS: web.AppKey[Access] = web.AppKey("access", Access)


def guard(access: Access) -> Middleware:
    """A middleware that lets in whoever may, and says who it is (`server.identity.principal.principal_of`).

    What says nothing of scopes is for administrators. Where there is no route, every key finds that out.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_open(request):
            request[PRINCIPAL] = await access.recognised(credential_of(request))
        else:
            signed = await access.signed(request) if _may_be_signed(request) else None
            request[PRINCIPAL] = signed or await access.admitted(request, _scope(request))
        return await handler(request)

    return middleware


def is_open(request: web.Request) -> bool:
    """Whether a request is for what anybody may see."""
    operation = operation_of(request.match_info.handler)
    return request.path.startswith(STATIC) or (operation is not None and operation.open)


async def _signed_form(request: web.Request) -> list[tuple[str, str]]:
    """The fields of a form, which Twilio signs; a body that is longer than its own, or slower, is none."""
    is_form = request.content_type == "application/x-www-form-urlencoded"
    if not is_form or request.content_length is None or request.content_length > MAX_SIGNED_FORM:
        return []
    try:
        async with asyncio.timeout(SIGNED_BODY_S):
            body = await request.read()
    except TimeoutError:
        return []
    try:
        return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MOST_SIGNED_FIELDS)
    except ValueError:
        return []


def _may_be_signed(request: web.Request) -> bool:
    operation = operation_of(request.match_info.handler)
    return operation is not None and operation.signed


def _is_realtime(request: web.Request) -> bool:
    operation = operation_of(request.match_info.handler)
    return request.match_info.http_exception is not None or (operation is not None and operation.tag == "realtime")


def _scope(request: web.Request) -> Scope | None:
    if request.match_info.http_exception is not None:
        return None
    operation = operation_of(request.match_info.handler)
    return "admin" if operation is None or operation.scope is None else operation.scope


def _unauthorized(message: str) -> ApiError:
    return ApiError(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"})


def missing_scope(scope: Scope) -> ApiError:
    """The refusal of somebody who is known and may not."""
    # https://www.rfc-editor.org/rfc/rfc6750#section-3.1
    challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'}
    message = f"This needs the scope {scope}, which the key or token that was shown does not have"
    return ApiError(403, "missing_scope", message, headers=challenge)
