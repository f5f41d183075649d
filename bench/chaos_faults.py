"""What `bench.chaos` breaks around a call: databases, the index, the journal's disk, the clock, the language model."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
from redis.asyncio import Redis

from bench.broken_qdrant import BrokenQdrant, QdrantMode
from bench.broken_upstream import BrokenUpstream, Mode
from bench.kills import Stores, Victim
from bench.small_disk import SmallDisk
from bench.stepped_clock import SteppedClock


@dataclass
class World:
    """What can break.

    Attributes:
        stores: the databases.
        qdrant: the index; a stand-in.
        upstream: the language model.
        disk: under the journal; None where none could be mounted.
        clock: of the server; None where there is no C compiler.
    """

    stores: Stores
    qdrant: BrokenQdrant
    upstream: BrokenUpstream
    disk: SmallDisk | None
    clock: SteppedClock | None


Step = Callable[[World], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """Something that breaks.

    Attributes:
        name: on the command line.
        begin, end: break it, and mend it.
        component: of `/health` that has to tell of it; "" where nothing is wrong with any.
        needs: what the machine must let us have: "disk", "clock", or nothing.
    """

    name: str
    begin: Step
    end: Step
    component: str = ""
    needs: str = ""


def killed(victim: Victim, component: str) -> Fault:
    """kill -9 of a database, which stays dead for a turn."""

    async def begin(world: World) -> None:
        world.stores.kill(victim)

    async def end(world: World) -> None:
        await world.stores.revive(victim)

    return Fault(f"{component}-killed", begin, end, component)


def hung(victim: Victim, component: str) -> Fault:
    """A database that takes connections and never says a word."""

    async def begin(world: World) -> None:
        world.stores.hang(victim)

    async def end(world: World) -> None:
        world.stores.go_on(victim)

    return Fault(f"{component}-hangs", begin, end, component)


def index(mode: QdrantMode) -> Fault:
    """The index does something else than answer."""

    async def begin(world: World) -> None:
        world.qdrant.mode = mode

    async def end(world: World) -> None:
        world.qdrant.mode = "well"

    return Fault(f"qdrant-{mode}", begin, end, "qdrant")


async def _full_postgres(world: World, statement: str) -> None:
    connection = await asyncpg.connect(world.stores.postgres.dsn)
    await connection.execute(statement)
    await connection.close()


FULL = """
CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION full_disk();
"""
"""What a server says whose disk is full, while it can be read and updated."""

ROOM = "DROP TRIGGER full_disk ON messages"


async def _read_only(world: World, value: str) -> None:
    connection = await asyncpg.connect(world.stores.postgres.dsn)
    await connection.execute("SET default_transaction_read_only = off")
    await connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


async def _most_memory(world: World, value: str) -> None:
    client = Redis.from_url(world.stores.valkey.url)
    await client.config_set("maxmemory", value)
    await client.aclose()


async def _full(world: World) -> None:
    assert world.disk is not None
    world.disk.fill()


async def _emptied(world: World) -> None:
    assert world.disk is not None
    world.disk.empty()


def upstream(mode: Mode, component: str = "llm") -> Fault:
    """The language model does something else than answer."""

    async def begin(world: World) -> None:
        world.upstream.mode = mode

    async def end(world: World) -> None:
        world.upstream.mode = "well"

    return Fault(f"llm-{mode}", begin, end, component)


async def _clock_back(world: World) -> None:
    assert world.clock is not None
    world.clock.step(-3600)


async def _clock_right(world: World) -> None:
    assert world.clock is not None
    world.clock.step(0)


FAULTS = (
    killed("postgres", "postgres"),
    killed("valkey", "redis"),
    Fault("postgres-refuses", lambda w: _read_only(w, "on"), lambda w: _read_only(w, "off"), "postgres"),
    Fault("redis-refuses", lambda w: _most_memory(w, "1"), lambda w: _most_memory(w, "0"), "redis"),
    Fault("postgres-full", lambda w: _full_postgres(w, FULL), lambda w: _full_postgres(w, ROOM), "postgres"),
    hung("postgres", "postgres"),
    hung("valkey", "redis"),
    Fault("qdrant-gone", lambda w: w.qdrant.cut(), lambda w: w.qdrant.listen(), "qdrant"),
    index("refuses"),
    index("hangs"),
    Fault("disk-full", _full, _emptied, "journal", needs="disk"),
    Fault("clock-back", _clock_back, _clock_right, needs="clock"),
    upstream("hangs"),
    upstream("dribbles", component=""),
    upstream("rubbish"),
    upstream("closes"),
    upstream("fails"),
)
