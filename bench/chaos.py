"""Everything around a call breaks, in mid-call: is the caller answered, is all that was said kept, is /health true?

    python -m bench.chaos [--runs 10] [--only redis-killed,llm-hangs] [--seed 1]

One call after another over WebRTC to a real server, which keeps its conversations in a PostgreSQL and a Valkey of ours,
its index in a stand-in for Qdrant, its journal on a small disk of ours (a tmpfs; root alone may mount one), reads a
clock that can be set back, and asks a language model of ours that hangs, dribbles, sends rubbish or closes. In each
run: a turn with all well, the fault, a turn with the fault, its end, a turn after it. Prints a table; ends with 1
unless every turn was answered or apologised for within 5 s, the turns after it worked, `/health` told of it while it
lasted and of its end, and each word is in the database once and in order afterwards. (On a machine with other work the
5 s mean little.)
"""

import argparse
import asyncio
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from rich.console import Console
from rich.table import Table

from bench.broken_qdrant import BrokenQdrant
from bench.broken_upstream import BrokenUpstream
from bench.chaos_faults import FAULTS, Fault, World
from bench.kills import SAID, Stores
from bench.own_server import OwnServer, get_json
from bench.small_disk import SmallDisk
from bench.stepped_clock import SteppedClock
from bench.voice_to_voice import CLIPS
from server.cli.call import RATE, read_audio
from server.client.caller import Caller, CallFailedError

USER = "chaos"
ANSWER_S = 5.0
START_S = 600.0
"""A machine that has other work measures itself for long, the first time."""
PATIENCE_S = 60.0
NOTICED_S = 30.0
"""By then `/health` has to tell of a fault."""
HEALTH_S = 0.25
"""Between two looks at it."""
SPOKEN_EVERY = 5
"""So many turns with a fault, and one of them is spoken aloud; the others are typed, which is quicker."""


@dataclass
class Outcome:
    """What came of one fault, run after run.

    Attributes:
        turns_s: seconds from each turn with the fault to the first sound behind it; inf where none came.
        after_s: the same of the turns after it.
        told: runs in which `/health` told of it, and of its end.
        runs: so many there were.
        health_silent: looks at `/health` that it did not answer.
        kept: whether the database has every word once and in order.
        problem: what ended the call before its time.
    """

    turns_s: list[float] = field(default_factory=list)
    after_s: list[float] = field(default_factory=list)
    told: int = 0
    runs: int = 0
    health_silent: int = 0
    kept: bool = False
    problem: str = ""

    @property
    def good(self) -> bool:
        """Whether all of it is as it should be."""
        return (
            self.kept
            and not self.problem
            and self.told == self.runs
            and not self.health_silent
            and max(self.turns_s + self.after_s, default=ANSWER_S + 1) <= ANSWER_S
        )


class Health:
    """Looks at `/health` all the time."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.silent = 0
        self._http = http
        self._url = url
        self._status: dict[str, str] = {}
        self._looked = asyncio.Event()
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            try:
                async with self._http.get(f"{self._url}/health", timeout=aiohttp.ClientTimeout(10)) as response:
                    components = (await response.json())["components"]
                    self._status = {name: found["status"] for name, found in components.items()}
            except (aiohttp.ClientError, TimeoutError, ValueError, KeyError):
                self.silent += 1
            self._looked.set()
            await asyncio.sleep(HEALTH_S)

    async def comes(self, component: str, *, well: bool) -> bool:
        """Whether a component is well, or is not, within some time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(NOTICED_S):
                while (self._status.get(component) == "ok") is not well:
                    self._looked.clear()
                    await self._looked.wait()
                return True
        return False

    async def close(self) -> None:
        """Look away."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Talk:
    """A call that goes on whatever breaks.

    Args:
        caller: in the call.
        rng: chooses what is said.
    """

    def __init__(self, caller: Caller, rng: random.Random) -> None:
        self._caller = caller
        self._rng = rng

    async def turn(self, *, aloud: bool = False) -> float:
        """Say something; seconds until the first sound of an answer or an apology."""
        caller, before = self._caller, self._over()
        if aloud:
            asked = (await caller.say(read_audio(CLIPS / "question.wav"), RATE)).last
        else:
            item = {"type": "input_text", "text": f"{self._rng.choice(SAID)} ({uuid.uuid4().hex[:8]})"}
            message = {"type": "message", "role": "user", "content": [item]}
            caller.send(json.dumps({"type": "conversation.item.create", "item": message}))
            caller.send(json.dumps({"type": "response.create"}))
            asked = time.monotonic()
        try:
            first = await caller.wait_for_sound(asked, PATIENCE_S)
        except CallFailedError:
            return float("inf")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(20):
                await self._until(lambda: self._over() > before and not self._open())
                return first - asked
        # One that dribbles has no end of its own.
        caller.send(json.dumps({"type": "response.cancel"}))
        async with asyncio.timeout(PATIENCE_S):
            await self._until(lambda: self._over() > before and not self._open())
        return first - asked

    def _count(self, kind: str) -> int:
        return sum(f'"{kind}"' in text for _, text in self._caller.messages)

    def _over(self) -> int:
        return self._count("response.done")

    def _open(self) -> int:
        return self._count("response.created") - self._over()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():  # noqa: ASYNC110 - told by nobody
            await asyncio.sleep(0.05)


async def suffer(world: World, server: OwnServer, fault: Fault, runs: int, rng: random.Random) -> Outcome:
    """A call through some runs of a fault."""
    outcome = Outcome()
    conversation = str(uuid.uuid4())
    async with aiohttp.ClientSession() as http:
        health = Health(http, server.url)
        try:
            async with call_to(http, server.url, USER, conversation) as (caller, call_id):
                talk = Talk(caller, rng)
                for number in range(runs):
                    await _run(world, fault, talk, health, outcome, aloud=number % SPOKEN_EVERY == SPOKEN_EVERY - 1)
                turns = (await get_json(http, f"{server.url}/api/calls/{call_id}"))["turns"]
            await _delivered(http, server.url)
            outcome.kept = await _rows(world, conversation) == [(turn["role"], turn["text"]) for turn in turns]
        except (TimeoutError, CallFailedError, aiohttp.ClientError, OSError, asyncpg.PostgresError) as error:
            outcome.problem = f"{type(error).__name__}: {error}"[:200]
            with contextlib.suppress(Exception):
                await fault.end(world)
        finally:
            outcome.health_silent = health.silent
            await health.close()
    return outcome


async def _run(world: World, fault: Fault, talk: Talk, health: Health, outcome: Outcome, *, aloud: bool) -> None:
    outcome.after_s.append(await talk.turn())
    await fault.begin(world)
    noticed = asyncio.create_task(health.comes(fault.component, well=False)) if fault.component else None
    outcome.turns_s.append(await talk.turn(aloud=aloud))
    told = noticed is None or await noticed
    await fault.end(world)
    outcome.after_s.append(await talk.turn())
    well = not fault.component or await health.comes(fault.component, well=True)
    outcome.runs += 1
    outcome.told += told and well


@contextlib.asynccontextmanager
async def call_to(
    http: aiohttp.ClientSession, url: str, user: str, conversation: str
) -> AsyncIterator[tuple[Caller, str]]:
    """A call that stands, and its id."""
    async with Caller() as caller:
        offer = {"sdp": await caller.offer(), "type": "offer", "user_id": user, "conversation_id": conversation}
        async with http.post(f"{url}/api/calls", json=offer) as response:
            response.raise_for_status()
            opened = await response.json()
        await caller.accept(opened["sdp"])
        await caller.channel_open()
        yield caller, opened["call_id"]
        await http.delete(f"{url}/api/calls/{opened['call_id']}")


async def _delivered(http: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await get_json(http, f"{url}/health"))["components"]["journal"]["pending"]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def _rows(world: World, conversation: str) -> list[tuple[Any, ...]]:
    query = "SELECT role, content, sequence_number FROM messages WHERE conversation_id = $1 ORDER BY 3"
    connection = await asyncpg.connect(world.stores.postgres.dsn, timeout=PATIENCE_S)
    try:
        rows = await connection.fetch(query, uuid.UUID(conversation))
    finally:
        await connection.close()
    gapless = [row[2] for row in rows] == list(range(1, len(rows) + 1))
    return [tuple(row)[:2] for row in rows] if gapless else []


async def run(folder: Path, faults: list[Fault], runs: int, seed: int) -> dict[str, Outcome | None]:
    """Each fault some times; None for those that this machine does not let us have."""
    rng, outcomes = random.Random(seed), dict[str, Outcome | None]()
    async with contextlib.AsyncExitStack() as stack:
        world = World(Stores(folder / "stores"), BrokenQdrant(), BrokenUpstream(), None, None)
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            world.disk = stack.enter_context(SmallDisk.mounted(folder / "data"))
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            world.clock = SteppedClock(folder)
        await world.stores.start()
        stack.push_async_callback(world.stores.stop)
        await stack.enter_async_context(world.qdrant.serving())
        await stack.enter_async_context(world.upstream.serving())
        server = world.stores.server(
            folder / "data",
            MORGAN_QDRANT_URL=world.qdrant.url,
            MORGAN_LLM_BASE_URL=world.upstream.url,
            MORGAN_LLM_MODEL="m",
            MORGAN_LLM_ENGINE="openai",
            **(world.clock.environ if world.clock else {}),
        )
        await server.start(START_S)
        stack.push_async_callback(server.stop)
        for fault in faults:
            there = not fault.needs or getattr(world, fault.needs) is not None
            outcomes[fault.name] = await suffer(world, server, fault, runs, rng) if there else None
            print(f"{fault.name}: {outcomes[fault.name]}", file=sys.stderr, flush=True)
    return outcomes


def table(outcomes: dict[str, Outcome | None]) -> Table:
    """The outcomes, for people."""
    shown = Table("fault", "runs", "answered in 5 s", "longest s", "next turn", "kept", "/health", "")
    for name, outcome in outcomes.items():
        if outcome is None:
            shown.add_row(name, "-", "", "", "", "", "", "cannot be had on this machine")
            continue
        in_time = [sum(s <= ANSWER_S for s in times) for times in (outcome.turns_s, outcome.after_s)]
        shown.add_row(
            name,
            str(outcome.runs),
            f"{in_time[0]}/{len(outcome.turns_s)}",
            f"{max(outcome.turns_s, default=0):.2f}",
            f"{in_time[1]}/{len(outcome.after_s)}",
            "all" if outcome.kept else "NOT ALL",
            f"{outcome.told}/{outcome.runs}" + (f", silent {outcome.health_silent}" if outcome.health_silent else ""),
            outcome.problem,
        )
    return shown


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--only", default="", help=f"some of {', '.join(fault.name for fault in FAULTS)}")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    wanted = set(options.only.split(",")) if options.only else {fault.name for fault in FAULTS}
    faults = [fault for fault in FAULTS if fault.name in wanted]
    with tempfile.TemporaryDirectory() as folder:
        outcomes = asyncio.run(run(Path(folder), faults, options.runs, options.seed))
    Console().print(table(outcomes))
    sys.exit(not all(outcome is None or outcome.good for outcome in outcomes.values()))


if __name__ == "__main__":
    main()
