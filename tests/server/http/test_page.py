"""The page's files as they travel: compressed, with a tag, and nothing else than them."""

import gzip
import posixpath
import re

import aiohttp
import pytest

from server.http.page import STATIC
from tests.e2e.test_page_access import MOST_BYTES
from tests.serving import RunningServer

LINKED = re.compile(r'(?:href|src)="(static/[^"]+)"')
IMPORTED = re.compile(r'(?:^import[^"]*|^export[^"]* from |\bimport\()"(\.[^"]+)"', re.MULTILINE)


def joined(path: str, name: str) -> str:
    """A path that a file names relative to its own."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), name))


@pytest.mark.parametrize(
    ("path", "file", "content_type"),
    [
        ("/", "index.html", "text/html"),
        ("/static/morgan.js", "morgan.js", "text/javascript"),
        ("/static/css/base.css", "css/base.css", "text/css"),
        ("/static/icon.svg", "icon.svg", "image/svg+xml"),
        ("/static/manifest.webmanifest", "manifest.webmanifest", "application/manifest+json"),
    ],
)
async def test_a_file_travels_compressed_once(server: RunningServer, path: str, file: str, content_type: str) -> None:
    plain = (STATIC / file).read_bytes()
    async with aiohttp.ClientSession(server.url, auto_decompress=False) as http:
        async with http.get(path, headers={"Accept-Encoding": "gzip"}) as packed:
            assert (packed.status, packed.content_type) == (200, content_type)
            assert packed.headers["X-Content-Type-Options"] == "nosniff"
            assert gzip.decompress(await packed.read()) == plain
        async with http.get(path, headers={"Accept-Encoding": "identity"}) as whole:
            assert "Content-Encoding" not in whole.headers
            assert await whole.read() == plain
        async with http.get(path, headers={"If-None-Match": packed.headers["ETag"]}) as again:
            assert (again.status, await again.read()) == (304, b"")


@pytest.mark.parametrize(
    "name", ["nothing.js", "..%2Fserver%2Fapp.py", "%2Fetc%2Fpasswd", "js", "%00", "css/../../README.md"]
)
async def test_nothing_else_is_to_be_had(server: RunningServer, name: str) -> None:
    async with aiohttp.ClientSession(server.url) as http, http.get(f"/static/{name}") as answer:
        assert answer.status == 404
        assert "error" in await answer.json()


async def test_the_page_is_less_than_half_of_that_on_the_wire(server: RunningServer) -> None:
    """What a page with every panel takes: fetched by following its own links and imports."""
    on_the_wire, seen, waiting = 0, set[str](), [""]
    async with aiohttp.ClientSession(server.url, auto_decompress=False) as http:
        while waiting:
            path = waiting.pop()
            if path in seen:
                continue
            seen.add(path)
            async with http.get(f"/{path}", headers={"Accept-Encoding": "gzip"}) as answer:
                assert answer.status == 200
                body = await answer.read()
            on_the_wire += len(body)
            text = gzip.decompress(body).decode()
            waiting += LINKED.findall(text) if not path else [joined(path, name) for name in IMPORTED.findall(text)]
    assert "static/js/history_panel.js" in seen
    assert on_the_wire <= MOST_BYTES / 2
