"""What is older than its retention period goes from every store, in batches, and nothing else does."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
from redis import Redis

from persistence.config import Retention
from persistence.journal.frames import Frame
from persistence.journal.journal import Journal
from persistence.journal.refused import RefusedRecords
from persistence.memory import Memory
from persistence.retention import Sweeper
from persistence.values import AudioTranscription, Passage, TtsGeneration
from tests.persistence.parts import Open, item, texts, until

HOUR = 3600.0


async def age(connection: asyncpg.Connection, what: str, hours: float) -> None:
    """Make the rows whose text, user or conversation has `what` in it so many hours old."""
    past = datetime.now(tz=UTC) - timedelta(hours=hours)
    await connection.execute("UPDATE messages SET created_at = $2 WHERE content LIKE '%' || $1 || '%'", what, past)
    await connection.execute(
        "UPDATE audio_transcriptions SET created_at = $2 WHERE text LIKE '%' || $1 || '%'", what, past
    )
    await connection.execute(
        "UPDATE tts_generations SET created_at = $2, last_used_at = $2 WHERE text LIKE '%' || $1 || '%'", what, past
    )
    await connection.execute(
        "UPDATE conversations SET updated_at = $2, started_at = $2 WHERE user_id LIKE '%' || $1 || '%'", what, past
    )
    await connection.execute(
        "UPDATE streaming_sessions SET started_at = $2, ended_at = $2 WHERE user_id LIKE '%' || $1 || '%'", what, past
    )


async def delivered(memory: Memory) -> None:
    assert await memory.outbox.settle(10)
    assert await memory.worker.idle(30)
    assert await memory.redis.flush(5)


async def test_old_conversations_go_with_all_that_hangs_on_them(
    open_memory: Open, connection: asyncpg.Connection, redis_url: str
) -> None:
    memory = await open_memory()
    deleted: list[tuple[str, object]] = []

    async def on_deleted(user_id: str, conversation_id: object) -> None:
        deleted.append((user_id, conversation_id))

    memory.on_deleted = on_deleted
    old = [memory.begin_session(f"call_{number}", f"bygone_{number}") for number in range(5)]
    for number, log in enumerate(old):
        turn = item()
        log.user_turn(turn, "bygone words")
        log.transcription(AudioTranscription(f"call_{number}", "bygone words", message_id=turn))
        memory.end_session(f"call_{number}", "hangup")
    memory.record_transcription(AudioTranscription("upload_1", "bygone upload"))
    memory.tts.put(TtsGeneration("k", "bygone reply", "joe", "pcm", 24000, 10, b"x"), old[0].conversation_id)
    memory.tts.put(TtsGeneration("n", "bygone speech of nobody", "joe", "pcm", 24000, 10, b"x"))
    fresh = memory.conversation("ada")
    fresh.user_turn(item(), "fresh words")
    await delivered(memory)
    await age(connection, "bygone", 3)

    sweeper = Sweeper(memory, Retention(messages_s=2 * HOUR), batch=2)
    await sweeper.sweep()
    await delivered(memory)
    for table in ("conversations", "messages", "streaming_sessions", "audio_transcriptions", "tts_generations"):
        assert "bygone" not in str(await connection.fetch(f"SELECT * FROM {table}")), table
    assert (sweeper.figures.conversations, sweeper.figures.transcriptions, sweeper.figures.generations) == (5, 1, 1)
    assert await memory.tts.get("k") is None
    assert await memory.tts.get("n") is None
    assert await memory.vectors.count() == 1
    assert sorted(user for user, _ in deleted) == [f"bygone_{number}" for number in range(5)]
    with Redis.from_url(redis_url, decode_responses=True) as client:
        assert [key for key in client.keys("conversation:*") if "bygone" in key] == []
    assert texts(await memory.context("bygone_1")) == []
    assert texts(await memory.context("ada")) == ["fresh words"]


async def test_of_a_conversation_that_goes_on_the_old_words_go_everywhere(
    open_memory: Open, connection: asyncpg.Connection, redis_url: str
) -> None:
    memory, other = await open_memory("a"), await open_memory("b", qdrant_url="http://127.0.0.1:9")
    log = memory.conversation("ada")
    for text in ("bygone question", "bygone answer", "and now", "yes now"):
        log.user_turn(item(), text)
    await delivered(memory)
    identity = str(log.conversation_id)
    assert "bygone question" in texts(await other.context("ada", identity))
    await age(connection, "bygone", 3)
    await connection.execute("UPDATE messages SET metadata = '{}'")

    sweeper = Sweeper(memory, Retention(messages_s=2 * HOUR))
    # The copies here know the times at which it was said, not those that this test has made up.
    for copy in memory.store._entries.values():
        copy.messages = [each for each in copy.messages if "bygone" not in each.content]
    await sweeper.sweep()
    await delivered(memory)
    assert sweeper.figures.messages == 2
    rows = await connection.fetch("SELECT sequence_number, content FROM messages ORDER BY 1")
    assert [tuple(row) for row in rows] == [(1, "and now"), (2, "yes now")]
    kept = await connection.fetchrow("SELECT title, message_count FROM conversations")
    assert tuple(kept) == ("and now", 2)
    assert await memory.vectors.count() == 2
    with Redis.from_url(redis_url, decode_responses=True) as client:
        assert "bygone" not in str(client.get("conversation:ada"))
    assert texts(await memory.context("ada", identity)) == ["and now", "yes now"]
    await until(lambda: "bygone" not in str(other.store._entries))
    assert texts(await other.context("ada", identity)) == ["and now", "yes now"]
    # The next message goes on behind them.
    log.user_turn(item(), "later")
    await delivered(memory)
    assert await connection.fetchval("SELECT max(sequence_number) FROM messages") == 3


async def test_a_call_that_is_open_keeps_its_conversation(open_memory: Open, connection: asyncpg.Connection) -> None:
    memory = await open_memory()
    memory.begin_session("call_1", "ada")
    await delivered(memory)
    await connection.execute("UPDATE conversations SET updated_at = now() - interval '3 hours'")
    await Sweeper(memory, Retention(messages_s=2 * HOUR)).sweep()
    assert await connection.fetchval("SELECT count(*) FROM conversations") == 1


async def test_memories_go_before_the_messages_do_and_are_not_made_again(
    open_memory: Open, connection: asyncpg.Connection
) -> None:
    memory = await open_memory(retention=Retention(memories_s=2 * HOUR))
    log = memory.conversation("ada")
    log.user_turn(item(), "bygone dog called Biscuit")
    log.user_turn(item(), "fresh dog called Rex")
    await delivered(memory)
    await age(connection, "bygone", 3)
    await memory.sweeper.sweep()
    await delivered(memory)
    assert memory.sweeper.figures.memories == 1
    assert [each.content for each in await memory.search("ada", "dog", 5)] == ["fresh dog called Rex"]
    assert await connection.fetchval("SELECT count(*) FROM messages") == 2
    assert await connection.fetchval("SELECT count(*) FROM messages WHERE embedding IS NOT NULL") == 1
    assert [(step.done, step.total) async for step in memory.worker.rebuild()][-1] == (1, 1)
    assert await memory.vectors.count() == 1


async def test_without_a_period_nothing_goes(open_memory: Open, connection: asyncpg.Connection) -> None:
    memory = await open_memory()
    memory.conversation("bygone").user_turn(item(), "bygone words")
    await delivered(memory)
    await age(connection, "bygone", 24 * 365 * 10)
    await memory.sweeper.sweep()
    assert await connection.fetchval("SELECT count(*) FROM messages") == 1


async def test_documents_go_when_nobody_has_added_them_for_so_long(
    open_memory: Open, connection: asyncpg.Connection
) -> None:
    memory = await open_memory(retention=Retention(documents_s=2 * HOUR))
    for number in range(5):
        await memory.add_document("ada", f"{number}.txt", "A text", "1", [Passage(f"the warranty is {number}", "")])
    await delivered(memory)
    await connection.execute("UPDATE morgan_memory.documents SET created_at = now() - interval '3 hours'")
    # The same again makes it young again.
    await memory.add_document("ada", "4.txt", "A text", "1", [Passage("the warranty is 4", "")])
    sweeper = Sweeper(memory, Retention(documents_s=2 * HOUR), batch=2)
    await sweeper.sweep()
    await delivered(memory)
    assert [each.source for each in await memory.documents.list("ada")] == ["4.txt"]
    assert await connection.fetchval("SELECT count(*) FROM morgan_memory.passages") == 1
    assert await memory.vectors.count("ada") == 1
    assert sweeper.figures.documents == 4
    report = await memory.erase_user("ada")
    rows = next(each for each in report.stores if each.store == "rows")
    assert (rows.parts["documents"], rows.parts["passages"], report.complete) == (1, 1, True)


def frames(*numbers: int, text: str = "words") -> list[Frame]:
    return [
        Frame(number, f'{{"op":"PutMessage","user_id":"ada","content":"{text} {number}"}}'.encode())
        for number in numbers
    ]


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_what_is_delivered_leaves_the_journal_and_numbers_go_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(frames(1, 2, 3), 0.0)
    journal.acknowledge(2)
    assert b"words 2" in on_disk(tmp_path)
    assert journal.leave_out() == 0
    assert b"words 2" not in on_disk(tmp_path)
    journal.append(frames(4), 0.0)
    journal.close(0.0)
    again = Journal(tmp_path)
    assert [frame.number for frame in again.read(2, 10, 10_000)] == [3, 4]
    again.acknowledge(4)
    again.leave_out()
    assert b"words" not in on_disk(tmp_path)
    again.append(frames(5), 0.0)
    assert [frame.number for frame in again.read(4, 10, 10_000)] == [5]
    again.close(0.0)


def test_records_that_waited_too_long_are_dropped_and_damaged_files_with_them(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=50)
    journal.append(frames(1, 2, 3, text="old"), 0.0)
    past = time.time() - 3 * HOUR
    for path in tmp_path.glob("*.log"):
        os.utime(path, (past, past))
    damaged = tmp_path / "00000000000000000000.damaged"
    damaged.write_bytes(b"old words in pieces")
    os.utime(damaged, (past, past))
    journal.append(frames(4, text="new"), 0.0)
    assert journal.expire(time.time() - 2 * HOUR) == 3
    assert b"old" not in on_disk(tmp_path)
    assert [frame.number for frame in journal.read(0, 10, 10_000)] == [4]
    journal.close(0.0)


def test_refused_records_go_with_their_time(tmp_path: Path) -> None:
    refused = RefusedRecords(tmp_path)
    refused.add(frames(1, text="old")[0], "no such role")
    late = datetime.now(tz=UTC)
    refused.add(frames(2, text="new")[0], "no such role")
    assert refused.expire(late) == 1
    assert b"new" in on_disk(tmp_path)
    assert b"old" not in on_disk(tmp_path)
    # Of files of an earlier version, which have no times in them, the file's own counts.
    (tmp_path / "refused.jsonl.1").write_text('{"number": 1, "error": "", "record": {"content": "oldest"}}\n')
    os.utime(tmp_path / "refused.jsonl.1", (1, 1))
    assert refused.expire(late) == 1
    assert b"oldest" not in on_disk(tmp_path)
