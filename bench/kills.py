"""A database killed in mid-call, then the server: is every turn there afterwards, once and in order?

    morgan bench kills --runs 20 --victim postgres
    morgan bench kills --runs 20 --victim valkey

Each run places a real call that goes on with the conversation of the run before, talks, kills the database (SIGKILL; it
stays dead), talks on for five turns, asks the server what was said (`GET /api/calls/{id}`), kills the server, starts
both again, and compares with the rows. With a Valkey killed, cached reads must be hits again afterwards. Prints one
JSON object for each run and one for all; ends with 1 if anything was lost, doubled or out of order.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import aiohttp
import asyncpg

from bench.own_server import OwnServer, ServerFailedError, get_json
from bench.voice_to_voice import CLIPS
from persistence.config import PersistenceConfig
from persistence.embedded.postgres import EmbeddedPostgres
from persistence.embedded.server import EmbeddedServer
from persistence.embedded.valkey import EmbeddedValkey
from server.cli.call import RATE, read_audio
from server.client.caller import Caller, CallFailedError

Victim = Literal["postgres", "valkey"]

USER = "kills"
TURNS_AFTER = 5
"""Turns with the database dead."""

SAID = ("What is your name?", "How are you today?", "Tell me a colour.", "Name an animal.", "What is two and two?")

PATIENCE_S = 120.0
"""With anything: the machine may be busy, and what is measured is not its speed."""

STALL_S = 3.0
"""A machine that stands still for longer may end a call."""


class CallBrokenError(RuntimeError):
    """The call did not get to the point at which the server was to be killed."""


class _MortalPostgres(EmbeddedPostgres):
    """Stays dead when killed."""

    async def _keep_up(self) -> None:
        return


class _MortalValkey(EmbeddedValkey):
    """Stays dead when killed."""

    async def _keep_up(self) -> None:
        return


class Stores:
    """The databases that the server is configured to use, started and killed by us.

    Args:
        folder: where they keep their data.
    """

    def __init__(self, folder: Path) -> None:
        config = PersistenceConfig(folder)
        self.postgres, self.valkey = _MortalPostgres(config), _MortalValkey(config)

    async def start(self) -> None:
        """Start both."""
        await asyncio.gather(self.postgres.start(), self.valkey.start())

    def kill(self, victim: Victim) -> None:
        """kill -9."""
        assert self._of(victim).process is not None
        os.kill(self._of(victim).process.pid, signal.SIGKILL)  # type: ignore[union-attr]

    async def revive(self, victim: Victim) -> None:
        """Start the killed one again, on its data and its port."""
        await self._of(victim).start()

    def hang(self, victim: Victim) -> None:
        """The kernel goes on to take connections and commands for it; it answers none."""
        self._signal(victim, signal.SIGSTOP)

    def go_on(self, victim: Victim) -> None:
        """Let it answer again."""
        self._signal(victim, signal.SIGCONT)

    async def stop(self) -> None:
        """Stop both."""
        await asyncio.gather(self.postgres.stop(), self.valkey.stop())

    def server(self, data_dir: Path, **environ: str) -> OwnServer:
        """A server on them; replies are heard to their end, so they are kept short."""
        server = OwnServer(
            data_dir,
            MORGAN_POSTGRES_DSN=self.postgres.dsn,
            MORGAN_REDIS_URL=self.valkey.url,
            MORGAN_LLM_MAX_TOKENS="12",
        )
        server.environ |= environ
        return server

    def _signal(self, victim: Victim, number: signal.Signals) -> None:
        """To the server and its children; those that are ending by themselves are left."""
        server = self._of(victim).process
        assert server is not None
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        for pid in (server.pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _of(self, victim: Victim) -> EmbeddedServer:
        return self.postgres if victim == "postgres" else self.valkey


@dataclass(slots=True)
class Run:
    """What came of a run.

    Attributes:
        turns: messages of this call, as the server told them before it was killed.
        spoken: of them, turns that were spoken aloud.
        whole: all messages so far are there once, in order, numbered without a gap.
        ended: the killed server's session is marked as lost.
        hits: cached reads that were hits, of the two after the restart.
        back_s: from the start of the server to everything being delivered.
        seconds: the whole run took.
    """

    turns: int = 0
    spoken: int = 0
    whole: bool = False
    ended: bool = False
    hits: int = 0
    back_s: float = 0.0
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Nothing is missing, and the cache works."""
        return self.whole and self.ended and self.hits > 0


class Conversation:
    """One conversation over many calls and deaths, and what should be in it.

    Args:
        stores: the databases.
        server: the one that dies.
        rng: when things die.
    """

    def __init__(self, stores: Stores, server: OwnServer, rng: random.Random) -> None:
        self.id = str(uuid.uuid4())
        self.expected: list[tuple[str, str]] = []
        self._stores = stores
        self._server = server
        self._rng = rng

    async def run(self, victim: Victim, *, speak: bool) -> Run:
        """Talk, kill, talk on, kill, start again, look."""
        began, done = time.monotonic(), Run()
        async with aiohttp.ClientSession() as http:
            call_id, turns = await self._talk_and_die(http, victim, done, speak=speak)
            self.expected += [(turn["role"], turn["text"]) for turn in turns]
            done.turns = len(turns)
            await self._stores.revive(victim)
            started = time.monotonic()
            await self._server.start()
            await self._delivered(http)
            done.back_s = round(time.monotonic() - started, 2)
            done.whole = await self._whole()
            done.ended = await self._session_lost(call_id)
            done.hits = await self._hits(http)
        done.seconds = round(time.monotonic() - began, 1)
        return done

    async def _talk_and_die(
        self, http: aiohttp.ClientSession, victim: Victim, done: Run, *, speak: bool
    ) -> tuple[str, list[dict[str, Any]]]:
        """The id of the call, and what the server told of it before it was killed."""
        async with self._call(http) as (caller, call_id):
            try:
                for _ in range(self._rng.randrange(1, 3)):
                    await self._turn(caller)
                await asyncio.sleep(self._rng.random() * 0.3)
                self._stores.kill(victim)
                for number in range(TURNS_AFTER):
                    aloud = speak and number == 2
                    done.spoken += aloud
                    await self._turn(caller, aloud=aloud)
                turns = (await get_json(http, f"{self._server.url}/api/calls/{call_id}"))["turns"]
            except (TimeoutError, CallFailedError, aiohttp.ClientError) as error:
                last = [json.loads(text)["type"] for _, text in list(caller.messages)[-12:]]
                raise CallBrokenError(f"{error!r}; the caller is {caller.state} and heard of {last}") from error
            await self._server.kill()
        return call_id, turns

    @contextlib.asynccontextmanager
    async def _call(self, http: aiohttp.ClientSession) -> AsyncIterator[tuple[Caller, str]]:
        async with Caller() as caller:
            offer = {"sdp": await caller.offer(), "type": "offer", "user_id": USER, "conversation_id": self.id}
            async with http.post(f"{self._server.url}/api/calls", json=offer) as response:
                response.raise_for_status()
                opened = await response.json()
            await caller.accept(opened["sdp"])
            await caller.channel_open()
            yield caller, opened["call_id"]

    async def _turn(self, caller: Caller, *, aloud: bool = False) -> None:
        """Say or type something, and hear the reply or (half of the time) cut it."""
        before = _replies(caller)
        if aloud:
            await caller.say(read_audio(CLIPS / "question.wav"), RATE)
        else:
            item = {"type": "input_text", "text": self._rng.choice(SAID)}
            message = {"type": "message", "role": "user", "content": [item]}
            caller.send(json.dumps({"type": "conversation.item.create", "item": message}))
            caller.send(json.dumps({"type": "response.create"}))
        asked = time.monotonic()

        async def heard_or_over() -> bool:
            # A reply may be empty.
            return caller.first_sound_after(asked) is not None or _replies(caller) > before

        await _until(heard_or_over)
        if self._rng.random() < 0.5:
            await asyncio.sleep(0.4 + self._rng.random() * 0.4)
            caller.send(json.dumps({"type": "response.cancel"}))

        async def over() -> bool:
            return _replies(caller) > before

        await _until(over)

    async def _delivered(self, http: aiohttp.ClientSession) -> None:
        async def nothing_waits() -> bool:
            health = await get_json(http, f"{self._server.url}/health")
            return bool(health["components"]["journal"]["pending"] == 0)

        await _until(nothing_waits)

    async def _whole(self) -> bool:
        rows = await self._rows(
            "SELECT sequence_number, role, content FROM messages WHERE conversation_id = $1 ORDER BY 1",
            uuid.UUID(self.id),
        )
        numbered = [(number, *said) for number, said in enumerate(self.expected, 1)]
        return [tuple(row) for row in rows] == numbered

    async def _session_lost(self, call_id: str) -> bool:
        rows = await self._rows("SELECT end_reason FROM streaming_sessions WHERE id = $1", call_id)
        return [row[0] for row in rows] == ["server_lost"]

    async def _hits(self, http: aiohttp.ClientSession) -> int:
        """Hits of two reads of the conversation: of a Valkey that came back empty the first may be a miss."""
        before = (await get_json(http, f"{self._server.url}/health"))["cache"]["redis_hits"]
        for _ in range(2):
            text = {"text": "Say yes.", "user_id": USER, "conversation_id": self.id}
            async with http.post(f"{self._server.url}/api/text", json=text) as response:
                response.raise_for_status()
                self.expected += [("user", text["text"]), ("assistant", (await response.json())["text"])]
        after = (await get_json(http, f"{self._server.url}/health"))["cache"]["redis_hits"]
        return int(after - before)

    async def _rows(self, query: str, *values: object) -> list[Any]:
        connection = await asyncpg.connect(self._stores.postgres.dsn, timeout=PATIENCE_S)
        try:
            return list(await connection.fetch(query, *values))
        finally:
            await connection.close()


def _replies(caller: Caller) -> int:
    """Replies that are over, as the server told the caller."""
    return sum('"response.done"' in text for _, text in caller.messages)


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not await condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE_S:.0f} s for {condition.__name__}")
        await asyncio.sleep(0.05)


class Stalls:
    """Notices when the server, or we, stand still: calls end of that, which says nothing of what is remembered.

    Args:
        url: of the server.
    """

    def __init__(self, url: str) -> None:
        self.longest_s = 0.0
        self._url = f"{url}/health/live"
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        async with aiohttp.ClientSession() as http:
            while True:
                asked = time.monotonic()
                # A server that is dead refuses at once; one that stands still lets us wait.
                with contextlib.suppress(aiohttp.ClientError):
                    await get_json(http, self._url)
                await asyncio.sleep(0.2)
                self.longest_s = max(self.longest_s, time.monotonic() - asked)

    async def close(self) -> None:
        """Stop watching."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def kill_again_and_again(folder: Path, victims: Sequence[Victim], seed: int) -> list[Run]:
    """One run for each victim, in one conversation; a call that broke because the machine stood still is made again.

    Raises:
        CallBrokenError: a call broke, and the machine is not to blame.
    """
    stores, rng = Stores(folder / "stores"), random.Random(seed)
    await stores.start()
    server = stores.server(folder / "data")
    stalls = Stalls(server.url)
    done: list[Run] = []
    try:
        await server.start()
        conversation = Conversation(stores, server, rng)
        while len(done) < len(victims):
            victim, stalls.longest_s = victims[len(done)], 0.0
            try:
                # Every fourth call is also spoken in.
                run = await conversation.run(victim, speak=len(done) % 4 == 0)
            except CallBrokenError as error:
                print(json.dumps({"broken": str(error), "stall_s": round(stalls.longest_s, 1)}), flush=True)
                if stalls.longest_s < STALL_S:
                    raise
                await server.kill()
                await stores.stop()
                await stores.start()
                await server.start()
                conversation = Conversation(stores, server, rng)
                continue
            done.append(run)
            print(json.dumps({"run": len(done), "victim": victim, **asdict(run)}), flush=True)
    finally:
        await stalls.close()
        with contextlib.suppress(ServerFailedError):
            await server.stop()
        await stores.stop()
    return done


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--victim", choices=("postgres", "valkey"), default="postgres")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        done = asyncio.run(kill_again_and_again(Path(folder), [options.victim] * options.runs, options.seed))
    good = sum(run.good for run in done)
    print(json.dumps({"victim": options.victim, "runs": len(done), "good": good, "turns": sum(r.turns for r in done)}))
    sys.exit(good < len(done))


if __name__ == "__main__":
    main()
