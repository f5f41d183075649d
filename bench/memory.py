"""What memory costs: writing on the event loop, and reading with 100,000 messages stored.

python -m bench.memory [--messages 100000] [--users 20]
"""

import argparse
import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from persistence.config import PersistenceConfig
from persistence.memory import Memory
from persistence.values import DIMENSIONS
from server.engines.factory import build_embedder
from server.memory.recall import CANDIDATES, MemoryEmbedder
from server.settings import load_settings

QUESTION = "do you remember what I said about number"


def percentiles(seconds: list[float]) -> str:
    """p50, p95 and p99 in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100)
    return " ".join(f"p{at} {cuts[at - 1] * 1000:8.3f} ms" for at in (50, 95, 99))


async def fill(memory: Memory, messages: int, users: int) -> list[str]:
    """Conversations of 50 messages each, with embeddings, written straight into PostgreSQL."""
    owners = [f"user {number}" for number in range(users)]
    async with memory.postgres.connection() as connection:
        await connection.execute(
            """
            INSERT INTO conversations (id, user_id, title, message_count, updated_at)
            SELECT gen_random_uuid(), 'user ' || (n % $2), 'conversation ' || n, 50, now() - n * interval '1 min'
            FROM generate_series(1, $1::int) AS n
            """,
            messages // 50,
            users,
        )
        await connection.execute(
            f"""
            INSERT INTO messages (id, conversation_id, sequence_number, role, content, created_at, embedding)
            SELECT gen_random_uuid(), c.id, n, CASE WHEN n % 2 = 1 THEN 'user' ELSE 'assistant' END,
                   'something that was said about number ' || n, c.updated_at - (50 - n) * interval '1 s',
                   (SELECT array_agg((random() - 0.5)::real) FROM generate_series(1, {DIMENSIONS} + 0 * n))
            FROM conversations c, generate_series(1, 50) AS n WHERE c.user_id LIKE 'user %'
            """,
            timeout=600,
        )
        await connection.execute("ANALYZE", timeout=600)
    return owners


async def timed(name: str, count: int, work: Callable[[int], Awaitable[object]]) -> None:
    """Print the percentiles of an operation."""
    seconds = []
    for number in range(count):
        started = time.perf_counter()
        await work(number)
        seconds.append(time.perf_counter() - started)
    print(f"{name:34} {percentiles(seconds)}")


async def measure_writing(memory: Memory) -> None:
    """A turn of a call: what it holds up on the event loop, and how soon PostgreSQL has it."""
    log = memory.begin_session("call_bench", "bench")
    held: list[float] = []
    for number in range(500):
        started = time.perf_counter()
        log.user_turn(f"item_{uuid.uuid4().hex}", f"turn {number}: a sentence of ordinary length, as people say them")
        held.append(time.perf_counter() - started)
        await asyncio.sleep(0.002)
    print(f"{'write: event loop held':34} {percentiles(held)}")

    async def to_postgres(number: int) -> None:
        log.user_turn(f"item_{uuid.uuid4().hex}", f"late turn {number}")
        await memory.outbox.settle(10)

    await timed("write: until PostgreSQL has it", 200, to_postgres)


async def measure_reading(memory: Memory, owners: list[str]) -> None:
    """Lists, pages and searches."""
    firsts = [(await memory.list_conversations(owner, 50)).items for owner in owners]
    await timed("conversation list (50)", 300, lambda n: memory.list_conversations(owners[n % len(owners)], 50))
    await timed(
        "message page (50)",
        300,
        lambda n: memory.messages(str(firsts[n % len(owners)][0].id), firsts[n % len(owners)][0].user_id, 50),
    )
    await timed("context from the fast tiers", 500, lambda n: memory.context("bench"))
    search = memory.recaller.search
    await timed("search by meaning (10)", 300, lambda n: search(owners[n % len(owners)], f"{QUESTION} {n}", 10))
    await timed(
        f"recall ({CANDIDATES}) for a turn",
        300,
        lambda n: memory.recall(owners[n % len(owners)], f"{QUESTION} {n}", CANDIDATES, 1000.0),
    )


async def measure_all() -> None:
    """Run the whole."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=20)
    arguments = parser.parse_args()
    engine = build_embedder(load_settings())
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        memory = await Memory.open(PersistenceConfig(Path(folder)), MemoryEmbedder(engine) if engine else None)
        print(f"first start {time.perf_counter() - started:.2f} s")
        try:
            await measure_writing(memory)
            await memory.worker.close()
            owners = await fill(memory, arguments.messages, arguments.users)
            started = time.perf_counter()
            points = 0
            async for progress in memory.worker.rebuild():
                points = progress.done
            print(f"index of {points} messages made anew in {time.perf_counter() - started:.1f} s")
            await measure_reading(memory, owners)
        finally:
            await memory.close()
            if engine is not None:
                await engine.close()


def main() -> None:
    """Command line."""
    asyncio.run(measure_all())


if __name__ == "__main__":
    main()
