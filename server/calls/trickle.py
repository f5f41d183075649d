"""What a client's `application/trickle-ice-sdpfrag` does to a call, the same on every door (RFC 9725 section 4.3).

The entity tag of a call names its ICE session. `If-Match` guards against a fragment that comes too late: candidates of
before a restart are refused. Other credentials than before restart ICE and are answered with ours.
"""

import re

from aiohttp import web

from media.sdp_fragment import parse_fragment
from media.values import IceRestartError, InvalidOfferError
from server.bounds import MAX_BODY
from server.calls.webrtc_line import WebRtcLine
from server.http.errors import ApiError, read_body

SDPFRAG = "application/trickle-ice-sdpfrag"

ANY = frozenset({"*", '"*"'})
"""RFC 9725 shows it in quotes, RFC 9110 without."""

_TAG = re.compile(r'(?:W/)?"[^"]*"|\*')


async def apply_fragment(request: web.Request, line: WebRtcLine, *, needs_tag: bool = False) -> web.Response:
    """Add candidates (204), or restart ICE (200 with our fragment).

    Args:
        request: with the fragment as its body.
        line: of the call.
        needs_tag: whether `If-Match` has to be there, as WHIP demands.

    Raises:
        ApiError: 400 malformed, 409 a connection that cannot begin anew, 412 of another ICE session, 428 no `If-Match`.
        CallOverError: the call has ended.
    """
    try:
        fragment = parse_fragment((await read_body(request, MAX_BODY)).decode())
    except UnicodeDecodeError:
        raise ApiError(400, "invalid_sdpfrag", "The fragment is not UTF-8 text") from None
    except InvalidOfferError as error:
        raise ApiError(400, "invalid_sdpfrag", str(error)) from None
    tags = _TAG.findall(request.headers.get("If-Match", ""))
    if needs_tag and not tags:
        raise ApiError(428, "if_match_required", "Send If-Match with the ETag of the call; * where ICE is restarted")
    if tags and ANY.isdisjoint(tags) and line.ice_tag not in tags:
        message = "This belongs to an ICE session of before a restart; the ETag of the last answer names the one of now"
        raise ApiError(412, "other_ice_session", message)
    if not line.restarts_ice(fragment):
        await line.add_candidates(list(fragment.candidates))
        return web.Response(status=204)
    try:
        ours = await line.restart_ice(fragment)
    except IceRestartError as error:
        raise ApiError(409, "ice_restart_refused", str(error)) from None
    return web.Response(body=ours.encode(), content_type=SDPFRAG, headers={"ETag": line.ice_tag})
