"""The call page and its files, which travel compressed."""

import functools
import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

import static as static_package
from server.addresses import host_name, is_loopback
from server.http.errors import ApiError
from server.http.operation import Answer, operation

STATIC = Path(next(iter(static_package.__path__)))

TYPES = {".js": "text/javascript", ".webmanifest": "application/manifest+json", ".ts": "text/plain"}
"""Content types that do not depend on what the system knows."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "media-src 'self' blob: mediastream:",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Content-Security-Policy of the page: nothing but its own files."""

routes = web.RouteTableDef()


@routes.get("/")
@operation("operations", answers={200: Answer("A page", content=("text/html",))}, open=True)
async def page(request: web.Request) -> web.Response:
    """The call page."""
    return page_file(request, STATIC / "index.html")


@routes.get("/admin")
@operation("operations", answers={200: Answer("A page", content=("text/html",))}, open=True)
async def admin_page(request: web.Request) -> web.Response:
    """The operator's page. What it shows it asks of `/api/admin/state`, with a key of the scope admin."""
    return page_file(request, STATIC / "admin.html")


async def static_file(request: web.Request) -> web.Response:
    """A file of the page."""
    path = STATIC / request.match_info["name"]
    if path not in _names():
        raise ApiError(404, "not_found", "There is no such file")
    return page_file(request, path)


def page_file(request: web.Request, path: Path) -> web.Response:
    """A file of `static/`, compressed for those who take that; 304 where they have it already."""
    file = _read(path, path.stat().st_mtime_ns)
    headers = {"Cache-Control": "no-cache", "ETag": file.tag, "Vary": "Accept-Encoding"}
    if file.tag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    body = file.plain
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        body, headers["Content-Encoding"] = file.packed, "gzip"
    charset = "utf-8" if file.content_type.startswith("text/") else None
    return web.Response(body=body, content_type=file.content_type, charset=charset, headers=headers)


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it travels, plain and compressed."""

    content_type: str
    plain: bytes
    packed: bytes
    tag: str


@functools.cache
def _names() -> frozenset[Path]:
    """What there is to be had: nothing else is, whatever a path says."""
    return frozenset(path for path in STATIC.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))


@functools.lru_cache(maxsize=256)
def _read(path: Path, _changed: int) -> _File:
    plain = path.read_bytes()
    content_type = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return _File(content_type, plain, gzip.compress(plain, mtime=0), f'"{hashlib.sha256(plain).hexdigest()[:16]}"')


PERMISSIONS = ", ".join(
    (
        "microphone=(self)",
        "speaker-selection=(self)",
        "autoplay=(self)",
        "screen-wake-lock=(self)",
        *(f"{name}=()" for name in ("camera", "display-capture", "geolocation", "midi", "payment", "usb", "serial")),
    )
)
"""What the pages may ask a browser for (https://www.w3.org/TR/permissions-policy/): what a call needs."""

HSTS = "max-age=31536000"
"""Browsers that have seen this server by https come by https from then on (RFC 6797)."""


async def security_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Headers that keep the pages to themselves."""
    if request.path in ("/", "/admin", "/docs") or request.path.startswith("/static/"):
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        response.headers.setdefault("Cache-Control", "no-cache")
    if request.secure and not is_loopback(host_name(request.host)):
        # Browsers would ask all servers of this machine for https, whatever else it runs.
        response.headers.setdefault("Strict-Transport-Security", HSTS)
    response.headers["Server"] = "Morgan"
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
