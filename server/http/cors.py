"""Which web pages may use the API: our own, and those of the allowed origins.

A browser lets any page that its user visits send requests to a server on the same machine. Their origin gives them
away (https://fetch.spec.whatwg.org/#origin-header), and so does the host name of a page whose name was pointed at
127.0.0.1 after it was loaded (DNS rebinding).
"""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from server.addresses import host_name, is_loopback
from server.http.errors import ApiError, Handler
from server.http.guard import is_open

WEB = ("https://", "http://")
"""How origins of pages begin; those of apps and extensions (tauri, capacitor, chrome-extension) have other schemes."""

SAFE = frozenset({"GET", "HEAD"})

FOREIGN_SITES = frozenset({"cross-site", "same-site"})
"""Values of Sec-Fetch-Site (https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header); the same site is no friend:
other ports of localhost are on it."""

METHODS = "GET, POST, PUT, PATCH, DELETE"
HEADERS = "Authorization, Content-Type"
"""Where a preflight names none; those that it names are allowed: SDKs send many of their own (`x-stainless-*`)."""

EXPOSED = "Location, Link, ETag, Retry-After, Content-Disposition"
PREFLIGHT_S = 600

_NAMES = re.compile(r"[A-Za-z0-9_-]+(?:\s*,\s*[A-Za-z0-9_-]+)*")


class Origins:
    """Decides which origins and host names are ours.

    Args:
        allowed: origins besides our own, such as "https://example.org"; "*" is every one.
        local_only: whether only this machine is served, so that every other host name is somebody's trick.
    """

    def __init__(self, allowed: Sequence[str], *, local_only: bool) -> None:
        self._any = "*" in allowed
        self._allowed = frozenset(allowed)
        self.local_only = local_only
        self._hosts = frozenset(urlsplit(origin).hostname for origin in allowed if origin.startswith(WEB))

    def allows(self, origin: str, host: str) -> bool:
        """Whether a page of this origin may use the server that it reached under this host (with its port)."""
        return self._any or origin in self._allowed or urlsplit_netloc(origin) == host.lower()

    def is_foreign(self, origin: str) -> bool:
        """Whether the origin is another one that was allowed, and so needs CORS headers."""
        return self._any or origin in self._allowed

    def knows_host(self, host: str) -> bool:
        """Whether a page under this host name can be one of ours."""
        if not self.local_only or not host:
            return True
        name = host_name(host)
        return name in self._hosts or is_loopback(name) or name.endswith(".localhost")


def urlsplit_netloc(origin: str) -> str:
    """Host and port of a web page's origin; "" for "null", for apps and extensions, and for what is none."""
    try:
        return urlsplit(origin).netloc.lower() if origin.startswith(WEB) else ""
    except ValueError:
        return ""


def only_ours(origins: Origins) -> Middleware:
    """A middleware that refuses what foreign pages send, and answers the preflights of allowed ones."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        if not origins.knows_host(host) and not request.path.startswith("/health"):
            message = "Without keys this server answers to localhost only; MORGAN_ALLOWED_ORIGINS names other hosts"
            raise ApiError(403, "foreign_host", message)
        site = request.headers.get("Sec-Fetch-Site", "")
        preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        # Without an origin come images and scripts of foreign pages. Where there are keys they have none to show.
        by_site = origins.local_only and site in FOREIGN_SITES
        foreign = by_site if origin is None else not origins.allows(origin, host)
        if foreign and not (request.method in SAFE and is_open(request)):
            raise _foreign(origin, keys=not origins.local_only)
        return web.Response(status=204) if preflight else await handler(request)

    return middleware


def _foreign(origin: str | None, *, keys: bool) -> ApiError:
    """What a page is told that was not allowed, and how whoever runs the server lets it in."""
    if origin is None:
        remedy = "MORGAN_ALLOWED_ORIGINS names those that may"
        return ApiError(403, "foreign_origin", f"Pages of other sites may not use this server; {remedy}")
    if origin in ("null", "file://"):
        remedy = "serve the page over http or https" + (
            f", or set MORGAN_ALLOWED_ORIGINS={origin}" if keys else ": without keys nothing else can be allowed"
        )
        message = (
            f"A page out of a file or a sandboxed frame (its origin is {origin}) may not use this server; {remedy}"
        )
        return ApiError(403, "foreign_origin", message)
    shown = origin[:200]
    kind = "Pages of" if origin.startswith(WEB) else "The app or extension"
    message = f"{kind} {shown} may not use this server; to let it, set MORGAN_ALLOWED_ORIGINS={shown} (comma-separated)"
    return ApiError(403, "foreign_origin", message)


async def add_cors_headers(request: web.Request, response: web.StreamResponse, origins: Origins) -> None:
    """Let an allowed origin read the response (https://fetch.spec.whatwg.org/#http-cors-protocol)."""
    origin = request.headers.get("Origin")
    if origin is None or not origins.is_foreign(origin):
        return
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers.add("Vary", "Origin")
    response.headers["Access-Control-Expose-Headers"] = EXPOSED
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = METHODS
        asked = request.headers.get("Access-Control-Request-Headers", "")
        response.headers["Access-Control-Allow-Headers"] = asked if _NAMES.fullmatch(asked) else HEADERS
        response.headers.add("Vary", "Access-Control-Request-Headers")
        response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_S)
        if request.headers.get("Access-Control-Request-Private-Network") == "true":
            response.headers["Access-Control-Allow-Private-Network"] = "true"
