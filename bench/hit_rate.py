"""How often the fast tiers answer: ordinary conversations in writing, and what health, metrics and Redis count of them.

    morgan bench hit-rate --users 10 --turns 200

Starts a server of its own with databases of its own. The users write in turn, each going on with their last
conversation as a client that comes back does. Prints one JSON object.
"""

import argparse
import asyncio
import json
import random
import re
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
from redis.asyncio import Redis

from bench.own_server import OwnServer, get_json
from server.cli.env import running

LINES = ("Hello there.", "What can you do?", "My dog is called Biscuit.", "And then?", "What did I say of my dog?")
LOOKUPS = re.compile(r'^morgan_cache_lookups_total\{result="(\w+)",tier="redis"\} (\S+)$', re.MULTILINE)


async def counted(http: aiohttp.ClientSession, url: str, redis: Redis) -> dict[str, int]:
    """Look-ups so far, as each of the three counts them."""
    cache = (await get_json(http, f"{url}/health"))["cache"]
    async with http.get(f"{url}/metrics") as response:
        metrics = {result: round(float(value)) for result, value in LOOKUPS.findall(await response.text())}
    stats = await redis.info("stats")
    return {
        "health_hits": cache["hits"],
        "health_misses": cache["misses"],
        "metrics_redis_hits": metrics.get("hit", 0),
        "metrics_redis_misses": metrics.get("miss", 0),
        "redis_keyspace_hits": stats["keyspace_hits"],
        "redis_keyspace_misses": stats["keyspace_misses"],
    }


async def measure(users: int, turns: int, max_tokens: int) -> dict[str, Any]:
    """All turns."""
    rng = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="morgan-bench-") as folder:
        server = OwnServer(Path(folder), MORGAN_LLM_MAX_TOKENS=str(max_tokens))
        await server.start()
        try:
            urls = running(Path(folder)) or {}
            async with aiohttp.ClientSession() as http, Redis.from_url(urls["MORGAN_REDIS_URL"]) as redis:
                before = await counted(http, server.url, redis)
                for turn in range(turns):
                    body = {"text": rng.choice(LINES), "user_id": f"user-{turn % users}"}
                    if turn >= users:
                        body["conversation_id"] = "last"
                    async with http.post(f"{server.url}/api/text", json=body) as response:
                        response.raise_for_status()
                after = await counted(http, server.url, redis)
        finally:
            await server.stop()
    report: dict[str, Any] = {name: after[name] - before[name] for name in after}
    hits, misses = report["health_hits"], report["health_misses"]
    return {"users": users, "turns": turns, **report, "hit_rate": round(hits / (hits + misses), 3)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=10)
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--max-tokens", type=int, default=40, help="of a reply")
    options = parser.parse_args()
    print(json.dumps(asyncio.run(measure(options.users, options.turns, options.max_tokens))))


if __name__ == "__main__":
    main()
