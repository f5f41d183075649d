"""The guard of every port: who is let in, and what for; who tries wrong keys is slowed down."""

import asyncio
import time
from collections.abc import Awaitable, Sequence
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
from server.identity.signers import SignedRequest, Signer
from server.identity.tokens import ShownToken, Tokens, is_token
from server.observability.metrics import Metrics

STATIC = "/static/"

SIGNED_SCOPES: frozenset[Scope] = frozenset({"calls"})
"""What whoever signs as a telephone provider does may do."""

SIGNED_BODY_S = 5.0
"""Until a body with a signature has to be there."""

MOST_SIGNED_FIELDS = 256
"""Of such a form. Providers' have some thirty; each spelling of an address is signed with all, for strangers."""


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
        signers: telephone providers that sign what they ask.
        signed_again_s: for so long a request that one of them signed may come again.
    """

    def __init__(
        self,
        keys: KeyRing,
        tokens: Tokens,
        wrong_keys: WrongKeys,
        metrics: Metrics,
        jwts: JwtReader | None = None,
        signers: Sequence[Signer] = (),
        signed_again_s: float = 0.0,
    ) -> None:
        self.keys = keys
        self.tokens = tokens
        self._wrong_keys = wrong_keys
        self._metrics = metrics
        self._jwts = jwts
        self._signers = tuple(signers)
        self._signed_requests = SignedRequests(tokens.claim, signed_again_s)

    async def signed(self, request: web.Request) -> Principal | None:
        """The provider that signed a request; None where a key or a token is to be shown instead.

        Raises:
            ApiError: 401, the signature is wrong, or is missing where nothing else lets in.
        """
        credential = credential_of(request)
        # Where nobody asks for keys, whatever is shown in place of one shows nothing.
        shows = credential is not None and (self.guarded or is_token(credential))
        if not self._signers or shows:
            return None
        showing = [signer for signer in self._signers if request.headers.get(signer.header)]
        asked = await _signed_request(request) if showing else None
        for signer in showing:
            assert asked is not None
            told = signer.signed(asked)
            if told is None:
                continue
            if not told or await self._in_time(told):
                return Principal(signer.name, SIGNED_SCOPES)
            await self._count(request, told)
            raise _unauthorized(f"This request ({signer.header}) was made before, and its call must be over")
        await self._count(request, request.headers[showing[0].header] if showing else None)
        headers = ", ".join(signer.header for signer in self._signers)
        raise _unauthorized(
            f"This asks for a key, or for a telephone provider's signature ({headers}): it has neither, or a wrong one"
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


async def _signed_request(request: web.Request) -> SignedRequest:
    """A request as providers sign it."""
    body = await _signed_body(request)
    is_form = request.content_type == "application/x-www-form-urlencoded"
    return SignedRequest(
        request.headers,
        request.scheme,
        (request.host, request.headers.get("X-Forwarded-Host", "").partition(",")[0].strip()),
        request.raw_path,
        _pairs(request.raw_path.partition("?")[2]),
        _pairs(body.decode("utf-8", "replace")) if is_form else (),
        body,
        time.time(),
    )


async def _signed_body(request: web.Request) -> bytes:
    """A body that is signed; one that is longer than providers' own, or slower, is none."""
    if not request.content_length or request.content_length > MAX_SIGNED_FORM:
        return b""
    try:
        async with asyncio.timeout(SIGNED_BODY_S):
            return await request.read()
    except TimeoutError:
        return b""


def _pairs(form: str) -> list[tuple[str, str]]:
    """The fields of a form; one with very many is none."""
    try:
        return parse_qsl(form, keep_blank_values=True, max_num_fields=MOST_SIGNED_FIELDS)
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
