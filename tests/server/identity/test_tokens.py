"""Tokens: signed, bound, expiring, and those for a single use are used once, whoever tries at the same time."""

import asyncio
import sqlite3
import time
from pathlib import Path

import pytest

from server.identity.errors import TokenError, TokenTooLargeError
from server.identity.grant import Grant
from server.identity.kept_sessions import KeptSessions
from server.identity.tokens import Tokens, read_secret
from server.identity.used_tokens import KEPT_S, UsedTokens

JOIN = Grant("join", frozenset({"calls"}), "alice", {"language": "de"}, issuer="key:1")


def tokens(folder: Path) -> Tokens:
    return Tokens(read_secret(folder), UsedTokens(folder / "used.db"), KeptSessions())


async def uses(desk: Tokens, value: str) -> bool:
    try:
        await desk.use(desk.read(value))
    except TokenError:
        return False
    return True


async def test_a_token_says_what_was_granted(tmp_path: Path) -> None:
    desk = tokens(tmp_path)
    minted = desk.mint(JOIN, 60)
    assert minted.value.startswith("mt_")
    assert desk.read(minted.value).grant == JOIN
    assert (tmp_path / "token-secret").stat().st_mode & 0o077 == 0


async def test_of_a_hundred_who_race_with_one_token_one_gets_in(tmp_path: Path) -> None:
    # Two processes of one data directory: each has its own connection to the file of used tokens.
    one, other = tokens(tmp_path), tokens(tmp_path)
    value = one.mint(JOIN, 60).value
    let_in = await asyncio.gather(*(uses((one, other)[turn % 2], value) for turn in range(100)))
    assert sum(let_in) == 1
    assert not await uses(tokens(tmp_path), value), "a restart makes it no fresher"


async def test_a_token_for_many_uses_lets_in_until_it_expires(tmp_path: Path) -> None:
    desk = tokens(tmp_path)
    page = desk.mint(Grant("page", frozenset({"calls"}), "alice", single_use=False), 60).value
    assert [await uses(desk, page) for _ in range(3)] == [True] * 3


async def test_an_expired_a_tampered_and_a_foreign_token_let_nobody_in(tmp_path: Path) -> None:
    desk, foreign = tokens(tmp_path / "here"), tokens(tmp_path / "elsewhere")
    value = desk.mint(JOIN, 60).value
    head, body, signature = value.split(".")
    wrong = [
        desk.mint(JOIN, -1).value,
        f"{head}.{body[:-2]}AA.{signature}",
        f"{head}.{body}.{signature[:-4]}AAAA",
        value.replace("mt_", "ms_"),  # a join token in the clothes of a page's
        value.removeprefix("mt_"),
        "mt_eyJhbGciOiJub25lIn0." + body + ".",
        foreign.mint(JOIN, 60).value,
        "mt_",
        "mt_" + "x" * 10_000,
    ]
    assert [await uses(desk, each) for each in wrong] == [False] * len(wrong)
    assert await uses(desk, value)


async def test_a_clock_that_is_set_forward_and_back_makes_no_used_token_good_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = tokens(tmp_path)
    value = desk.mint(JOIN, 60).value
    assert await uses(desk, value)
    now = time.time()
    with monkeypatch.context() as forward:
        forward.setattr("server.identity.used_tokens.time.time", lambda: now + 7200)
        # Whoever starts now throws away what is long over.
        later = tokens(tmp_path)
        assert await later._used.claim("another", now + 7260)
    assert not await uses(tokens(tmp_path), value)
    assert await uses(later, later.mint(JOIN, 60).value), "and new ones are good"


async def test_what_was_used_long_ago_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    used = UsedTokens(tmp_path / "used.db")
    assert all([await used.claim(f"{number}", now + 60) for number in range(9)])
    later = now + KEPT_S + 61
    with monkeypatch.context() as forward:
        forward.setattr("server.identity.used_tokens.time.time", lambda: later)
        assert await UsedTokens(tmp_path / "used.db").claim("new", later + 60)
    with sqlite3.connect(tmp_path / "used.db") as database:
        assert database.execute("SELECT id FROM used").fetchall() == [("new",)]


async def test_a_holder_without_a_name_is_somebody_whom_nobody_else_is(tmp_path: Path) -> None:
    desk = tokens(tmp_path)
    first, second = (desk.mint(Grant("realtime", frozenset({"calls"})), 60) for _ in range(2))
    assert first.value.startswith("ek_")
    assert first.user_id != second.user_id
    assert desk.read(first.value).grant.user_id == first.user_id


async def test_a_secret_is_bound_to_its_session(tmp_path: Path) -> None:
    desk = tokens(tmp_path)
    session = {"type": "realtime", "instructions": "ä" * 20_000}
    minted = desk.mint(Grant("realtime", frozenset({"calls"}), single_use=False), 60, session)
    assert await desk.use(desk.read(minted.value)) == session
    assert await desk.use(desk.read(minted.value)) == session
    with pytest.raises(TokenTooLargeError):
        desk.mint(JOIN, 60, {"instructions": "x" * 100_000})
    with pytest.raises(TokenError, match="not known any more"):
        await tokens(tmp_path).use(desk.read(minted.value))


async def test_what_is_kept_for_secrets_is_bounded_and_the_oldest_go(tmp_path: Path) -> None:
    now = [0.0]
    kept = KeptSessions(now=lambda: now[0])
    for number in range(400):
        kept.keep(str(number), {"instructions": "x" * 60_000}, 600)
    assert await kept.find("0") is None
    assert await kept.find("399") is not None
    assert kept._bytes <= 16 * 1024 * 1024
    now[0] = 601.0
    kept.keep("new", {}, 600)
    assert await kept.find("399") is None
