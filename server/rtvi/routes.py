"""`/api/offer`, `/start`: signaling of Pipecat's SmallWebRTC transport, whose channel speaks RTVI (docs/rtvi.md)."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from media.endpoint import EndpointFullError
from media.values import IceCandidate, IceRestartError, InvalidOfferError
from server.bounds import MAX_BODY, MAX_INSTRUCTIONS, MAX_REALTIME_SESSION
from server.calls.call import Call, CallOverError
from server.calls.ice_servers import ice_servers_for
from server.calls.registry import CallsFullError
from server.calls.requests import registry, wanted_call
from server.calls.webrtc_line import open_webrtc
from server.http.acting import acting_user
from server.http.errors import ApiError
from server.http.fields import ConversationId, Language, UserId
from server.http.operation import Answer, operation
from server.http.rate_limits import client_of
from server.identity.principal import principal_of
from server.realtime.abilities import abilities_of
from server.realtime.channel_talk import channel_session
from server.realtime.openings import updated
from server.realtime.session_config import SessionConfig
from server.routes.calls import find_call, no_capacity, no_such_call, webrtc_line
from server.rtvi.started import StartedSessions
from server.rtvi.talk import Json, RtviTalk

STARTED: web.AppKey[StartedSessions] = web.AppKey("started", StartedSessions)

OFFER_LIMIT = MAX_BODY + MAX_REALTIME_SESSION

routes = web.RouteTableDef()


class Wanted(BaseModel):
    """How the call is to be: `requestData` of the client, or `body` of `/start`.

    `session` is that of the Realtime API: `tools` (functions that the client runs), `audio.output.voice`, ...
    """

    model_config = ConfigDict(extra="ignore")

    user_id: UserId | None = None
    conversation_id: ConversationId | None = None
    language: Language | None = None
    voice: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    instructions: Annotated[str, Field(max_length=MAX_INSTRUCTIONS)] | None = None
    session: dict[str, Any] | None = None


class RtviOffer(BaseModel):
    """An offer: for a new call, or with the `pc_id` of one that stands."""

    model_config = ConfigDict(extra="ignore")

    sdp: Annotated[str, Field(min_length=1, max_length=MAX_BODY)]
    type: Literal["offer"]
    pc_id: Annotated[str, Field(max_length=256)] | None = None
    restart_pc: bool | None = None
    request_data: Any = Field(None, validation_alias=AliasChoices("requestData", "request_data"))


class RtviCandidate(BaseModel):
    """One trickled candidate; an empty one ends the list."""

    model_config = ConfigDict(extra="ignore")

    candidate: Annotated[str, Field(max_length=1024)]
    sdp_mid: Annotated[str, Field(max_length=64)] | None = None
    sdp_mline_index: Annotated[int, Field(ge=0, le=64)] | None = None


class RtviCandidates(BaseModel):
    """Candidates that trickled in."""

    model_config = ConfigDict(extra="ignore")

    pc_id: Annotated[str, Field(max_length=256)]
    candidates: Annotated[list[RtviCandidate], Field(max_length=64)]


class RtviAnswer(BaseModel):
    """The answer; `pc_id` stands for the call, and is its key."""

    sdp: str
    type: Literal["answer"]
    pc_id: str


class RtviStatus(BaseModel):
    """It was done."""

    status: Literal["success"]


class Start(BaseModel):
    """A session is about to be called for."""

    model_config = ConfigDict(extra="ignore")

    body: Any = None


class RtviStarted(BaseModel):
    """Where to call: `/sessions/{sessionId}/api/offer`."""

    session_id: str = Field(serialization_alias="sessionId")
    ice_config: dict[str, Any] = Field(serialization_alias="iceConfig")


class OneSession(BaseModel):
    """Which session."""

    session_id: Annotated[str, Field(max_length=64)]


@routes.post("/start")
@operation(
    "rtvi",
    scope="calls",
    cost="work",
    body=Start,
    body_limit=MAX_REALTIME_SESSION,
    answers={200: Answer("The session", RtviStarted)},
    errors=(400, 404, 413),
)
async def start(request: web.Request, body: Start) -> web.Response:
    """Announce a session: what `body` says holds for its offers, for ten minutes."""
    acting_user(request, _wanted(body.body).user_id)
    session_id = request.app[STARTED].begin(principal_of(request).id, body.body, time.monotonic())
    return web.json_response({"sessionId": session_id, "iceConfig": {"iceServers": ice_servers_for(request)}})


@routes.post("/api/offer")
@operation(
    "rtvi",
    scope="calls",
    cost="call",
    body=RtviOffer,
    body_limit=OFFER_LIMIT,
    answers={200: Answer("The answer", RtviAnswer)},
    errors=(400, 403, 404, 409, 413, 503),
)
async def offer(request: web.Request, body: RtviOffer) -> web.Response:
    """Take a call of Pipecat's SmallWebRTC transport, or bring one onto a new connection."""
    return await _answer(request, body, body.request_data)


@routes.post("/sessions/{session_id}/api/offer")
@operation(
    "rtvi",
    scope="calls",
    cost="call",
    params=OneSession,
    body=RtviOffer,
    body_limit=OFFER_LIMIT,
    answers={200: Answer("The answer", RtviAnswer)},
    errors=(400, 403, 404, 409, 413, 503),
)
async def offer_in_session(request: web.Request, params: OneSession, body: RtviOffer) -> web.Response:
    """The same for a session that `/start` announced."""
    announced = _started(request, params)
    return await _answer(request, body, body.request_data or announced)


@routes.patch("/api/offer")
@operation(
    "rtvi",
    scope="calls",
    cost="work",
    body=RtviCandidates,
    answers={200: Answer("The candidates were added", RtviStatus)},
    errors=(400, 403, 404, 409),
)
async def trickle(request: web.Request, body: RtviCandidates) -> web.Response:
    """Trickle ICE."""
    return await _add_candidates(request, body)


@routes.patch("/sessions/{session_id}/api/offer")
@operation(
    "rtvi",
    scope="calls",
    cost="work",
    params=OneSession,
    body=RtviCandidates,
    answers={200: Answer("The candidates were added", RtviStatus)},
    errors=(400, 403, 404, 409),
)
async def trickle_in_session(request: web.Request, params: OneSession, body: RtviCandidates) -> web.Response:
    """The same for a session that `/start` announced."""
    _started(request, params)
    return await _add_candidates(request, body)


def _started(request: web.Request, params: OneSession) -> Any:
    try:
        return request.app[STARTED].find(params.session_id, principal_of(request).id, time.monotonic())
    except KeyError:
        raise ApiError(404, "session_not_found", "There is no such session, or it is too old: POST /start") from None


async def _answer(request: web.Request, body: RtviOffer, data: Any) -> web.Response:
    try:
        known = _call_of(request, body.pc_id) if body.pc_id else None
        if known is not None:
            call, answer = known, await webrtc_line(known).connect(body.sdp)
        else:
            call, answer = await _open(request, body.sdp, _wanted(data))
    except InvalidOfferError as error:
        raise ApiError(400, "invalid_offer", str(error)) from None
    except IceRestartError as error:
        raise ApiError(409, "ice_restart_refused", str(error)) from None
    except (CallsFullError, EndpointFullError) as error:
        raise no_capacity(error) from None
    except CallOverError:
        raise no_such_call() from None
    return web.json_response({"sdp": answer, "type": "answer", "pc_id": f"{call.id}.{call.resume_token}"})


async def _open(request: web.Request, sdp: str, wanted: Wanted) -> tuple[Call, str]:
    calls, client = registry(request), client_of(request)
    user_id = acting_user(request, wanted.user_id) or calls.defaults.user_id
    calls.check(client)
    beginning, options = await wanted_call(request, user_id, wanted.conversation_id, wanted)
    config = None
    if wanted.session is not None:
        config = SessionConfig.of_call(abilities_of(calls.engines), replace(calls.defaults, **options))
        config = updated(config, {"type": "realtime", **wanted.session})
        options |= config.options()

    def talk(call: Call, send: Callable[[Json], None]) -> RtviTalk:
        session = channel_session(call, config)
        return RtviTalk(session, send, user_id, session.hang_up)

    return await open_webrtc(calls, sdp, beginning, client, talk, **options)


def _wanted(data: Any) -> Wanted:
    """What a client says of the call; data of other kinds is for other servers.

    Raises:
        ApiError: 422, naming the field.
    """
    try:
        return Wanted.model_validate(data if isinstance(data, dict) else {})
    except ValidationError as error:
        details = [{"field": ".".join(map(str, e["loc"])), "message": e["msg"]} for e in error.errors()]
        raise ApiError(422, "invalid_request_data", f"requestData: {details[0]['message']}", details) from None


def _call_of(request: web.Request, pc_id: str) -> Call | None:
    """The call that a `pc_id` stands for; None where it has ended.

    Raises:
        ApiError: 403, there is a call and this is not its key.
    """
    call_id, _, token = pc_id.partition(".")
    if registry(request).find(call_id) is None:
        return None
    call = find_call(request, call_id)
    if not registry(request).may_resume(call, token):
        raise ApiError(403, "wrong_pc_id", "The pc_id is not the one of this call")
    return call


async def _add_candidates(request: web.Request, body: RtviCandidates) -> web.Response:
    call = _call_of(request, body.pc_id)
    if call is None:
        raise no_such_call()
    try:
        listed = [IceCandidate(c.candidate, c.sdp_mid, c.sdp_mline_index) for c in body.candidates]
        await webrtc_line(call).add_candidates(listed)
    except CallOverError:
        raise no_such_call() from None
    return web.json_response({"status": "success"})
