"""Kills in the middle of a conversation: nothing lost, nothing twice, everything in order."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from persistence.config import PersistenceConfig
from persistence.memory import Memory
from tests.persistence.parts import stored, until

TALKER = """
import asyncio, os, random, signal, sys, uuid
from pathlib import Path
from persistence.config import PersistenceConfig
from persistence.memory import Memory

async def main():
    folder, seed, first = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(seed)
    memory = await Memory.open(PersistenceConfig(folder, pool_min=1, pool_max=4))
    log = memory.begin_session(f"call_{first}", "ada", sys.argv[4])
    killed = rng.randrange(1, 6)
    for number in range(first, first + 10):
        if number - first == killed:
            os.kill(memory.embedded_postgres.process.pid, signal.SIGKILL)
        role = log.user_turn if number % 2 else log.reply
        role(f"item_{uuid.uuid4().hex}", f"turn {number}")
        await asyncio.sleep(rng.random() * 0.02)
    while memory.outbox.written < memory.outbox.recorded:
        await asyncio.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""

CONVERSATION = "11111111-2222-4333-8444-555555555555"


async def talk_and_die(folder: Path, seed: int, first: int, repository: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", TALKER, str(folder), str(seed), str(first), CONVERSATION,
        cwd=repository, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == -signal.SIGKILL, errors.decode()


@pytest.mark.timeout(240)
async def test_postgresql_and_then_the_server_killed_again_and_again_lose_no_turn(
    tmp_path: Path, repository: Path
) -> None:
    runs = 4
    for seed in range(runs):
        await talk_and_die(tmp_path, seed, seed * 10 + 1, repository)
    memory = await Memory.open(PersistenceConfig(tmp_path, pool_min=1, pool_max=4))
    assert await memory.outbox.settle(20)
    rows = await stored(memory.postgres.dsn)
    context = await memory.context("ada", count=60)
    sessions = await memory.conversations.sessions((await memory.list_conversations("ada")).items[0].id, "ada")
    await memory.close()
    assert [(row[0], row[2]) for row in rows] == [(number, f"turn {number}") for number in range(1, runs * 10 + 1)]
    assert context is not None
    assert [message.content for message in context.messages] == [row[2] for row in rows]
    assert [session.end_reason for session in sessions] == ["server_lost"] * runs


@pytest.mark.parametrize("seed", range(3))
async def test_postgresql_killed_between_writes_of_a_living_server(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    memory = await Memory.open(PersistenceConfig(tmp_path, pool_min=1, pool_max=4))
    server = memory.embedded_postgres
    assert server is not None
    log = memory.begin_session("call_1", "ada")
    kills = set(rng.sample(range(10, 110), 2))
    for number in range(1, 121):
        log.user_turn(f"item {number}", f"turn {number}")
        if number in kills and server.process is not None:
            os.kill(server.process.pid, signal.SIGKILL)
        await asyncio.sleep(rng.random() * 0.01)
    assert await memory.outbox.settle(90)
    await until(memory.postgres.up.is_set)
    rows = await stored(memory.postgres.dsn)
    await memory.close()
    assert [(row[0], row[2]) for row in rows] == [(number, f"turn {number}") for number in range(1, 121)]
    assert server.restarts >= 1


async def test_valkey_killed_loses_nothing_and_hits_come_back(tmp_path: Path) -> None:
    memory = await Memory.open(PersistenceConfig(tmp_path, pool_min=1, pool_max=4))
    server = memory.embedded_valkey
    assert server is not None
    assert server.process is not None
    log = memory.begin_session("call_1", "ada")
    said: list[str] = []
    for number in range(60):
        said.append(f"turn {number}")
        log.user_turn(f"item {number}", said[-1])
        if number in (20, 40) and server.process is not None:
            os.kill(server.process.pid, signal.SIGKILL)
        context = await memory.context("ada", count=60)
        assert context is not None
        assert [message.content for message in context.messages] == said
        await asyncio.sleep(0.005)
    await until(lambda: server.restarts >= 1 and server.process is not None and memory.redis.up.is_set())
    await asyncio.sleep(0.3)
    await until(memory.redis.up.is_set)
    before = memory.redis.figures.hits
    for _ in range(10):
        context = await memory.context("ada", count=60)
        assert context is not None
        assert len(context.messages) == 60
    assert memory.redis.figures.hits - before >= 8
    assert memory.redis.figures.failures > 0
    await memory.close()
    with pytest.raises((RedisError, OSError)):
        await memory.redis._client.ping()
