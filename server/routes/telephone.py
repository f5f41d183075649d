"""Telephone lines: what bridges are told to do with a call, and the WebSocket that they bring it to."""

import re
import time
from typing import Any, get_args
from urllib.parse import parse_qsl

import pydantic_core
from aiohttp import web
from pydantic import BaseModel

from server.bounds import FOLLOW_UP_S, MAX_BODY, MAX_LINE_MESSAGE
from server.http.acting import acting_user
from server.http.errors import ApiError
from server.http.operation import Answer, operation
from server.http.uninterrupted import to_the_end
from server.http.web_socket import open_socket
from server.identity.errors import TokenTooLargeError
from server.identity.grant import Grant
from server.identity.principal import principal_of
from server.identity.tokens import TOKENS, new_guest
from server.telephone.announced import AnnouncedCall
from server.telephone.answers import ANSWERS, Bridge, Incoming
from server.telephone.desk import DESK
from server.telephone.dialects import DIALECTS, DialectName
from server.telephone.session import BridgeSession
from server.telephone.wishes import LineWishes
from server.transcription.transcriber import TRANSCRIBER

HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")

MAX_FIELDS = 256
"""Of a bridge's form; Twilio's have some thirty."""

FORM, JSON = "application/x-www-form-urlencoded", "application/json"

routes = web.RouteTableDef()


class OneBridge(BaseModel):
    """Whose bridge asks."""

    bridge: Bridge


@routes.get("/ws/media-stream")
@routes.get("/ws/media-stream/{dialect}")
@routes.get("/ws/media-stream/{dialect}/{token}")
@operation(
    "telephone",
    scope="calls",
    cost="call",
    answers={101: Answer("A WebSocket")},
    errors=(400, 404),
    socket=True,
    signed=True,
)
async def media_stream(request: web.Request) -> web.StreamResponse:
    """A telephone call, as Twilio Media Streams, and with `/{dialect}` as Plivo, Telnyx or jambonz bring it.

    "start" begins the call, "media" is sound (base64 of G.711 or of plain samples, as the start says), "dtmf" a key,
    "mark" the answer to a mark, "stop" the end. Back come "media", "mark" at the beginning and the end of what is said,
    and "clear" when the caller interrupts. A mark that is no answer comes back when what waits to be heard has gone
    out, and "clear" silences. Parameters that the bridge passes on may be user_id, conversation_id, language, voice and
    instructions. What is wrong is told by {"event":"error","error":{"code","message"}}.
    """
    desk = request.app[DESK]
    name: Any = request.match_info.get("dialect", desk.settings.telephone_dialect)
    if name not in DIALECTS:
        raise ApiError(404, "unknown_dialect", f"Known are {', '.join(get_args(DialectName))}")
    dialect = DIALECTS[name]
    protocols = (dialect.subprotocol,) if dialect.subprotocol else ()
    expected = "This address is a WebSocket, for the bridges of telephone lines"
    socket = await open_socket(request, MAX_LINE_MESSAGE, expected, protocols)
    session = BridgeSession(request, socket, dialect, desk)
    try:
        await session.run()
    finally:
        await to_the_end(session.end())
    return socket


@routes.post("/api/telephone/{bridge}/answer")
@operation(
    "telephone",
    scope="calls",
    cost="work",
    params=OneBridge,
    uploads=(FORM, JSON),
    answers={200: Answer("What to do with the call", content=("text/xml", JSON, "text/plain"))},
    errors=(400, 404, 413, 422),
    signed=True,
)
async def answer_line(request: web.Request, params: OneBridge) -> web.Response:
    """Tell a bridge to connect a call to Morgan: the webhook of an incoming call.

    Twilio, Telnyx and Plivo get XML, jambonz JSON, Asterisk the uuid for its AudioSocket. The query may say how the
    call is to be: user_id, conversation_id, language, voice and instructions.
    """
    told = await asked(request)
    desk, principal = request.app[DESK], principal_of(request)
    wishes = LineWishes.of(request.query)
    if wishes.language:
        wishes.language = await request.app[TRANSCRIBER].language(wishes.language) or ""
    caller, called = (told.get(name) or told.get(name.lower()) or "" for name in ("From", "To"))
    user_id = acting_user(request, wishes.user_id or desk.user_of(caller))
    if params.bridge == "asterisk":
        announced = AnnouncedCall(principal, user_id, wishes)
        return _answered(params.bridge, desk.announced.announce(announced, time.monotonic()))
    # What comes after the call is asked for by the same user.
    user_id = user_id or new_guest()
    options = wishes.model_dump(exclude={"user_id"}, exclude_none=True)
    base = desk.settings.telephone_url or asked_at(request)
    token = _token(request, user_id, options, FOLLOW_UP_S)
    again = _token(request, user_id, {}, round(desk.settings.telephone_longest_s) + FOLLOW_UP_S)
    incoming = Incoming(
        f"ws{base.removeprefix('http')}/ws/media-stream/{params.bridge}/{token}",
        f"{base}/api/telephone/{params.bridge}/next?token={again}",
        token,
        caller,
        called,
    )
    return _answered(params.bridge, ANSWERS[params.bridge].connect(incoming))


@routes.post("/api/telephone/{bridge}/next")
@operation(
    "telephone",
    scope="calls",
    cost="work",
    params=OneBridge,
    uploads=(FORM, JSON),
    answers={200: Answer("What to do with the caller", content=("text/xml", JSON, "text/plain"))},
    errors=(400, 413),
    signed=True,
)
async def follow_line(request: web.Request, params: OneBridge) -> web.Response:
    """Tell a bridge what is to become of a caller whom Morgan has left: connect them to somebody, or hang up.

    The call is named as the bridge names it: CallSid, CallUUID, call_sid, or uuid.
    """
    answers = ANSWERS[params.bridge]
    told = await asked(request)
    reaches = principal_of(request).reaches
    target = request.app[DESK].follow_ups.take(told.get(answers.call_id, ""), reaches, time.monotonic())
    return _answered(params.bridge, answers.follow(target))


async def asked(request: web.Request) -> dict[str, str]:
    """What a bridge says of a call: fields of a form, of JSON, or of the query.

    Raises:
        ApiError: 400 none of these, 413 too long.
    """
    if (request.content_length or 0) > MAX_BODY:
        raise ApiError(413, "body_too_large", f"The body may have at most {MAX_BODY} bytes")
    # Whoever looked for a signature has read it already.
    body = await request.read()
    found: dict[str, Any] = dict(request.query)
    if request.content_type == JSON and body:
        try:
            told = pydantic_core.from_json(body)
        except ValueError:
            raise ApiError(400, "invalid_json", "The body is not JSON") from None
        found |= told if isinstance(told, dict) else {}
    else:
        try:
            found |= dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS))
        except ValueError:
            raise ApiError(400, "invalid_form", f"The form may have at most {MAX_FIELDS} fields") from None
    return {name: value for name, value in found.items() if isinstance(value, str)}


def asked_at(request: web.Request) -> str:
    """Where whoever asks has reached this server, as far as a proxy tells.

    Raises:
        ApiError: 400, that is no name of a host.
    """
    scheme = request.headers.get("X-Forwarded-Proto", request.scheme).partition(",")[0].strip()
    host = request.headers.get("X-Forwarded-Host", request.host).partition(",")[0].strip()
    if not HOST.fullmatch(host):
        raise ApiError(400, "bad_host", "The name that this server was asked by is none: set MORGAN_TELEPHONE_URL")
    return f"{'https' if scheme == 'https' else 'http'}://{host}"


def _token(request: web.Request, user_id: str, options: dict[str, Any], ttl_s: int) -> str:
    grant = Grant("join", frozenset({"calls"}), user_id, options, issuer=principal_of(request).id)
    try:
        return request.app[TOKENS].mint(grant, ttl_s).value
    except TokenTooLargeError as error:
        raise ApiError(413, "too_long", str(error)) from None


def _answered(bridge: Bridge, text: str) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    return web.Response(text=text, content_type=ANSWERS[bridge].content_type, headers=headers)
