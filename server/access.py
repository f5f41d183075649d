"""Who may use the API: whoever has one of the keys, where there are any."""

import hmac
from collections.abc import Sequence

from aiohttp import web
from aiohttp.typedefs import Middleware

from server.errors import ApiError, Handler

OPEN = ("/health", "/static/")
OPEN_EXACT = frozenset({"/", "/favicon.ico"})


def guard(keys: Sequence[str]) -> Middleware:
    """A middleware that lets in requests with one of the keys, and everybody to the page and `/health`.

    Args:
        keys: the keys; without any, everybody on this machine is let in (the server listens on loopback only).
    """
    known = [key.encode() for key in keys]

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if known and not _is_open(request.path) and not _has_key(request, known):
            headers = {"WWW-Authenticate": "Bearer"}
            message = "This server asks for a key: send it as `Authorization: Bearer <key>`"
            raise ApiError(401, "unauthorized", message, headers=headers)
        return await handler(request)

    return middleware


def _is_open(path: str) -> bool:
    return path in OPEN_EXACT or path.startswith(OPEN)


def _has_key(request: web.Request, known: Sequence[bytes]) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    # Every key is compared, so that the time taken tells nothing.
    matches = [hmac.compare_digest(given.strip().encode(), key) for key in known]
    return scheme.lower() == "bearer" and any(matches)
