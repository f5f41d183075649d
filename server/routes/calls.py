"""`/api/calls`: signaling for calls over WebRTC."""

import asyncio
from typing import Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from media.values import IceCandidate, InvalidOfferError
from persistence.memory import Memory
from server.beginnings import Beginning, ForeignConversationError, begin, preferred
from server.calls import Call, CallRegistry, CallsFullError
from server.errors import ApiError, parse_json, read_body, read_json
from server.fields import ConversationId, Language, UserId
from server.memory_door import MEMORY

MAX_BODY = 64 * 1024
"""Bytes of a signaling body."""

REGISTRY: web.AppKey[CallRegistry] = web.AppKey("registry", CallRegistry)

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
    instructions: Annotated[str, Field(max_length=16_000)] | None = None


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


CallChange: TypeAdapter[MoreCandidates | NewConnection] = TypeAdapter(MoreCandidates | NewConnection)


def registry(request: web.Request) -> CallRegistry:
    """The calls of this process."""
    return request.app[REGISTRY]


def find_call(request: web.Request) -> Call:
    """The call named in the path.

    Raises:
        ApiError: 404.
    """
    call = registry(request).find(request.match_info["call_id"])
    if call is None:
        raise ApiError(404, "call_not_found", "There is no such call, or it has ended")
    return call


@routes.post("/api/calls")
async def open_call(request: web.Request) -> web.Response:
    """Take a call."""
    body = await read_json(request, NewCall, MAX_BODY)
    options = body.model_dump(include={"user_id", "language", "instructions"}, exclude_none=True)
    options["voice"] = known_voice(request, body.voice)
    if body.voice is None:
        del options["voice"]
    user_id = body.user_id or registry(request).defaults.user_id
    memory = request.app[MEMORY].memory
    beginning, preferences = await asyncio.gather(
        begin_for(memory, user_id, body.conversation_id),
        preferred(memory, user_id, [voice.id for voice in registry(request).engines.tts.voices]),
    )
    try:
        call, answer = await registry(request).open(body.sdp, beginning, **{**preferences, **options})
    except InvalidOfferError as error:
        raise ApiError(400, "invalid_offer", str(error)) from None
    except CallsFullError as error:
        raise ApiError(503, "no_capacity", str(error), headers={"Retry-After": "5"}) from None
    return web.json_response(
        {
            "call_id": call.id,
            "sdp": answer,
            "type": "answer",
            "conversation_id": call.options.conversation_id,
            "resume_token": call.resume_token,
            "ice_servers": [],
        },
        status=201,
        headers={"Location": f"/api/calls/{call.id}"},
    )


async def begin_for(memory: Memory | None, user_id: str, wanted: str | None) -> Beginning:
    """The conversation that a request wants.

    Raises:
        ApiError: 404 when it is somebody else's.
    """
    try:
        return await begin(memory, user_id, wanted)
    except ForeignConversationError:
        raise ApiError(404, "conversation_not_found", "This user has no such conversation") from None


def known_voice(request: web.Request, voice: str | None) -> str | None:
    """A voice id, None for the default.

    Raises:
        ApiError: 400 naming the known ones.
    """
    known = [known.id for known in registry(request).engines.tts.voices]
    if voice is None or voice == "default":
        return None
    if voice not in known:
        raise ApiError(400, "unknown_voice", f"There is no voice {voice}; known: default, {', '.join(known)}")
    return voice


@routes.patch("/api/calls/{call_id}")
async def change_call(request: web.Request) -> web.Response:
    """Add candidates, or bring the call onto a new connection."""
    call = find_call(request)
    body = await read_body(request, MAX_BODY)
    if request.content_type == "application/trickle-ice-sdpfrag":
        await _add_candidates(call, parse_sdpfrag(body))
        return web.Response(status=204)
    change = _parse_change(body)
    if isinstance(change, MoreCandidates):
        listed = [IceCandidate(c.candidate, c.sdp_mid, c.sdp_mline_index) for c in change.candidates]
        await _add_candidates(call, listed)
        return web.Response(status=204)
    if not registry(request).may_resume(call, change.resume_token):
        raise ApiError(403, "wrong_resume_token", "The resume token is not the one of this call")
    try:
        answer = await call.connect(change.sdp)
    except InvalidOfferError as error:
        raise ApiError(400, "invalid_offer", str(error)) from None
    return web.json_response({"call_id": call.id, "sdp": answer, "type": "answer"})


def _parse_change(body: bytes) -> MoreCandidates | NewConnection:
    """The body of a PATCH: which of the two it is decides what its errors are about."""
    try:
        return CallChange.validate_json(body)
    except ValidationError:
        if b'"candidates"' in body:
            return parse_json(body, MoreCandidates)
        return parse_json(body, NewConnection)


async def _add_candidates(call: Call, candidates: list[IceCandidate]) -> None:
    if call.peer is not None:
        await call.peer.add_candidates(candidates)


def parse_sdpfrag(body: bytes) -> list[IceCandidate]:
    """The candidates in a trickle ICE SDP fragment (RFC 8840 section 9).

    Raises:
        ApiError: 400 when it is not text.
    """
    try:
        lines = body.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise ApiError(400, "invalid_sdpfrag", "The fragment is not UTF-8 text") from None
    mid: str | None = None
    found: list[IceCandidate] = []
    for line in lines:
        if line.startswith("a=mid:"):
            mid = line.removeprefix("a=mid:").strip()
        elif line.startswith("a=candidate:"):
            found.append(IceCandidate(line.removeprefix("a=").strip(), mid))
        elif line.strip() == "a=end-of-candidates":
            found.append(IceCandidate("", mid))
    return found[:64]


@routes.get("/api/calls")
async def list_calls(request: web.Request) -> web.Response:
    """The open calls."""
    calls = [
        {
            "call_id": call.id,
            "user_id": call.options.user_id,
            "conversation_id": call.options.conversation_id,
            "state": call.state.value,
            "duration_s": round(call.record.seconds(), 3),
        }
        for call in registry(request).active
    ]
    return web.json_response({"calls": calls})


@routes.get("/api/calls/{call_id}")
async def show_call(request: web.Request) -> web.Response:
    """State, turns, latency of each stage, media statistics."""
    return web.json_response(find_call(request).describe())


@routes.delete("/api/calls/{call_id}")
async def hang_up(request: web.Request) -> web.Response:
    """Hang up."""
    await find_call(request).end("hangup")
    return web.Response(status=204)


@routes.get("/api/ice-servers")
async def ice_servers(_: web.Request) -> web.Response:
    """ICE servers for callers; none are needed while the media port can be reached."""
    return web.json_response({"ice_servers": []})
