"""Servers that share a Redis: together they let a token in once, know each other's secrets, and count as one."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest_asyncio

from persistence.cache.redis_tier import RedisTier
from persistence.config import PersistenceConfig
from persistence.embedded.valkey import EmbeddedValkey
from server.http.rate_limits import PerClient
from server.identity.errors import TokenError
from server.identity.grant import Grant
from server.identity.kept_sessions import KeptSessions
from server.identity.tokens import Tokens
from server.identity.used_tokens import UsedTokens

SECRET = b"thirty-two bytes, the same on all"
JOIN = Grant("join", frozenset({"calls"}), "alice")


@dataclass
class Shared:
    """A Valkey, and the two servers' ways to it."""

    valkey: EmbeddedValkey
    tiers: list[RedisTier]


@pytest_asyncio.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Shared]:
    valkey = EmbeddedValkey(PersistenceConfig(tmp_path / "valkey"), start_timeout_s=60.0)
    await valkey.start()
    tiers = [RedisTier(valkey.url, timeout_s=5.0) for _ in range(2)]
    for tier in tiers:
        assert await tier.start(60.0)
    yield Shared(valkey, tiers)
    for tier in tiers:
        await tier.close()
    await valkey.stop()


def server(folder: Path, tier: RedisTier) -> Tokens:
    return Tokens(SECRET, UsedTokens(folder / "used.db", lambda: tier), KeptSessions(lambda: tier))


async def uses(desk: Tokens, value: str) -> bool:
    try:
        await desk.use(desk.read(value))
    except TokenError:
        return False
    return True


async def test_a_token_lets_in_once_on_whichever_server(shared: Shared, tmp_path: Path) -> None:
    one, other = (server(tmp_path / str(number), tier) for number, tier in enumerate(shared.tiers))
    value = one.mint(JOIN, 60).value
    assert sum(await asyncio.gather(*(uses((one, other)[turn % 2], value) for turn in range(100)))) == 1


async def test_a_secret_brings_its_session_to_the_other_server(shared: Shared, tmp_path: Path) -> None:
    one, other = (server(tmp_path / str(number), tier) for number, tier in enumerate(shared.tiers))
    minted = one.mint(Grant("realtime", frozenset({"calls"}), single_use=False), 60, {"instructions": "Be brief."})
    assert await shared.tiers[0].flush(5.0)
    assert await other.use(other.read(minted.value)) == {"instructions": "Be brief."}


async def test_servers_count_together_and_each_for_itself_while_redis_is_away(shared: Shared) -> None:
    one, other = (PerClient("work", 4, lambda tier=tier: tier) for tier in shared.tiers)  # type: ignore[misc]
    waits = [await (one, other)[turn % 2].hit("somebody") for turn in range(6)]
    assert [wait is None for wait in waits] == [True] * 4 + [False] * 2
    assert all(0 < (wait or 0) <= 60 for wait in waits[4:])
    assert await one.hit("somebody else") is None
    await shared.valkey.stop()
    for counter in (one, other):
        assert [await counter.hit("a third") is None for _ in range(5)] == [True] * 4 + [False]


async def test_many_requests_at_once_wait_for_redis_and_take_nothing_from_what_memory_reads(shared: Shared) -> None:
    tier = shared.tiers[0]
    counter = PerClient("work", 20, lambda: tier)
    waits, read = await asyncio.gather(
        asyncio.gather(*(counter.hit("a crowd") for _ in range(300))),
        asyncio.gather(*(tier.get(f"nothing-{number}") for number in range(200))),
    )
    # Counted in memory, after a failure, another 20 would have been let in.
    assert sum(wait is None for wait in waits) == 20
    assert read == [None] * 200
    assert tier.up.is_set()
