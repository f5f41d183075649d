"""Signatures of Plivo, Telnyx and jambonz, as their own libraries make them, let in what they signed and nothing else.

Those of Plivo were made by its package for Python (4.63.0), those of jambonz and Telnyx by Node's and cryptography's
primitives over what their documentation says is signed.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from server.http.errors import errors_as_json
from server.http.guard import guard
from server.http.operation import operation
from server.http.server import HttpRunner
from server.identity import plivo_signature
from server.identity.principal import principal_of
from server.identity.timed_signatures import TOLERANCE_S, is_signed_by_jambonz, is_signed_by_telnyx, telnyx_key
from server.memory.door import MemoryDoor
from server.observability.metrics import Metrics
from server.services.access import build_access
from server.settings import Settings

AUTH_TOKEN = "a-token-of-an-account"
HOST = "morgan.example.org"
ANSWER = f"https://{HOST}/api/telephone/plivo/answer"
CALL = [("CallUUID", "c1"), ("From", "15550123"), ("To", "15550199"), ("Event", "StartApp")]

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
SECRET = "wh-secret"


@pytest.mark.parametrize(
    ("nonce", "address", "query", "form", "signature"),
    [
        ("12345", ANSWER, [], CALL, "L+oQ2XaWTuTTGuhSKiOftEJ3rwy8GyqQV9bAsWqc4HY="),
        (
            "678",
            ANSWER,
            [("language", "de"), ("instructions", "Sei kurz.")],
            [("CallUUID", "c1"), ("From", "+15550123")],
            "Q9zfDAmTRxWZi840yHzU5S9vX1uTGq8aQ4u13oY7INA=",
        ),
        (
            "9",
            f"https://{HOST}/api/telephone/plivo/next",
            [("b", "2"), ("a", "1")],
            [],
            "UZMAoK3PH+CnBjeW1RXflmGNcMlkmKaud8m/QZH8Bag=",
        ),
        ("77", f"wss://{HOST}/ws/media-stream/plivo", [], [], "DA294O0sBhBgQxVxs3xyii1+RtoyICKTGqF717e3+i4="),
    ],
)
def test_plivos_signature_is_that_of_its_own_package(
    nonce: str, address: str, query: list[tuple[str, str]], form: list[tuple[str, str]], signature: str
) -> None:
    assert plivo_signature.signature(AUTH_TOKEN, nonce, address, query, form) == signature
    given: list[Any] = [AUTH_TOKEN, f"of-another-token, {signature}", nonce, ["https://else.example.org", address]]
    assert plivo_signature.is_signed(*given, query=query, form=form)
    assert not plivo_signature.is_signed(*given, query=query, form=[*form, ("user_id", "eve")])
    assert not plivo_signature.is_signed(*given, query=[*query, ("user_id", "eve")], form=form)
    assert not plivo_signature.is_signed(AUTH_TOKEN, signature, f"{nonce}0", [address], query, form)
    assert not plivo_signature.is_signed("another", signature, nonce, [address], query, form)


def test_telnyxs_signature_is_of_the_time_and_the_body() -> None:
    shown = "komfoa/q9zZGFxWpCrqLBSAIOCoz40c9K9ffwlq3099Xx5nbvsjWXFa78h67A9PnVNew+DdfVabgmBN4EeraDQ=="
    key, body, sent = telnyx_key(PUBLIC), b'{"a": 1}', 1_764_250_000
    assert is_signed_by_telnyx(key, shown, str(sent), body, sent + 10.0)
    assert not is_signed_by_telnyx(key, shown, str(sent), b'{"a": 2}', sent + 10.0)
    assert not is_signed_by_telnyx(key, shown, str(sent + 1), body, sent + 10.0)
    assert not is_signed_by_telnyx(key, shown, str(sent), body, sent + TOLERANCE_S + 1)
    for wrong in ("", "AAAA", "no base64", "\udcff", shown[:-4]):
        assert not is_signed_by_telnyx(key, wrong, str(sent), body, sent + 10.0)
    for wrong in ("", "-1", "1e9", "\u0661\u0662", "9" * 400):
        assert not is_signed_by_telnyx(key, shown, wrong, body, sent + 10.0)


def test_jambonzs_signature_is_of_the_time_and_the_body() -> None:
    digits, sent = "888ef4627a3ee7e70e1148075a51b0332490bcae8f5a40943d1e14e29e935f0b", 1_764_250_000
    body = b'{"call_sid":"c1","from":"+15550123"}'
    shown = f"t={sent},v1=0000,v1={digits}"
    assert is_signed_by_jambonz(SECRET, shown, body, sent + 10.0)
    assert not is_signed_by_jambonz("another", shown, body, sent + 10.0)
    assert not is_signed_by_jambonz(SECRET, shown, body + b" ", sent + 10.0)
    assert not is_signed_by_jambonz(SECRET, shown, body, sent - TOLERANCE_S - 1)
    for wrong in ("", f"v1={digits}", f"t={sent}", f"t={sent + 1},v1={digits}", f"t={sent},v0={digits}", "\udcff"):
        assert not is_signed_by_jambonz(SECRET, wrong, body, sent + 10.0)


def test_a_key_that_is_none_stops_the_start() -> None:
    with pytest.raises(ValidationError, match="32 bytes in base64"):
        Settings(telnyx_public_key="AAAA")


@operation("telephone", scope="calls", signed=True)
async def answer(request: web.Request) -> web.Response:
    return web.json_response({"by": principal_of(request).id, "body": (await request.read()).decode()})


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[str]:
    settings = Settings(
        data_dir=folder,
        memory="off",
        plivo_auth_token=AUTH_TOKEN,
        telnyx_public_key=PUBLIC,
        jambonz_webhook_secret=SECRET,
        telephone_longest_s=600.0,
    )
    access = build_access(settings, MemoryDoor(settings), Metrics())
    app = web.Application(middlewares=[errors_as_json, guard(access)])
    app.router.add_route("*", "/api/telephone/plivo/answer", answer)
    runner = HttpRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/api/telephone/plivo/answer"
    finally:
        await runner.cleanup()
        access.close()


async def asked(url: str, headers: dict[str, str], body: Any = None, method: str = "POST") -> Any:
    """What is answered: who asked, or the status of the refusal."""
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, url, data=body, headers={"Host": HOST, **headers}) as got,
    ):
        return (await got.json())["by"] if got.status == 200 else got.status


def by_telnyx(body: bytes, sent: float) -> dict[str, str]:
    signature = base64.b64encode(PRIVATE.sign(b"%d|%s" % (sent, body))).decode()
    return {"telnyx-signature-ed25519": signature, "telnyx-timestamp": f"{int(sent)}"}


def by_jambonz(body: bytes, sent: float) -> dict[str, str]:
    digits = hmac.new(SECRET.encode(), b"%d.%s" % (sent, body), hashlib.sha256).hexdigest()
    return {"Jambonz-Signature": f"t={int(sent)},v1={digits}", "Content-Type": "application/json"}


async def test_each_provider_is_let_in_by_its_own_signature(tmp_path: Path) -> None:
    now, body = time.time(), b'{"call_sid": "c1"}'
    async with served(tmp_path) as url:
        plivo = {
            "X-Plivo-Signature-V3": "L+oQ2XaWTuTTGuhSKiOftEJ3rwy8GyqQV9bAsWqc4HY=",
            "X-Plivo-Signature-V3-Nonce": "12345",
        }
        assert await asked(url, plivo, CALL) == "plivo"
        assert await asked(url, by_telnyx(body, now), body) == "telnyx"
        assert await asked(url, by_jambonz(body, now), body) == "jambonz"


async def test_nothing_else_is_let_in(tmp_path: Path) -> None:
    now, body = time.time(), b'{"call_sid": "c1"}'
    async with served(tmp_path) as url:
        assert await asked(url, {}, body) == 401
        assert await asked(url, by_telnyx(body, now), body + b" ") == 401
        assert await asked(url, by_jambonz(body, now), body + b" ") == 401
        assert await asked(url, by_telnyx(body, now - TOLERANCE_S - 60), body) == 401
        # Nothing in it is signed: it would open whatever address it is sent to.
        assert await asked(url, by_telnyx(b"", now), None, "GET") == 401
        assert await asked(url, by_jambonz(b"", now), None, "GET") == 401
        assert await asked(url, {"X-Plivo-Signature-V3": "x", "X-Plivo-Signature-V3-Nonce": ""}, CALL) == 401


async def test_plivos_request_comes_again_while_its_call_may_last_and_after_a_restart_no_more(tmp_path: Path) -> None:
    signature = plivo_signature.signature(AUTH_TOKEN, "12345", ANSWER, (), CALL)
    plivo = {"X-Plivo-Signature-V3": signature, "X-Plivo-Signature-V3-Nonce": "12345"}
    async with served(tmp_path) as url:
        assert [await asked(url, plivo, CALL) for _ in range(2)] == ["plivo", "plivo"]
    async with served(tmp_path) as url:
        assert await asked(url, plivo, CALL) == 401


async def test_no_part_of_what_plivo_signed_passes_for_its_number_used_once(tmp_path: Path) -> None:
    form = [*CALL, ("SessionStart", "2026-11-28 10:00:00.123456")]
    signature = plivo_signature.signature(AUTH_TOKEN, "12345", ANSWER, (), form)
    [*rest, start] = sorted(form)[:-1]
    assert start[0] == "SessionStart"
    # The same bytes, cut at another point: the signature is right.
    cut, nonce = [*rest, (start[0], start[1][:-7])], f"{start[1][-6:]}To15550199.12345"
    assert plivo_signature.signature(AUTH_TOKEN, nonce, ANSWER, (), cut) == signature
    async with served(tmp_path) as url:
        shown = {"X-Plivo-Signature-V3": signature, "X-Plivo-Signature-V3-Nonce": nonce}
        assert await asked(url, shown, cut) == 401
        assert await asked(url, {**shown, "X-Plivo-Signature-V3-Nonce": "12345"}, form) == "plivo"
