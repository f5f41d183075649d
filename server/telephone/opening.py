"""How a telephone line gets its call, whichever door it comes through."""

from collections.abc import Callable

from media.telephone_band import WireFormat
from server.calls.call import Call
from server.calls.registry import RETRY_S, CallsFullError
from server.calls.requests import begun_by
from server.http.errors import ApiError
from server.identity.principal import Principal
from server.telephone.desk import TelephoneDesk
from server.telephone.line import Carrier, TelephoneLine
from server.telephone.wishes import LineWishes

SOMEBODY = "telephone"
"""Whose a call is of which nobody says whose it is."""


async def open_line(
    desk: TelephoneDesk,
    principal: Principal,
    client: str,
    user_id: str | None,
    wishes: LineWishes,
    bridge_id: str,
    wire: WireFormat,
    make_carrier: Callable[[], Carrier],
) -> tuple[Call, TelephoneLine]:
    """A call that sound flows on from now on, until `Call.end`.

    Args:
        desk: of the server.
        principal: who opens it.
        client: who is counted for it, see `CallRegistry.reserve`.
        user_id: whose it is; None for callers of whom nothing is known.
        wishes: how it is to be; its language is known to be one.
        bridge_id: by which the bridge knows the call.
        wire: how its sound comes.
        make_carrier: the way to the bridge, once the call has its place.

    Raises:
        ApiError: 400 unknown voice, 404 somebody else's conversation, 422 "last" of nobody, 503 no further call can be
            taken.
    """
    calls = desk.calls
    try:
        calls.check(client)
        beginning, options = await begun_by(calls, principal, user_id or SOMEBODY, wishes.conversation_id, wishes)
        tools = desk.tools()
        options |= {"tools": tools.beside(calls.defaults.tools, calls.engines.llm), **desk.greeting}
        async with calls.reserve(beginning, client, **options) as call:
            line = TelephoneLine(call, make_carrier(), calls.endpoint.pacer, wire, bridge_id, desk.follow_ups)
            tools.line = line
            call.put_on(line)
            call.begin(desk.settings.telephone_longest_s)
            line.open()
    except CallsFullError as full:
        raise ApiError(503, "no_capacity", f"{full}; try again in {RETRY_S} seconds") from None
    return call, line
