"""The call page and its files."""

from pathlib import Path

from aiohttp import web

import static as static_package
from server.http.operation import Answer, operation

STATIC = Path(next(iter(static_package.__path__)))

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "media-src 'self' blob: mediastream:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Content-Security-Policy of the page: nothing but its own files."""

routes = web.RouteTableDef()


@routes.get("/")
@operation("operations", answers={200: Answer("A page", content=("text/html",))}, open=True)
async def page(_: web.Request) -> web.FileResponse:
    """The call page."""
    return web.FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})


async def security_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Headers that keep the pages to themselves."""
    if request.path in ("/", "/docs") or request.path.startswith("/static/"):
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers.setdefault("Permissions-Policy", "microphone=(self)")
        response.headers.setdefault("Cache-Control", "no-cache")
    response.headers["Server"] = "Morgan"
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
