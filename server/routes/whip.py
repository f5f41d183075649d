"""`/whip`: calls for whatever speaks WHIP (RFC 9725). One extension: who offers to receive, too, hears Morgan."""

from typing import Annotated

from aiohttp import web
from multidict import CIMultiDict
from pydantic import BaseModel, ConfigDict, Field

from media.values import InvalidOfferError
from server.bounds import MAX_BODY, MAX_INSTRUCTIONS
from server.calls.call import CallOverError
from server.calls.ice_servers import ice_servers_for, link_headers
from server.calls.registry import CallsFullError
from server.calls.requests import registry, wanted_call
from server.calls.trickle import SDPFRAG, apply_fragment
from server.calls.webrtc_line import open_webrtc
from server.http.acting import acting_user
from server.http.errors import ApiError, read_body
from server.http.fields import ConversationId, Language, UserId
from server.http.operation import Answer, operation
from server.http.rate_limits import client_of
from server.routes.calls import OneCall, find_call, no_capacity, no_such_call, webrtc_line

SDP = "application/sdp"

ACCEPTED = {"Accept-Post": SDP}

routes = web.RouteTableDef()


class WhipCall(BaseModel):
    """How the call is to be: WHIP has no place for it but the address."""

    model_config = ConfigDict(extra="forbid")

    user_id: UserId | None = None
    conversation_id: ConversationId | None = None
    language: Language | None = None
    voice: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    instructions: Annotated[str, Field(max_length=MAX_INSTRUCTIONS)] | None = None


@routes.post("/whip")
@operation(
    "calls",
    scope="calls",
    cost="call",
    params=WhipCall,
    uploads=(SDP,),
    body_limit=MAX_BODY,
    answers={
        201: Answer(
            "The SDP answer, with all candidates",
            content=(SDP,),
            headers={
                "Location": "Its address, for PATCH and DELETE",
                "ETag": "Of its ICE session, for If-Match",
                "Link": "ICE servers, where there are some",
            },
        )
    },
    errors=(400, 404, 413, 415, 503),
)
async def publish(request: web.Request, params: WhipCall) -> web.Response:
    """Take a call over WHIP: an SDP offer in, the answer out.

    An offer that is sendonly gets a call that is heard and written down, one that is sendrecv hears Morgan as well.
    """
    if request.content_type != SDP:
        raise ApiError(415, "unsupported_media_type", f"Send the offer as {SDP}", headers=ACCEPTED)
    try:
        offer = (await read_body(request, MAX_BODY)).decode()
    except UnicodeDecodeError:
        raise ApiError(400, "invalid_offer", "The offer is not UTF-8 text") from None
    calls, client = registry(request), client_of(request)
    user_id = acting_user(request, params.user_id) or calls.defaults.user_id
    try:
        calls.check(client)
        beginning, options = await wanted_call(request, user_id, params.conversation_id, params)
        call, answer = await open_webrtc(calls, offer, beginning, client, **options)
    except InvalidOfferError as error:
        raise ApiError(400, "invalid_offer", str(error)) from None
    except CallsFullError as error:
        raise no_capacity(error) from None
    headers = CIMultiDict({"Location": f"/whip/{call.id}", "ETag": webrtc_line(call).ice_tag, "Content-Type": SDP})
    headers.extend(link_headers(ice_servers_for(request)))
    return web.Response(body=answer.encode(), status=201, headers=headers)


@routes.options("/whip")
@operation(
    "calls",
    scope="calls",
    answers={200: Answer("What is taken", headers={"Accept-Post": SDP, "Link": "ICE servers, where there are some"})},
)
async def whip_options(request: web.Request) -> web.Response:
    """What WHIP takes here, and the ICE servers for clients that want them before they make an offer."""
    return web.Response(headers=CIMultiDict([*ACCEPTED.items(), *link_headers(ice_servers_for(request))]))


@routes.get("/whip")
@operation("calls", scope="calls", answers={204: Answer("Nothing to see", headers={"Accept-Post": SDP})})
async def whip_nothing(_: web.Request) -> web.Response:
    """Nothing: RFC 9725 keeps GET of an endpoint for later."""
    return web.Response(status=204, headers=ACCEPTED)


@routes.get("/whip/{call_id}")
@operation("calls", scope="calls", params=OneCall, answers={204: Answer("The call stands")}, errors=(404,))
async def whip_call(request: web.Request, params: OneCall) -> web.Response:
    """Whether the call stands."""
    return web.Response(status=204, headers={"ETag": webrtc_line(find_call(request, params.call_id)).ice_tag})


@routes.patch("/whip/{call_id}")
@operation(
    "calls",
    scope="calls",
    cost="work",
    params=OneCall,
    uploads=(SDPFRAG,),
    answers={
        200: Answer("ICE begins anew: our credentials", content=(SDPFRAG,), headers={"ETag": "Of the new ICE session"}),
        204: Answer("The candidates were added"),
    },
    errors=(400, 404, 409, 412, 413, 415, 428),
)
async def whip_patch(request: web.Request, params: OneCall) -> web.Response:
    """Trickle ICE, with the ETag in If-Match; or restart ICE: other credentials, with If-Match: *.

    After a restart sound goes by the old path until there is a new one; without one everything stays as it was.
    """
    line = webrtc_line(find_call(request, params.call_id))
    if request.content_type != SDPFRAG:
        message = f"Send candidates and credentials as {SDPFRAG}"
        raise ApiError(415, "unsupported_media_type", message, headers={"Accept-Patch": SDPFRAG})
    try:
        return await apply_fragment(request, line, needs_tag=True)
    except CallOverError:
        raise no_such_call() from None


@routes.delete("/whip/{call_id}")
@operation("calls", scope="calls", params=OneCall, answers={200: Answer("The call is over")}, errors=(404,))
async def whip_delete(request: web.Request, params: OneCall) -> web.Response:
    """Hang up."""
    await find_call(request, params.call_id).end("hangup")
    return web.Response()
