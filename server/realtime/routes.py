"""`/v1/realtime`: the OpenAI Realtime API. Also under `/openai/v1`, as clients of Azure ask for it."""

from collections.abc import Callable
from contextlib import aclosing
from typing import Annotated, Any, Literal

import pydantic_core
from aiohttp import web
from multidict import CIMultiDict
from pydantic import BaseModel, ConfigDict, Field

from media.values import InvalidOfferError
from server.bounds import MAX_BODY, MAX_REALTIME_SESSION
from server.calls.call import CallOverError
from server.calls.ice_servers import ice_servers_for, link_headers
from server.calls.registry import CallsFullError
from server.calls.requests import registry
from server.calls.trickle import SDPFRAG, apply_fragment
from server.calls.webrtc_line import open_webrtc
from server.http.acting import acting_user
from server.http.errors import ApiError, read_body
from server.http.forms import form_parts
from server.http.operation import Answer, Routed, operation
from server.http.rate_limits import client_of
from server.identity.errors import TokenTooLargeError
from server.identity.grant import Grant
from server.identity.principal import principal_of
from server.identity.tokens import TOKENS
from server.realtime.channel_talk import realtime_talk
from server.realtime.openings import beginning_of, opening
from server.realtime.session_config import SessionConfig
from server.realtime.sockets import serve_call, serve_sideband
from server.routes.calls import find_call, no_capacity, no_such_call, webrtc_line

SDP = "application/sdp"

CALL_HEADERS = {"Location": "The address of the call", "Link": "TURN servers, where the server has some (RFC 9725)"}

routes = web.RouteTableDef()

PREFIXES = ("/v1", "/openai/v1")


def _routed(method: str, path: str) -> Callable[[Routed], Routed]:
    """Serve a handler at a path below each of `PREFIXES`."""

    def serve(handler: Routed) -> Routed:
        for prefix in PREFIXES:
            routes.route(method, f"{prefix}{path}")(handler)
        return handler

    return serve


class _Query(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Connection(_Query):
    """What a WebSocket is to be; the model is always the server's."""

    model: Annotated[str, Field(max_length=256)] | None = None
    call_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    intent: Annotated[str, Field(max_length=64)] | None = None


class OneCall(_Query):
    """Which call."""

    call_id: Annotated[str, Field(min_length=1, max_length=64)]


class SipCall(OneCall):
    """What is to become of which call."""

    verb: Literal["accept", "reject", "refer"]


class Expiry(BaseModel):
    """How long a secret is good for."""

    model_config = ConfigDict(extra="forbid")

    anchor: Literal["created_at"] = "created_at"
    seconds: Annotated[int, Field(ge=10, le=7200)] = 600


class WantedSecret(BaseModel):
    """A secret for one browser, and what its session is to be."""

    model_config = ConfigDict(extra="forbid")

    expires_after: Expiry | None = None
    session: dict[str, Any] | None = None


class Secret(BaseModel):
    """A secret: good until `expires_at`, for sessions as `session` says."""

    value: str
    expires_at: int
    session: dict[str, Any]


class OldSecret(BaseModel):
    """The same in the form of the beta."""

    model_config = ConfigDict(extra="allow")

    client_secret: dict[str, Any]


@_routed("GET", "/realtime")
@operation(
    "realtime",
    scope="calls",
    cost="call",
    params=Connection,
    answers={101: Answer("A WebSocket")},
    errors=(400, 404, 409, 503),
    socket=True,
)
async def socket(request: web.Request, params: Connection) -> web.StreamResponse:
    """A conversation as events of the OpenAI Realtime API, with PCM16 (24 kHz) or G.711 as base64; docs/realtime.md
    tells of each event. `?call_id=` is a seat beside a call that there is, `?intent=transcription` a session of nothing
    but transcripts. Browsers show their key as the subprotocol `openai-insecure-api-key.<key>`, beside `realtime`.
    """
    if params.call_id is not None:
        return await serve_sideband(request, find_call(request, params.call_id))
    intent = {"type": "transcription"} if params.intent == "transcription" else None
    return await serve_call(request, opening(request, intent))


@_routed("POST", "/realtime")
@_routed("POST", "/realtime/calls")
@operation(
    "realtime",
    scope="calls",
    cost="call",
    params=Connection,
    uploads=(SDP, "multipart/form-data"),
    upload_schema={
        "type": "object",
        "properties": {"sdp": {"type": "string"}, "session": {"type": "string"}},
        "required": ["sdp"],
    },
    body_limit=MAX_BODY + MAX_REALTIME_SESSION,
    answers={201: Answer("The SDP answer", content=(SDP,), headers=CALL_HEADERS)},
    errors=(400, 413, 415, 503),
)
async def create_call(request: web.Request, params: Connection) -> web.Response:
    """Take a call over WebRTC: an SDP offer, by itself or with the session in a form; its events travel on a data
    channel. The answer has all candidates. `POST /v1/realtime` is the address of the beta; events are those of today.
    """
    offer, session = await _offer(request)
    return await _answer(request, offer, opening(request, session))


async def _answer(request: web.Request, offer: str, config: SessionConfig) -> web.Response:
    calls, client = registry(request), client_of(request)
    try:
        calls.check(client)
        beginning, options = await beginning_of(request, config)
        call, answer = await open_webrtc(calls, offer, beginning, client, realtime_talk(config), **options)
    except InvalidOfferError as error:
        raise ApiError(400, "invalid_offer", str(error)) from None
    except CallsFullError as error:
        raise no_capacity(error) from None
    prefix = "/openai/v1" if request.path.startswith("/openai/") else "/v1"
    location = f"{prefix}/realtime/calls/{call.id}"
    headers = CIMultiDict({"Location": location, "Content-Type": SDP, "ETag": webrtc_line(call).ice_tag})
    headers.extend(link_headers(ice_servers_for(request)))
    return web.Response(body=answer.encode(), status=201, headers=headers)


async def _offer(request: web.Request) -> tuple[str, dict[str, Any] | None]:
    """The SDP offer of a request, and what it says of the session.

    Raises:
        ApiError: 400 or 415.
    """
    if request.content_type == SDP:
        body = await read_body(request, MAX_BODY)
        return _text(body, "sdp"), None
    if request.content_type != "multipart/form-data":
        message = f"Send the offer as {SDP}, or as the field `sdp` of a form with `session` beside it"
        raise ApiError(415, "unsupported_media_type", message)
    fields = await _form(request)
    if "sdp" not in fields:
        raise ApiError(400, "missing_required_parameter", "The form has no `sdp`", [{"field": "sdp"}])
    return _text(fields["sdp"], "sdp"), _session(fields.get("session"))


async def _form(request: web.Request) -> dict[str, bytes]:
    limits = {"sdp": MAX_BODY, "session": MAX_REALTIME_SESSION}

    def limit_of(name: str) -> int:
        if name not in limits:
            raise ApiError(400, "unknown_parameter", f"The form has `sdp` and `session`, not `{name[:64]}`")
        return limits[name]

    async with aclosing(form_parts(request, limit_of)) as parts:
        return {part.name: part.data async for part in parts}


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ApiError(400, "invalid_offer", f"`{name}` is not UTF-8 text") from None


def _session(data: bytes | None) -> dict[str, Any] | None:
    if data is None:
        return None
    try:
        found = pydantic_core.from_json(data, allow_inf_nan=False)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ApiError(400, "invalid_json", "`session` is not a JSON object", [{"field": "session"}])
    found.setdefault("type", "realtime")
    return found


@_routed("DELETE", "/realtime/calls/{call_id}")
@_routed("POST", "/realtime/calls/{call_id}/hangup")
@operation("realtime", scope="calls", params=OneCall, answers={200: Answer("The call is over")}, errors=(404,))
async def hang_up(request: web.Request, params: OneCall) -> web.Response:
    """Hang up; with DELETE as clients do who take the `Location` for a resource."""
    await find_call(request, params.call_id).end("hangup")
    return web.Response()


@_routed("PATCH", "/realtime/calls/{call_id}")
@operation(
    "realtime",
    scope="calls",
    cost="work",
    params=OneCall,
    uploads=(SDPFRAG,),
    answers={200: Answer("ICE begins anew", content=(SDPFRAG,)), 204: Answer("The candidates were added")},
    errors=(400, 404, 409, 412, 415),
)
async def change_ice(request: web.Request, params: OneCall) -> web.Response:
    """Trickle ICE and restart it, as clients do who take the `Location` for a resource of WHIP (docs/whip.md)."""
    line = webrtc_line(find_call(request, params.call_id))
    if request.content_type != SDPFRAG:
        raise ApiError(415, "unsupported_media_type", f"Send candidates and credentials as {SDPFRAG}")
    try:
        return await apply_fragment(request, line)
    except CallOverError:
        raise no_such_call() from None


@_routed("POST", "/realtime/calls/{call_id}/{verb:accept|reject|refer}")
@operation("realtime", scope="calls", params=SipCall, errors=(400, 404))
async def sip_call(request: web.Request, params: SipCall) -> web.Response:
    """What OpenAI does with calls over SIP, which this server does not take here."""
    find_call(request, params.call_id)
    raise ApiError(400, "unsupported", f"`{params.verb}` is for calls over SIP; this one stands, and can be hung up")


@_routed("GET", "/realtime/translations")
@_routed("POST", "/realtime/translations/client_secrets")
@operation("realtime", scope="calls", errors=(400,))
async def translate(request: web.Request) -> web.Response:
    """Refused: OpenAI's sessions of nothing but translation, whose events are others, are not to be had here."""
    remedy = "tell a session to translate by its `instructions`, or send a recording to /v1/audio/translations"
    raise ApiError(400, "unsupported", f"There are no translation sessions here; {remedy}")


@_routed("POST", "/realtime/client_secrets")
@operation(
    "realtime",
    scope="calls",
    cost="work",
    body=WantedSecret,
    body_limit=MAX_REALTIME_SESSION,
    answers={200: Answer("The secret", Secret)},
    errors=(400, 403, 413),
)
async def create_secret(request: web.Request, body: WantedSecret) -> web.Response:
    """A secret for a browser: it opens sessions as `session` says until it expires, and nothing else."""
    minted = _mint(request, body)
    return web.json_response(minted)


@_routed("POST", "/realtime/sessions")
@operation(
    "realtime",
    scope="calls",
    cost="work",
    uploads=("application/json",),
    body_limit=MAX_REALTIME_SESSION,
    answers={200: Answer("The secret, with the session around it", OldSecret)},
    errors=(400, 403, 413),
)
async def create_secret_as_before(request: web.Request) -> web.Response:
    """A secret at the address of the beta, whose fields of a session (`voice`, `modalities`, ...) are not looked at."""
    return await _old_secret(request, "realtime")


@_routed("POST", "/realtime/transcription_sessions")
@operation(
    "realtime",
    scope="calls",
    cost="work",
    uploads=("application/json",),
    body_limit=MAX_REALTIME_SESSION,
    answers={200: Answer("The secret, with the session around it", OldSecret)},
    errors=(400, 403, 413),
)
async def create_transcription_secret_as_before(request: web.Request) -> web.Response:
    """The same for a session of nothing but transcripts."""
    return await _old_secret(request, "transcription")


async def _old_secret(request: web.Request, kind: str) -> web.Response:
    await read_body(request, MAX_REALTIME_SESSION)
    minted = _mint(request, WantedSecret(session={"type": kind}))
    secret = {"value": minted["value"], "expires_at": minted["expires_at"]}
    return web.json_response({**minted["session"], "client_secret": secret})


def _mint(request: web.Request, wanted: WantedSecret) -> dict[str, Any]:
    """A secret as the client gets it.

    Raises:
        ApiError: 400 the session is not to be had, 403 a secret cannot make another one, 413 it is too large.
    """
    principal = principal_of(request)
    if principal.grant is not None:
        raise ApiError(403, "forbidden", "A token cannot be used to make another one: use a key")
    session = {"type": "realtime", **(wanted.session or {})}
    config = opening(request, session)
    grant = Grant("realtime", frozenset({"calls"}), acting_user(request, None), single_use=False, issuer=principal.id)
    try:
        seconds = (wanted.expires_after or Expiry()).seconds
        minted = request.app[TOKENS].mint(grant, ttl_s=seconds, session=session)
    except TokenTooLargeError as error:
        raise ApiError(413, "body_too_large", str(error)) from None
    described = config.describe(f"sess_{minted.id}")
    return {"value": minted.value, "expires_at": minted.expires_at, "session": described}
