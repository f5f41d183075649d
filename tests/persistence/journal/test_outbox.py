"""The outbox: in order, exactly once, through outages of PostgreSQL and ends of the process."""

import asyncio
import contextlib
import random
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from persistence.config import PersistenceConfig
from persistence.errors import JournalFullError
from persistence.journal import statements as delivery
from persistence.journal.frames import Frame
from persistence.journal.operations import (
    EndLostSessions,
    Operation,
    PutConversation,
    PutLatency,
    PutMessage,
    PutSession,
    RemoveMessage,
    decode,
    encode,
)
from persistence.journal.outbox import Outbox
from persistence.postgres.pool import Postgres
from persistence.tasks import ended
from tests.persistence.parts import Relay, address, stored, through, until

CONVERSATION = uuid.uuid4()


def now() -> datetime:
    return datetime.now(tz=UTC)


def begin(conversation: uuid.UUID = CONVERSATION, user: str = "ada") -> PutConversation:
    return PutConversation(conversation, user, "call", "en", now())


def turn(number: int, conversation: uuid.UUID = CONVERSATION, user: str = "ada") -> PutMessage:
    role = "user" if number % 2 else "assistant"
    return PutMessage(uuid.uuid4(), conversation, user, role, f"turn {number}", now())  # type: ignore[arg-type]


def turns(count: int) -> list[tuple[int, str, str]]:
    return [(n, "user" if n % 2 else "assistant", f"turn {n}") for n in range(1, count + 1)]


class Rig:
    """An outbox behind a relay that can be cut."""

    def __init__(self, dsn: str, relay: Relay, folder: Path) -> None:
        self.dsn, self.relay, self.folder = dsn, relay, folder
        self.postgres: Postgres
        self.outbox: Outbox

    async def start(self, **changes: object) -> Outbox:
        self.postgres = Postgres(through(self.dsn, self.relay.port), pool_min=1, pool_max=2, connect_timeout_s=1)
        config = PersistenceConfig(self.folder, **changes)  # type: ignore[arg-type]
        self.outbox = Outbox(config, self.postgres)
        await self.outbox.start()
        await self.postgres.start(0.5)
        return self.outbox

    async def crash(self) -> None:
        """End without delivering or closing anything, as far as a living process can."""
        await ended(self.outbox._tasks)
        self.outbox._thread.shutdown()
        await self.postgres.close()

    async def stop(self) -> None:
        await self.outbox.close()
        await self.postgres.close()


@pytest_asyncio.fixture
async def rig(dsn: str, tmp_path: Path) -> AsyncIterator[Rig]:
    relay = Relay(*address(dsn))
    await relay.open()
    yield Rig(dsn, relay, tmp_path)
    await relay.cut()


async def test_operations_arrive_in_order_and_soon(rig: Rig) -> None:
    outbox = await rig.start()
    outbox.append(begin())
    for number in range(1, 51):
        outbox.append(turn(number))
    assert await outbox.settle(5)
    assert await stored(rig.dsn) == turns(50)
    await rig.stop()


@pytest.mark.parametrize("operation", [begin(), turn(1), PutLatency(uuid.uuid4(), CONVERSATION, {"stt": 4.5})])
def test_operations_survive_the_journal(operation: Operation) -> None:
    assert decode(Frame(1, *encode(operation))) == operation


async def test_an_outage_costs_nothing_but_delay(rig: Rig) -> None:
    outbox = await rig.start()
    outbox.append(begin())
    outbox.append(turn(1))
    assert await outbox.settle(5)
    await rig.relay.cut()
    for number in range(2, 400):
        outbox.append(turn(number))
    assert not await outbox.settle(0.3)
    assert outbox.measure().pending == 398
    await rig.relay.open()
    assert await outbox.settle(15)
    assert await stored(rig.dsn) == turns(399)
    await rig.stop()


async def test_what_waits_outlives_the_process(rig: Rig) -> None:
    await rig.relay.cut()
    outbox = await rig.start()
    outbox.append(begin())
    for number in range(1, 31):
        outbox.append(turn(number))
    await until(lambda: outbox.written == outbox.recorded)
    await rig.crash()
    await rig.relay.open()
    again = await rig.start()
    assert len(await again.pending()) in (0, 31)
    assert await again.settle(10)
    assert await stored(rig.dsn) == turns(30)
    await rig.stop()


@pytest.mark.parametrize("seed", range(4))
async def test_random_cuts_and_crashes_lose_and_double_nothing(rig: Rig, seed: int) -> None:
    rng = random.Random(seed)
    outbox = await rig.start()
    outbox.append(begin())
    for number in range(1, 61):
        outbox.append(turn(number))
        if rng.random() < 0.5:
            await asyncio.sleep(rng.random() * 0.01)
        if rng.random() < 0.08:
            await rig.relay.cut()
            if rng.random() < 0.5:
                await until(lambda: rig.outbox.written == rig.outbox.recorded)
                await rig.crash()
                outbox = await rig.start()
            await rig.relay.open()
    assert await outbox.settle(15)
    assert await stored(rig.dsn) == turns(60)
    await rig.stop()


async def test_a_commit_that_was_not_confirmed_is_not_repeated(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = await rig.start()
    applied: list[Operation] = []
    real = delivery.apply

    async def apply(connection: object, operation: Operation) -> None:
        applied.append(operation)
        await real(connection, operation)

    monkeypatch.setattr(delivery, "apply", apply)
    transaction = outbox._delivery._transaction

    async def unconfirmed(frames: list[Frame]) -> None:
        monkeypatch.setattr(outbox._delivery, "_transaction", transaction)
        await transaction(frames)
        raise ConnectionResetError("the answer to COMMIT was lost")

    monkeypatch.setattr(outbox._delivery, "_transaction", unconfirmed)
    outbox.append(begin())
    outbox.append(turn(1))
    assert await outbox.settle(5)
    assert len(applied) == 2
    assert await stored(rig.dsn) == turns(1)
    await rig.stop()


async def test_a_record_that_postgresql_refuses_does_not_stop_the_others(rig: Rig) -> None:
    outbox = await rig.start()
    outbox.append(begin())
    outbox.append(turn(1))
    outbox.append(PutMessage(uuid.uuid4(), CONVERSATION, "ada", "nobody", "no such role", now()))  # type: ignore[arg-type]
    outbox.append(turn(2))
    assert await outbox.settle(5)
    assert await stored(rig.dsn) == turns(2)
    assert outbox.figures.refused == 1
    assert "no such role" in (rig.folder / "journal" / "refused.jsonl").read_text()
    await rig.stop()


async def test_what_postgresql_refuses_is_kept_within_bounds(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("persistence.journal.refused.REFUSED_BYTES", 2_000)
    outbox = await rig.start()
    outbox.append(begin())
    for number in range(50):
        outbox.append(PutMessage(uuid.uuid4(), CONVERSATION, "ada", "nobody", f"no such role {number}", now()))  # type: ignore[arg-type]
    assert await outbox.settle(30)
    assert outbox.figures.refused == 50
    await rig.stop()
    journal = rig.folder / "journal"
    kept = [journal / "refused.jsonl", journal / "refused.jsonl.1"]
    assert sorted(each.name for each in journal.glob("refused*")) == [each.name for each in kept]
    assert sum(each.stat().st_size for each in kept) < 6_000
    assert "no such role 49" in kept[0].read_text()
    assert all(each.stat().st_mode & 0o077 == 0 for each in kept)


async def test_a_full_journal_warns_before_it_refuses(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    await rig.relay.cut()
    outbox = await rig.start(journal_max_bytes=20_000)
    outbox.append(begin())
    taken = 0
    with contextlib.suppress(JournalFullError):
        while outbox.append(turn(taken + 1)) < 1000:
            taken += 1
    said = capsys.readouterr().out
    assert said.index("journal fills up") < said.index("journal cannot take a record")
    assert said.count("journal fills up") == 3
    assert outbox.figures.lost == 1
    await rig.relay.open()
    assert await outbox.settle(10)
    assert await stored(rig.dsn) == turns(taken)
    outbox.append(turn(taken + 1))
    assert await outbox.settle(5)
    await rig.stop()


async def test_a_disk_that_is_full_for_a_while_loses_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = await rig.start()
    write = outbox._append

    def full(frames: list[Frame]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(outbox, "_append", full)
    outbox.append(begin())
    outbox.append(turn(1))
    await until(lambda: "No space" in outbox.disk.problem)
    monkeypatch.setattr(outbox, "_append", write)
    assert await outbox.settle(10)
    assert outbox.disk.problem == ""
    assert await stored(rig.dsn) == turns(1)
    await rig.stop()


async def test_two_writers_on_one_conversation_leave_no_gap_and_no_number_twice(rig: Rig, tmp_path: Path) -> None:
    other = Rig(rig.dsn, rig.relay, tmp_path / "other")
    outboxes = [await rig.start(), await other.start()]
    for outbox in outboxes:
        outbox.append(begin())
    for number in range(1, 101):
        outboxes[number % 2].append(turn(number))
        if number % 10 == 0:
            await asyncio.sleep(0)
    for outbox in outboxes:
        assert await outbox.settle(10)
    rows = await stored(rig.dsn)
    assert [row[0] for row in rows] == list(range(1, 101))
    assert {row[2] for row in rows} == {f"turn {number}" for number in range(1, 101)}
    await rig.stop()
    await other.stop()


async def test_a_message_put_again_keeps_its_place(rig: Rig) -> None:
    outbox = await rig.start()
    first, second = turn(1), turn(2)
    longer = PutMessage(first.id, CONVERSATION, "ada", "user", "turn 1 and more", now())
    for operation in (begin(), first, second, longer):
        outbox.append(operation)
    assert await outbox.settle(5)
    assert await stored(rig.dsn) == [(1, "user", "turn 1 and more"), (2, "assistant", "turn 2")]
    await rig.stop()


async def test_later_messages_move_up_when_one_is_taken_back(rig: Rig) -> None:
    outbox = await rig.start()
    said = [turn(number) for number in range(1, 6)]
    operations: list[Operation] = [begin(), *said, RemoveMessage(said[1].id, CONVERSATION), turn(6)]
    for operation in operations:
        outbox.append(operation)
    assert await outbox.settle(5)
    rows = await stored(rig.dsn)
    assert [(row[0], row[2]) for row in rows] == [
        (1, "turn 1"),
        (2, "turn 3"),
        (3, "turn 4"),
        (4, "turn 5"),
        (5, "turn 6"),
    ]
    await rig.stop()


async def test_nobody_writes_into_another_users_conversation_or_message(rig: Rig) -> None:
    outbox = await rig.start()
    hers, his = turn(1), uuid.uuid4()
    stolen = PutMessage(hers.id, his, "eve", "user", "overwritten", now())
    for operation in (begin(), hers, begin(user="eve"), turn(2, user="eve"), begin(his, "eve"), stolen):
        outbox.append(operation)
    assert await outbox.settle(5)
    assert await stored(rig.dsn) == [(1, "user", "turn 1")]
    await rig.stop()


async def test_sessions_that_a_killed_server_left_open_are_ended_at_its_next_start(rig: Rig) -> None:
    outbox = await rig.start()
    session = PutSession("call_1", CONVERSATION, "ada", "call", "active", "server-1", now())
    for operation in (
        begin(),
        turn(1),
        session,
        EndLostSessions("server-2", now()),
        EndLostSessions("server-1", now()),
    ):
        outbox.append(operation)
    assert await outbox.settle(5)
    async with rig.postgres.connection() as connection:
        row = await connection.fetchrow("SELECT state, end_reason, ended_at FROM streaming_sessions")
        assert (row["state"], row["end_reason"]) == ("ended", "server_lost")
        assert row["ended_at"] == await connection.fetchval("SELECT ended_at FROM conversations")
    await rig.stop()
