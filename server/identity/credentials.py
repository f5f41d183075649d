"""What somebody shows to be let in, wherever in a request it is."""

from aiohttp import hdrs, web

from server.identity.tokens import is_token

QUERY = "token"
"""Name of the query parameter that may carry a token: a browser's WebSocket has no headers. Never a key: addresses
are written down in too many places."""

SUBPROTOCOL = "openai-insecure-api-key."
"""With which OpenAI's clients put a key among the subprotocols of a WebSocket."""


def credential_of(request: web.Request) -> str | None:
    """The key, JWT or token of a request; None where it has none. An empty one is one."""
    authorization = request.headers.get(hdrs.AUTHORIZATION)
    if authorization is not None:
        scheme, _, shown = authorization.partition(" ")
        return shown.strip() if scheme.lower() == "bearer" else ""
    for offered in request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "").split(","):
        if offered.strip().startswith(SUBPROTOCOL):
            return offered.strip().removeprefix(SUBPROTOCOL)
    asked = request.query.get(QUERY, "")
    return asked if is_token(asked) else None
