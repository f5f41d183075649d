"""Tickets that come with requests: how urgent the work of this process is for the caller in another one.

Only the services take them, and of cores only (the scope "service"): to anybody else their own work would be urgent.
The headers are those of `pipeline.engines.remote.reply`.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from pipeline.engines.remote.reply import DEADLINE, TICKET, URGENCY
from pipeline.scheduling.lanes import Ticket, Urgency
from server.bounds import MAX_SMALL_BODY
from server.http.errors import ApiError
from server.http.operation import Answer, operation
from server.identity.principal import principal_of

LONGEST_NAME = 64

LONGEST_MS = 3_600_000

UrgencyName = Literal[
    "first_audio", "running_dry", "final_transcript", "speculation", "interim", "look_ahead", "background"
]

TICKETS: web.AppKey[dict[str, Ticket]] = web.AppKey("tickets", dict)
"""Of the work in hand, by the name that its sender gave it; gone with their requests. The core has none."""

routes = web.RouteTableDef()


class TicketPath(BaseModel):
    """Which piece of work."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=LONGEST_NAME)]


class TicketChange(BaseModel):
    """How urgent it is from now on, and whether there is enough of it for now."""

    model_config = ConfigDict(extra="forbid")

    urgency: UrgencyName
    deadline_ms: Annotated[int, Field(ge=-LONGEST_MS, le=LONGEST_MS)] | None = None
    resting: bool = False


@routes.post("/tickets/{name}")
@operation(
    "tickets",
    scope="service",
    params=TicketPath,
    body=TicketChange,
    body_limit=MAX_SMALL_BODY,
    answers={204: Answer("Taken in")},
    errors=(404,),
)
async def change_ticket(request: web.Request, params: TicketPath, body: TicketChange) -> web.Response:
    """Change the urgency of work that is under way, by the name in its `X-Morgan-Ticket`."""
    ticket = request.app[TICKETS].get(params.name)
    if ticket is None:
        raise ApiError(404, "unknown_ticket", "No work of this name is under way; it may be done by now")
    _set(ticket, body)
    return web.Response(status=204)


@contextmanager
def asked_ticket(request: web.Request) -> Iterator[Ticket]:
    """The ticket that a request comes with, `Urgency.BACKGROUND` by default; cancelled when the context is left.

    Raises:
        ApiError: 422, the headers do not fit.
    """
    ticket, name = Ticket(), request.headers.get(TICKET, "")
    tickets = request.app.get(TICKETS) if principal_of(request).may("service") else None
    if tickets is not None and URGENCY in request.headers:
        _set(ticket, _change(request))
    if len(name) > LONGEST_NAME:
        raise _misfit(TICKET, f"may have at most {LONGEST_NAME} characters")
    if tickets is not None and name:
        tickets[name] = ticket
    try:
        yield ticket
    finally:
        ticket.cancel()
        if tickets is not None and tickets.get(name) is ticket:
            del tickets[name]


def _change(request: web.Request) -> TicketChange:
    urgency, due = request.headers[URGENCY].lower(), request.headers.get(DEADLINE)
    if urgency.upper() not in Urgency.__members__:
        raise _misfit(URGENCY, f"known are {', '.join(each.name.lower() for each in Urgency)}")
    try:
        deadline = None if due is None else max(-LONGEST_MS, min(int(due[:12]), LONGEST_MS))
    except ValueError:
        raise _misfit(DEADLINE, "must be a number of milliseconds") from None
    return TicketChange.model_validate({"urgency": urgency, "deadline_ms": deadline})


def _set(ticket: Ticket, change: TicketChange) -> None:
    ticket.urgency = Urgency[change.urgency.upper()]
    if change.deadline_ms is not None:
        ticket.deadline = time.monotonic() + change.deadline_ms / 1000
    ticket.resting = change.resting


def _misfit(header: str, problem: str) -> ApiError:
    return ApiError(422, "invalid_header", f"{header}: {problem}", [{"field": header, "message": problem}])
