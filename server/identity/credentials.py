"""The credential of a request, wherever in it that is."""

import base64
import binascii

from aiohttp import hdrs, web

from server.identity.tokens import is_token

QUERY = "token"
"""Name of the query parameter, or of the part of a path, that may carry a token: a browser's WebSocket has no headers.
Never a key: addresses are written down in too many places."""

API_KEY = "api-key"
"""The header in which clients of Azure's OpenAI show a key."""

SUBPROTOCOL = "openai-insecure-api-key."
"""With which OpenAI's clients put a key among the subprotocols of a WebSocket."""


def credential_of(request: web.Request) -> str | None:
    """The key, JWT or token of a request; None where it has none. An empty one is one."""
    authorization = request.headers.get(hdrs.AUTHORIZATION)
    if authorization is not None:
        scheme, _, shown = authorization.partition(" ")
        match scheme.lower():
            case "bearer":
                return shown.strip()
            case "basic":
                return _password(shown.strip())
        return ""
    if API_KEY in request.headers:
        return request.headers[API_KEY].strip()
    for offered in request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "").split(","):
        if offered.strip().startswith(SUBPROTOCOL):
            return offered.strip().removeprefix(SUBPROTOCOL)
    # Twilio takes no query in the address of a stream.
    asked = request.query.get(QUERY) or request.match_info.get(QUERY, "")
    return asked if is_token(asked) else None


def _password(basic: str) -> str:
    """What is shown as a password (RFC 7617): webhooks of telephone providers have no other way. Any name will do."""
    try:
        return base64.b64decode(basic, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
