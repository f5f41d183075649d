"""A telephone provider's signature lets in what it signed, soon, and costs strangers' rubbish next to nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from server.http.errors import errors_as_json
from server.http.guard import MOST_SIGNED_FIELDS, guard
from server.http.operation import operation
from server.http.server import HttpRunner
from server.identity.errors import TokenError
from server.identity.principal import principal_of
from server.identity.signed_requests import SignedRequests
from server.identity.twilio_signature import HEADER, signature
from server.identity.used_tokens import UsedTokens
from server.memory.door import MemoryDoor
from server.observability.metrics import Metrics
from server.services.access import build_access
from server.settings import Settings

KEY = "a-key-that-is-long-enough-to-be-one"
AUTH_TOKEN = "a-token-of-an-account"
HOST = "morgan.example.org"
FORM = [("CallSid", "CA1"), ("From", "+15550123"), ("CallStatus", "ringing")]


@operation("telephone", scope="calls", signed=True)
async def answer(request: web.Request) -> web.Response:
    return web.json_response({"by": principal_of(request).id})


@asynccontextmanager
async def served(folder: Path, wrong_per_minute: int = 1_000, longest_s: float = 600.0) -> AsyncIterator[int]:
    settings = Settings(
        data_dir=folder,
        memory="off",
        api_keys=KEY,
        twilio_auth_token=AUTH_TOKEN,
        wrong_keys_per_minute=wrong_per_minute,
        telephone_longest_s=longest_s,
    )
    access = build_access(settings, MemoryDoor(settings), Metrics())
    app = web.Application(middlewares=[errors_as_json, guard(access)])
    app.router.add_post("/answer", answer)
    app.router.add_get("/answer", answer)
    runner = HttpRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
        access.close()


async def status(port: int, shown: str, form: list[tuple[str, str]]) -> int:
    headers = {HEADER: shown, "Host": HOST}
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
        http.post("/answer", data=form, headers=headers) as got,
    ):
        return got.status


def signed(form: list[tuple[str, str]]) -> str:
    return signature(AUTH_TOKEN, f"https://{HOST}/answer", form)


async def test_a_form_comes_again_while_its_call_may_last_and_after_a_restart_no_more(tmp_path: Path) -> None:
    async with served(tmp_path) as port:
        assert [await status(port, signed(FORM), FORM) for _ in range(2)] == [200, 200]
        assert await status(port, signed(FORM), [*FORM, ("user_id", "eve")]) == 401
    async with served(tmp_path) as port:
        assert await status(port, signed(FORM), FORM) == 401
        assert await status(port, signed([("CallSid", "CA2")]), [("CallSid", "CA2")]) == 200


async def test_what_was_signed_once_is_not_good_for_ever(tmp_path: Path) -> None:
    clock, used = [0.0], UsedTokens(tmp_path / "used.db")

    async def claim(name: str, ttl_s: int) -> bool:
        return await used.claim(name, 1e12)

    try:
        requests = SignedRequests(claim, 600.0, lambda: clock[0])
        for at, lets_in in ((0.0, True), (599.0, True), (601.0, False), (10_000.0, False)):
            clock[0] = at
            assert await requests.lets_in("a") is lets_in
        assert await requests.lets_in("b")
        clock[0] += 601.0
        assert await requests.lets_in("c")
        # Nothing is kept of those whose calls are over.
        assert len(requests._first) == 1
    finally:
        used.close()


async def test_a_disk_that_does_not_tell_lets_nobody_in() -> None:
    async def claim(name: str, ttl_s: int) -> bool:
        raise TokenError("not now")

    with pytest.raises(TokenError):
        await SignedRequests(claim, 600.0).lets_in("a")


@pytest.mark.parametrize(
    "head",
    [
        b"POST /answer HTTP/1.1\r\nHost: localhost\r\nX-Twilio-Signature: \xff\xfe\r\nContent-Length: 0\r\n\r\n",
        b"POST /answer HTTP/1.1\r\nHost: \xff\xfe\r\nX-Twilio-Signature: a\r\nContent-Length: 0\r\n\r\n",
        b"POST /answer HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: \xff\r\nX-Twilio-Signature: a\r\n"
        b"Content-Length: 0\r\n\r\n",
        b"POST /answer?a=\xff HTTP/1.1\r\nHost: a\r\nX-Twilio-Signature: a\r\nContent-Length: 0\r\n\r\n",
        b"POST /answer HTTP/1.1\r\nHost: a\r\nX-Twilio-Signature: a\r\nContent-Length: 12\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\na=%ff&b=%ed%",
    ],
)
async def test_whatever_bytes_are_shown_they_are_no_signature_and_no_fault(tmp_path: Path, head: bytes) -> None:
    async with served(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        first = await asyncio.wait_for(reader.readline(), 60)
        writer.close()
    assert first.split()[1] in (b"401", b"400"), first


async def test_wrong_signatures_are_counted_as_wrong_keys_are(tmp_path: Path) -> None:
    async with served(tmp_path, wrong_per_minute=3) as port:
        assert [await status(port, "wrong", FORM) for _ in range(5)] == [401, 401, 401, 429, 429]
        # Whoever has a right one comes in all the same.
        assert await status(port, signed(FORM), FORM) == 200


async def test_a_form_of_very_many_fields_is_not_put_in_order_for_strangers(tmp_path: Path) -> None:
    many = [(f"f{number}", "") for number in range(MOST_SIGNED_FIELDS + 1)]
    async with served(tmp_path) as port:
        assert await status(port, signed(many), many) == 401
        long = [("CallSid", "x" * 20_000)]
        assert await status(port, signed(long), long) == 401
        assert await status(port, signed(many[:200]), many[:200]) == 200
