"""`/api/tokens`: short-lived tokens, with which pages, phones and WebSockets come in without the server's key."""

from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from server.bounds import MAX_BODY, MAX_TOKEN_S, PAGE_TOKEN_S
from server.http.acting import acting_user
from server.http.errors import ApiError
from server.http.fields import ConversationId, Language, UserId
from server.http.guard import missing_scope
from server.http.operation import Answer, operation
from server.identity.errors import TokenTooLargeError
from server.identity.grant import Grant
from server.identity.principal import principal_of
from server.identity.scopes import LENDABLE, Scope, parse_scopes
from server.identity.tokens import TOKENS, Minted

DEFAULT_SCOPES: frozenset[Scope] = frozenset({"calls", "read", "erase"})
"""What a caller does with a call page."""

routes = web.RouteTableDef()


class WantedToken(BaseModel):
    """For whom a token is, and what for. The options are those of the calls that are opened with it."""

    model_config = ConfigDict(extra="forbid")

    user_id: UserId | None = Field(None, description="Who its holder is; none: a guest, whom nobody else is.")
    scopes: Annotated[list[str], Field(max_length=len(LENDABLE))] | None = Field(
        None, description="Of those of the key that asks; none: calls, read and erase, as far as it has them."
    )
    expires_in_s: Annotated[int, Field(ge=1, le=MAX_TOKEN_S)] = 60
    conversation_id: ConversationId | None = None
    language: Language | None = None
    voice: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    instructions: Annotated[str, Field(max_length=2_000)] | None = None


class GivenToken(BaseModel):
    """A token: as `Authorization: Bearer`, or as `token` in the query. `link` opens the call page with it."""

    token: str
    expires_at: int
    user_id: str
    scopes: list[str]
    link: str | None = None


@routes.post("/api/tokens")
@operation(
    "tokens",
    scope="tokens",
    cost="work",
    body=WantedToken,
    body_limit=MAX_BODY,
    answers={201: Answer("The token; it is shown once", GivenToken)},
    errors=(404,),
)
async def create_token(request: web.Request, body: WantedToken) -> web.Response:
    """Make a token that lets somebody in once, soon, as one user.

    It opens one call or one WebSocket, or signs one call page in. It reaches what is that user's and nothing else, and
    the options that it carries cannot be changed by whoever holds it.
    """
    principal = principal_of(request)
    lent = frozenset(scope for scope in LENDABLE if principal.may(scope))
    scopes = DEFAULT_SCOPES & lent if body.scopes is None else _scopes(body.scopes)
    for scope in sorted(scopes - lent):
        raise missing_scope(scope)
    options = body.model_dump(include={"conversation_id", "language", "voice", "instructions"}, exclude_none=True)
    grant = Grant("join", scopes, acting_user(request, body.user_id), options, issuer=principal.id)
    minted = _mint(request, grant, body.expires_in_s)
    return _given(minted, scopes, link=f"/?token={minted.value}")


@routes.post("/api/tokens/exchange")
@operation("tokens", scope="calls", cost="work", answers={201: Answer("The token of this page", GivenToken)})
async def exchange_token(request: web.Request) -> web.Response:
    """Sign a page in: a join token, which this uses up, for one that lets the same user in for some hours."""
    grant = principal_of(request).grant
    if grant is None or grant.kind != "join":
        raise ApiError(403, "not_a_join_token", "Only a join token, as `POST /api/tokens` makes it, can be exchanged")
    page = Grant("page", grant.scopes, grant.user_id, grant.options, single_use=False, issuer=grant.issuer)
    return _given(_mint(request, page, PAGE_TOKEN_S), grant.scopes)


def _scopes(names: list[str]) -> frozenset[Scope]:
    try:
        return parse_scopes(names)
    except ValueError as error:
        raise ApiError(422, "invalid_body", str(error), [{"field": "scopes", "message": str(error)}]) from None


def _mint(request: web.Request, grant: Grant, ttl_s: int) -> Minted:
    try:
        return request.app[TOKENS].mint(grant, ttl_s)
    except TokenTooLargeError as error:
        raise ApiError(413, "too_long", str(error)) from None


def _given(minted: Minted, scopes: frozenset[Scope], link: str | None = None) -> web.Response:
    given: dict[str, Any] = {
        "token": minted.value,
        "expires_at": minted.expires_at,
        "user_id": minted.user_id,
        "scopes": sorted(scopes),
    }
    if link is not None:
        given["link"] = link
    return web.json_response(given, status=201, headers={"Cache-Control": "no-store"})
