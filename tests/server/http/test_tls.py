"""TLS on Morgan's own ports: certificates in files, renewed while it runs, and strangers who never shake hands."""

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from server.http import tls
from server.http.page import HSTS, security_headers
from server.http.server import Book, HttpRunner
from server.http.tls import Certificate, CertificateError
from server.settings import Settings
from tests.conftest import lacking
from tests.media.calls import until


def make(folder: Path, name: str, *, password: str = "") -> tuple[Path, Path]:
    """A certificate of its own for localhost, with its key."""
    program = shutil.which("openssl")
    if program is None:
        lacking("There is no openssl: apt-get install openssl.")
    chain, key = folder / "chain.pem", folder / "key.pem"
    command = [str(program), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"]
    command += ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += [
        "-keyout",
        str(key),
        "-out",
        str(chain),
        *(["-passout", f"pass:{password}"] if password else ["-nodes"]),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return chain, key


async def hello(request: web.Request) -> web.Response:
    return web.json_response({"secure": request.secure, "said": (await request.read()).decode()})


@asynccontextmanager
async def served(certificate: Certificate, book: Book | None = None) -> AsyncIterator[int]:
    """A port that speaks https."""
    app = web.Application()
    app.router.add_route("*", "/", hello)
    app.on_response_prepare.append(security_headers)
    runner = HttpRunner(app, book, certificate)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def get(port: int, chain: Path, host: str = "localhost") -> tuple[dict[str, Any], dict[str, str]]:
    """Ask once; the answer and its headers."""
    context = ssl.create_default_context(cafile=chain)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as http,
        http.post(f"https://localhost:{port}/", data=b"hello", headers={"Host": host}) as response,
    ):
        return await response.json(), dict(response.headers)


async def shown(port: int, chain: Path) -> str:
    """Whose certificate a new connection is shown; "" where it is none of those in the file."""

    def look() -> str:
        context = ssl.create_default_context(cafile=chain)
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secured,
        ):
            subject: Any = (secured.getpeercert() or {})["subject"]
            return str(subject[0][0][1])

    try:
        return await asyncio.to_thread(look)
    except ssl.SSLError:
        return ""


async def test_a_port_speaks_https_and_tells_browsers_to_stay_with_it(tmp_path: Path) -> None:
    chain, key = make(tmp_path, "first")
    async with served(Certificate(chain, key)) as port:
        answer, headers = await get(port, chain, "morgan.example.org")
        assert answer == {"secure": True, "said": "hello"}
        assert headers["Strict-Transport-Security"] == HSTS
        # On localhost that would count for whatever else runs there.
        assert "Strict-Transport-Security" not in (await get(port, chain, "localhost"))[1]
        for name in ("a:b:c", "a:99999999", "[::1", "\u00ff"):
            assert (await get(port, chain, name))[0]["said"] == "hello"
        # Many at once, on connections of their own.
        answers = await asyncio.gather(*(get(port, chain) for _ in range(20)))
        assert all(answer == {"secure": True, "said": "hello"} for answer, _ in answers)


async def test_a_renewed_certificate_is_shown_to_who_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "CHECK_S", 0.02)
    certificate = Certificate(*make(tmp_path, "first"))
    certificate.watch()
    async with served(certificate) as port:
        (tmp_path / "new").mkdir()
        chain, key = make(tmp_path / "new", "second")
        for file in (key, chain):
            file.replace(tmp_path / file.name)
        async with asyncio.timeout(30):
            while await shown(port, tmp_path / "chain.pem") != "second":  # noqa: ASYNC110 - the far end tells nothing
                await asyncio.sleep(0.05)
    await certificate.close()


async def test_files_that_cannot_be_used_leave_the_certificate_that_is_in_use(tmp_path: Path) -> None:
    chain, key = make(tmp_path, "first")
    kept = tmp_path / "kept.pem"
    kept.write_bytes(chain.read_bytes())
    certificate = Certificate(chain, key)
    async with served(certificate) as port:
        (tmp_path / "other").mkdir()
        _, foreign = make(tmp_path / "other", "other")
        for broken in (b"", b"rubbish", foreign.read_bytes()):
            key.write_bytes(broken)
            assert not certificate.reload()
            assert await shown(port, kept) == "first"
        key.unlink()
        assert not certificate.reload()
        assert await shown(port, kept) == "first"


def test_a_certificate_that_cannot_be_used_is_told_of(tmp_path: Path) -> None:
    chain, key = make(tmp_path, "first", password="secret")
    with pytest.raises(CertificateError, match="password"):
        Certificate(chain, key)
    with pytest.raises(CertificateError, match="missing"):
        Certificate(tmp_path / "missing.pem", key)
    with pytest.raises(ValueError, match="go together"):
        Settings(data_dir=tmp_path, tls_cert=chain)


async def test_who_never_shakes_hands_is_counted_and_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain, key = make(tmp_path, "first")
    book = Book(64, 4)
    async with served(Certificate(chain, key), book) as port:
        # Four of one client's stay, further ones displace the oldest: as without TLS.
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(12)]
        await until(lambda: book.shed == 8, timeout=30)
        assert len(book) == 4
        assert await shown(port, chain) == "first"
        for each in silent:
            each.close()
        await until(lambda: len(book) == 0, timeout=30)
        monkeypatch.setattr(tls, "HANDSHAKE_S", 0.3)
        for sent in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02"):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.setblocking(False)
                await asyncio.get_running_loop().sock_sendall(client, sent)
                await until(lambda: len(book) == 0 and closed(client), timeout=30)


def closed(client: socket.socket) -> bool:
    """Whether the far end has gone."""
    try:
        return client.recv(1024) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


async def test_a_look_at_the_files_that_fails_is_not_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "CHECK_S", 0.01)
    certificate = Certificate(*make(tmp_path, "first"))
    looks = 0

    def look() -> tuple[int, ...]:
        nonlocal looks
        looks += 1
        raise RuntimeError("nobody expected this")

    monkeypatch.setattr(certificate, "_changed_at", look)
    certificate.watch()
    async with asyncio.timeout(30):
        while looks < 2:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    await certificate.close()
