"""How a session of the Realtime API begins: what a request, its key and the server say of it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from pipeline.call.options import CallOptions
from server.calls.requests import fixed_options, registry
from server.conversations.beginnings import Beginning, begin_for
from server.http.acting import acting_user
from server.http.errors import ApiError
from server.identity.principal import principal_of
from server.memory.door import MEMORY
from server.realtime.abilities import abilities_of
from server.realtime.errors import RealtimeError
from server.realtime.session_config import SessionConfig

UNASKED = ("greeting", "shutdown_prompt", "short_replies")
"""Options of a call that have it say more, or less, than its client and the language model want."""


def session_defaults(options: CallOptions) -> CallOptions:
    """Options of calls whose clients expect nothing to be said of the server's own accord."""
    return replace(
        options,
        tools=options.tools.now(),
        greeting="",
        shutdown_prompt="",
        short_replies=False,
        turn_taking=replace(options.turn_taking, idle_prompt_s=0.0),
    )


def opening(request: web.Request, *sessions: Mapping[str, Any] | None) -> SessionConfig:
    """The configuration that a session begins with.

    Args:
        request: of the client.
        sessions: what the request says of it, the last word last; what the client's secret is bound to goes before.

    Raises:
        ApiError: 400, something in it is not to be had.
    """
    calls = registry(request)
    options = replace(session_defaults(calls.defaults), **fixed_options(calls, principal_of(request)))
    config = SessionConfig.of_call(abilities_of(calls.engines), options)
    for session in (principal_of(request).session, *sessions):
        if session is not None:
            config = updated(config, session)
    return config


def updated(config: SessionConfig, session: Mapping[str, Any]) -> SessionConfig:
    """A configuration with what a request says of it.

    Raises:
        ApiError: 400.
    """
    try:
        return config.update(dict(session))
    except RealtimeError as error:
        details = [{"field": error.param, "message": error.message}]
        raise ApiError(400, error.code, error.message, details) from None


async def beginning_of(request: web.Request, config: SessionConfig) -> tuple[Beginning, dict[str, Any]]:
    """What the call of a session begins with, and its options.

    Raises:
        ApiError: 404, the conversation that the client's token says is somebody else's.
    """
    user_id = acting_user(request, None) or registry(request).defaults.user_id
    conversation_id = principal_of(request).options.get("conversation_id")
    beginning = await begin_for(request.app[MEMORY].memory, user_id, conversation_id)
    unasked = {name: getattr(config.defaults, name) for name in UNASKED}
    return beginning, {"user_id": user_id, **unasked, **config.options(), "fixed": config.defaults.fixed}
