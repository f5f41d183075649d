"""What a route takes and gives, said once: the same words validate requests and describe the API in OpenAPI."""

import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from aiohttp import web
from pydantic import BaseModel

from server.bounds import MAX_BODY, MAX_JSON_PARTS
from server.http.errors import read_json, read_query
from server.identity.scopes import Scope

JSON = "application/json"

Cost: TypeAlias = Literal["call", "work"]
"""What a request costs: a call takes a line, work an engine or the database for a while."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response that is no error.

    Attributes:
        about: what it means, for people.
        model: of a JSON body; None where there is none, or another kind.
        content: media types of bodies that are no JSON, such as "text/event-stream".
        headers: names of headers that say something, and what they say.
    """

    about: str
    model: type[BaseModel] | None = None
    content: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """A route as OpenAPI describes it; summary and description are the handler's docstring.

    Attributes:
        tag: group in the documentation.
        params: path and query parameters.
        body: a JSON body.
        body_limit: bytes, of the body of whatever type.
        body_values: values that a JSON body may have in it.
        uploads: media types of bodies that the handler reads by itself, beside or instead of JSON.
        upload_schema: schema of a multipart form among them.
        answers: by status.
        errors: statuses that the handler itself may answer with; those of validation and keys come by themselves.
        scope: that the principal must have (`server.identity.scopes`); a route that says none is for administrators,
            and fails a test.
        signed: a telephone provider's signature lets in, too, and a wrong one keeps out (`MORGAN_TWILIO_AUTH_TOKEN`).
        open: needs no key.
        cost: what is limited for each client (`server.http.rate_limits`); None costs next to nothing.
        socket: a WebSocket, which OpenAPI knows no word for: it is told of in the description of the whole.
    """

    tag: str
    params: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    body_limit: int = MAX_BODY
    uploads: tuple[str, ...] = ()
    upload_schema: Mapping[str, Any] | None = None
    answers: Mapping[int, Answer] = field(default_factory=dict)
    errors: tuple[int, ...] = ()
    open: bool = False
    socket: bool = False
    cost: Cost | None = None
    scope: Scope | None = None
    signed: bool = False
    body_values: int = MAX_JSON_PARTS


Routed = Callable[[web.Request], Awaitable[web.StreamResponse]]

_ATTRIBUTE = "__operation__"


def operation(
    tag: str,
    *,
    params: type[BaseModel] | None = None,
    body: type[BaseModel] | None = None,
    body_limit: int = MAX_BODY,
    uploads: tuple[str, ...] = (),
    upload_schema: Mapping[str, Any] | None = None,
    answers: Mapping[int, Answer] | None = None,
    errors: tuple[int, ...] = (),
    open: bool = False,  # noqa: A002
    socket: bool = False,
    cost: Cost | None = None,
    scope: Scope | None = None,
    signed: bool = False,
    body_values: int = MAX_JSON_PARTS,
) -> Callable[[Callable[..., Awaitable[web.StreamResponse]]], Routed]:
    """Describe a handler and validate for it; goes between the route and the handler.

    The handler gets the request, then what was validated by name: `params` where there are any, `body` where there is
    a JSON body and no `uploads` (a handler with uploads reads its body by itself, with `server.http.errors.read_json`
    where it is JSON).

    Args: see `Operation`.
    """
    described = Operation(
        tag,
        params,
        body,
        body_limit,
        uploads,
        upload_schema,
        answers or {},
        errors,
        open,
        socket,
        cost,
        scope,
        signed,
        body_values,
    )

    def decorate(handler: Callable[..., Awaitable[web.StreamResponse]]) -> Routed:
        @functools.wraps(handler)
        async def validated(request: web.Request) -> web.StreamResponse:
            given: dict[str, BaseModel] = {}
            if params is not None:
                given["params"] = read_query(request, params)
            if body is not None and not uploads:
                given["body"] = await read_json(request, body, body_limit, body_values)
            return await handler(request, **given)

        setattr(validated, _ATTRIBUTE, described)
        return validated

    return decorate


def operation_of(handler: object) -> Operation | None:
    """What `operation` said of a handler; None where it said nothing."""
    found = getattr(handler, _ATTRIBUTE, None)
    return found if isinstance(found, Operation) else None
