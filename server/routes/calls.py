"""`/api/calls`: signaling for calls over WebRTC."""

from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from media.endpoint import EndpointFullError
from media.values import IceCandidate, IceRestartError, InvalidOfferError
from server.app_keys import SETTINGS
from server.bounds import MAX_BODY, MAX_INSTRUCTIONS
from server.calls.call import Call, CallOverError
from server.calls.ice_servers import TurnServers, ice_servers_for
from server.calls.registry import DRAIN_RETRY_S, RETRY_S, CallsFullError, DrainingError, HalfOpenError
from server.calls.requests import registry, taken_over, wanted_call
from server.calls.trickle import SDPFRAG, apply_fragment
from server.calls.webrtc_line import WebRtcLine, open_webrtc
from server.http.acting import acting_user
from server.http.errors import ApiError, parse_json, read_body, require_json
from server.http.fields import ConversationId, Language, UserId
from server.http.operation import Answer, operation
from server.http.rate_limits import client_of, too_many
from server.identity.principal import principal_of
from server.memory.door import MEMORY

routes = web.RouteTableDef()

Sdp = Annotated[str, Field(min_length=1, max_length=MAX_BODY)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewCall(_Request):
    """An offer for a new call."""

    sdp: Sdp
    type: Literal["offer"]
    user_id: UserId | None = None
    conversation_id: ConversationId | None = None
    language: Language | None = None
    voice: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    instructions: Annotated[str, Field(max_length=MAX_INSTRUCTIONS)] | None = None
    record_inputs: bool = False


class Candidate(BaseModel):
    """One trickled candidate, as browsers serialise it."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    candidate: Annotated[str, Field(max_length=1024)]
    sdp_mid: Annotated[str | None, Field(alias="sdpMid", max_length=64)] = None
    sdp_mline_index: Annotated[int | None, Field(alias="sdpMLineIndex", ge=0, le=64)] = None


class MoreCandidates(_Request):
    """Candidates that trickled in."""

    candidates: Annotated[list[Candidate], Field(max_length=64)]


class NewConnection(_Request):
    """An offer for a new connection of the same call."""

    sdp: Sdp
    type: Literal["offer"]
    resume_token: Annotated[str, Field(max_length=128)]


class CallChange(RootModel[MoreCandidates | NewConnection]):
    """More candidates, or a new connection."""


class OneCall(_Request):
    """Which call."""

    call_id: Annotated[str, Field(min_length=1, max_length=64)]


class OpenedCall(BaseModel):
    """A call that was taken. Its `resume_token` lets the caller bring it onto a new connection."""

    call_id: str
    sdp: str
    type: Literal["answer"]
    conversation_id: str
    resume_token: str
    ice_servers: list[dict[str, Any]]


class MovedCall(BaseModel):
    """The answer for a new connection of a call."""

    call_id: str
    sdp: str
    type: Literal["answer"]


class ListedCall(BaseModel):
    """An open call."""

    call_id: str
    user_id: str
    conversation_id: str
    kind: Literal["call", "ws", "realtime", "telephone"]
    state: str
    duration_s: float


class ListedCalls(BaseModel):
    """The open calls."""

    calls: list[ListedCall]


class ShownTurn(BaseModel):
    """An entry of the conversation; stages in milliseconds, they sum to `voice_to_voice_ms`."""

    item_id: str
    role: Literal["user", "assistant"]
    text: str
    interrupted: bool
    voice_to_voice_ms: float | None
    stages: dict[str, float]


class ShownCall(BaseModel):
    """A call over WebRTC ("call"), `/ws/audio` ("ws"), a Realtime WebSocket ("realtime") or a telephone line.

    `media` are statistics of its connection; those of WebRTC are named after W3C webrtc-stats.
    """

    call_id: str
    user_id: str
    conversation_id: str
    kind: Literal["call", "ws", "realtime", "telephone"]
    state: str
    started_at: str
    duration_s: float
    turns: list[ShownTurn]
    events_dropped: int
    counts: dict[str, int]
    media: dict[str, float | None]


class IceServers(BaseModel):
    """As RTCPeerConnection takes them; credentials of TURN servers are good for `ttl_s` seconds, null without any."""

    ice_servers: list[dict[str, Any]]
    ttl_s: int | None


def find_call(request: web.Request, call_id: str) -> Call:
    """An open call of the principal.

    Raises:
        ApiError: 404.
    """
    call = registry(request).find(call_id)
    if call is None or not principal_of(request).reaches(call.options.user_id):
        raise no_such_call()
    return call


def no_such_call() -> ApiError:
    return ApiError(404, "call_not_found", "There is no such call, or it has ended")


def no_capacity(error: Exception) -> ApiError:
    if isinstance(error, HalfOpenError):
        return too_many("too_many_half_open", str(error), RETRY_S)
    if isinstance(error, DrainingError):
        return ApiError(503, "draining", str(error), headers={"Retry-After": str(DRAIN_RETRY_S)})
    return ApiError(503, "no_capacity", str(error), headers={"Retry-After": str(RETRY_S)})


@routes.post("/api/calls")
@operation(
    "calls",
    scope="calls",
    cost="call",
    body=NewCall,
    body_limit=MAX_BODY,
    answers={201: Answer("The call stands as soon as its media does", OpenedCall, headers={"Location": "Its address"})},
    errors=(400, 404, 503),
)
async def open_call(request: web.Request, body: NewCall) -> web.Response:
    """Take a call: an SDP offer in, the answer out.

    With a conversation_id (a uuid, or "last") the call goes on with that conversation. A call that is not connected
    within ten seconds ends. With record_inputs what the call is told is written down, where the server does that.
    """
    calls, client = registry(request), client_of(request)
    user_id = acting_user(request, body.user_id) or calls.defaults.user_id
    try:
        # Nothing is read for a client that is refused anyway.
        calls.check(client)
        recorded = _recorded(request, body)
        beginning, options = await wanted_call(request, user_id, body.conversation_id, body)
        options |= recorded
        call, answer = await open_webrtc(calls, body.sdp, beginning, client, **options)
    except InvalidOfferError as error:
        raise ApiError(400, "invalid_offer", str(error)) from None
    except CallsFullError as error:
        raise no_capacity(error) from None
    return web.json_response(
        {
            "call_id": call.id,
            "sdp": answer,
            "type": "answer",
            "conversation_id": call.options.conversation_id,
            "resume_token": call.resume_token,
            "ice_servers": ice_servers_for(request),
        },
        status=201,
        headers={"Location": f"/api/calls/{call.id}"},
    )


def _recorded(request: web.Request, body: NewCall) -> dict[str, bool]:
    """The options by which the inputs of a call are recorded, where it asks for that.

    Raises:
        ApiError: 400 the server does not do that, 503 there is no memory now.
    """
    if not body.record_inputs:
        return {}
    if request.app[SETTINGS].record_inputs == "never":
        told = "MORGAN_RECORD_INPUTS=asked (or morgan serve --record-inputs asked) lets callers ask for it"
        raise ApiError(400, "inputs_not_recorded", f"This server records no inputs of calls; {told}")
    request.app[MEMORY].opened()
    return {"record_inputs": True}


@routes.patch("/api/calls/{call_id}")
@operation(
    "calls",
    scope="calls",
    cost="work",
    params=OneCall,
    body=CallChange,
    body_limit=MAX_BODY,
    uploads=(SDPFRAG,),
    answers={
        200: Answer("The answer for the new connection, or our ICE credentials", MovedCall, content=(SDPFRAG,)),
        204: Answer("The candidates were added"),
    },
    errors=(400, 403, 404, 409, 412, 503),
)
async def change_call(request: web.Request, params: OneCall) -> web.Response:
    """Add candidates, or bring the call onto a new connection.

    The call moves once the new connection stands; until then, and if it never does, it goes on over the one before.
    A further offer takes the place of one that does not stand yet. Another ICE username fragment begins ICE anew. A
    call that a restart has ended goes on here, under the same id; a server that is going down answers 503: the one that
    follows has the call then.
    """
    if registry(request).find(params.call_id) is None:
        return await _take_over(request, params.call_id)
    call = find_call(request, params.call_id)
    line = webrtc_line(call)
    try:
        if request.content_type == SDPFRAG:
            return await apply_fragment(request, line)
        require_json(request)
        body = await read_body(request, MAX_BODY)
        change = _parse_change(body)
        if isinstance(change, MoreCandidates):
            listed = [IceCandidate(c.candidate, c.sdp_mid, c.sdp_mline_index) for c in change.candidates]
            await line.add_candidates(listed)
            return web.Response(status=204)
        if not registry(request).may_resume(call, change.resume_token):
            raise _wrong_token()
        answer = await line.connect(change.sdp)
    except InvalidOfferError as error:
        raise ApiError(400, "invalid_offer", str(error)) from None
    except IceRestartError as error:
        raise ApiError(409, "ice_restart_refused", str(error)) from None
    except EndpointFullError as error:
        raise no_capacity(error) from None
    except CallOverError:
        raise no_such_call() from None
    return web.json_response({"call_id": call.id, "sdp": answer, "type": "answer"})


async def _take_over(request: web.Request, call_id: str) -> web.Response:
    """Go on with a call that the process before has left.

    Raises:
        ApiError: 400, 403, 404, 503 as `change_call`.
    """
    calls = registry(request)
    if calls.handed_over.given(call_id):
        raise no_capacity(DrainingError())
    handed = await calls.handed_over.find(call_id)
    if handed is None or request.content_type == SDPFRAG or not principal_of(request).reaches(handed.user_id):
        raise no_such_call()
    require_json(request)
    change = _parse_change(await read_body(request, MAX_BODY))
    if isinstance(change, MoreCandidates):
        raise no_such_call()
    if not handed.takes(change.resume_token):
        raise _wrong_token()
    try:
        call, answer = await taken_over(request, handed, change.resume_token, change.sdp)
    except InvalidOfferError as error:
        raise ApiError(400, "invalid_offer", str(error)) from None
    except CallsFullError as error:
        raise no_capacity(error) from None
    except CallOverError:
        raise no_such_call() from None
    return web.json_response({"call_id": call.id, "sdp": answer, "type": "answer"})


def _wrong_token() -> ApiError:
    return ApiError(403, "wrong_resume_token", "The resume token is not the one of this call")


def _parse_change(body: bytes) -> MoreCandidates | NewConnection:
    """The body of a PATCH: which of the two it is decides what its errors are about."""
    try:
        return CallChange.model_validate_json(body).root
    except ValidationError:
        if b'"candidates"' in body:
            return parse_json(body, MoreCandidates)
        return parse_json(body, NewConnection)


def webrtc_line(call: Call) -> WebRtcLine:
    """The line of a call over WebRTC.

    Raises:
        ApiError: 409, the call is on another one.
    """
    if not isinstance(call.line, WebRtcLine):
        raise ApiError(409, "not_webrtc", "This call is on a WebSocket: there is no WebRTC connection to change")
    return call.line


@routes.get("/api/calls")
@operation("calls", scope="read", answers={200: Answer("The open calls", ListedCalls)})
async def list_calls(request: web.Request) -> web.Response:
    """The open calls, those of its user where the key or token is bound to one."""
    principal = principal_of(request)
    calls = [
        {
            "call_id": call.id,
            "user_id": call.options.user_id,
            "conversation_id": call.options.conversation_id,
            "kind": call.kind,
            "state": call.state.value,
            "duration_s": round(call.record.seconds(), 3),
        }
        for call in registry(request).active
        if principal.reaches(call.options.user_id)
    ]
    return web.json_response({"calls": calls})


@routes.get("/api/calls/{call_id}")
@operation("calls", scope="calls", params=OneCall, answers={200: Answer("The call", ShownCall)}, errors=(404,))
async def show_call(request: web.Request, params: OneCall) -> web.Response:
    """State, turns, latency of each stage, media statistics."""
    return web.json_response(find_call(request, params.call_id).describe())


@routes.delete("/api/calls/{call_id}")
@operation("calls", scope="calls", params=OneCall, answers={204: Answer("The call is over")}, errors=(404,))
async def hang_up(request: web.Request, params: OneCall) -> web.Response:
    """Hang up."""
    await find_call(request, params.call_id).end("hangup")
    return web.Response(status=204)


@routes.get("/api/ice-servers")
@operation("calls", scope="calls", answers={200: Answer("ICE servers", IceServers)})
async def ice_servers(request: web.Request) -> web.Response:
    """ICE servers for callers; none are needed while the media port can be reached."""
    turn, servers = TurnServers.of(request.app[SETTINGS]), ice_servers_for(request)
    return web.json_response({"ice_servers": servers, "ttl_s": turn.ttl_s if servers else None})
