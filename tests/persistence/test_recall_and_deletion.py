"""Recall finds a user's own words, and deletion leaves nothing to find."""

import asyncio
import os
import subprocess
import time
from pathlib import Path

import asyncpg
import pytest
from redis import Redis

from persistence.ids import message_uuid
from persistence.memory import Memory
from persistence.values import AudioTranscription, TtsGeneration
from persistence.vectors.embedding_worker import Progress
from tests.persistence.parts import Open, item, texts, until


async def test_a_user_is_reminded_of_their_own_words_only(memory: Memory) -> None:
    for user, text in (("ada", "my dog is called Biscuit"), ("eve", "my dog is called Rex"), ("ada", "I like tea")):
        memory.conversation(user).user_turn(item(), text)
    await memory.outbox.settle(5)
    assert await memory.worker.idle(10)
    found = await memory.recall("ada", "what is my dog called", budget_ms=2000)
    assert found[0].content == "my dog is called Biscuit"
    for asking in ("ada", "nobody", "*", "ada' OR '1'='1", "eve\u200b"):
        everything = await memory.recaller.search(asking, "my dog is called Rex", 100)
        assert "my dog is called Rex" not in [each.content for each in everything]
    assert await memory.recall("nobody", "dog", budget_ms=2000) == []


async def test_recall_is_of_the_users_words_and_without_those_that_are_known(memory: Memory) -> None:
    log, asked = memory.conversation("ada"), item()
    log.user_turn(item(), "my dog is called Biscuit")
    log.user_turn(asked, "what is my dog called")
    log.reply(item(), "your dog is called Biscuit")
    await memory.outbox.settle(5)
    await memory.worker.idle(10)
    known = {message_uuid(log.conversation_id, asked)}
    found = await memory.recall("ada", "what is my dog called", budget_ms=2000, without=known)
    assert [each.content for each in found] == ["my dog is called Biscuit"]


async def test_recall_is_empty_rather_than_late(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(texts: list[str], *, waited_for: bool = False) -> list[list[float]]:
        await asyncio.sleep(60)
        return []

    monkeypatch.setattr(memory.recaller._embedder, "embed", slow)
    started = time.monotonic()
    assert await memory.recall("ada", "anything", budget_ms=20) == []
    assert time.monotonic() - started < 30
    assert memory.recaller.figures.late == 1


async def test_embeddings_are_stored_follow_changes_and_catch_up_after_a_restart(
    open_memory: Open, connection: asyncpg.Connection
) -> None:
    memory = await open_memory("a")
    log = memory.conversation("ada")
    turn = item()
    log.user_turn(turn, "first words")
    await memory.outbox.settle(5)
    await memory.worker.idle(10)
    before = await connection.fetchval("SELECT embedding FROM messages")
    log.user_turn(turn, "other words entirely")
    await memory.outbox.settle(5)
    await memory.worker.idle(10)
    after = await connection.fetchval("SELECT embedding FROM messages")
    assert len(before) == len(after) == 384
    assert before != after
    assert await memory.vectors.count() == 1
    await memory.worker.close()
    log.user_turn(item(), "said while nobody embedded")
    await memory.outbox.settle(5)
    assert await connection.fetchval("SELECT count(*) FROM messages WHERE embedding IS NULL") == 1
    await memory.close()
    again = await open_memory("a")
    await again.worker.idle(10)
    assert await connection.fetchval("SELECT count(*) FROM messages WHERE indexed_at IS NULL") == 0
    assert await again.vectors.count() == 2


async def test_a_lost_index_is_made_anew_from_postgresql(open_memory: Open, tmp_path: Path) -> None:
    memory = await open_memory("a")
    log = memory.conversation("ada")
    for number in range(5):
        log.user_turn(item(), f"fact number {number}")
    await memory.outbox.settle(5)
    await memory.worker.idle(10)
    await memory.close()
    subprocess.run(["rm", "-rf", str(tmp_path / "a" / "qdrant")], check=True)  # noqa: ASYNC221
    again = await open_memory("a")
    await again.worker.idle(10)
    assert await again.vectors.count() == 5
    assert [each async for each in again.worker.rebuild()] == [Progress(0, 5), Progress(5, 5)]
    assert len(await again.recaller.search("ada", "fact number 3", 10)) == 5


async def test_an_index_that_cannot_be_read_is_made_anew(open_memory: Open, tmp_path: Path) -> None:
    memory = await open_memory("a")
    memory.conversation("ada").user_turn(item(), "my dog is called Biscuit")
    await memory.outbox.settle(5)
    await memory.worker.idle(10)
    await memory.close()
    for file in list((tmp_path / "a" / "qdrant").rglob("*")):
        if file.is_file():
            file.write_bytes(b"nonsense")
    again = await open_memory("a")
    await again.worker.idle(10)
    assert [each.content for each in await again.search("ada", "dog", 5)] == ["my dog is called Biscuit"]


async def test_embeddings_are_made_anew_where_that_is_wanted(memory: Memory, connection: asyncpg.Connection) -> None:
    memory.conversation("ada").user_turn(item(), "my dog is called Biscuit")
    await memory.outbox.settle(5)
    await memory.worker.idle(10)
    await connection.execute("UPDATE messages SET embedding = array_fill(0.05::real, ARRAY[384])")
    assert [each async for each in memory.worker.rebuild()][-1] == Progress(1, 1)
    assert (await memory.search("ada", "my dog is called Biscuit", 1))[0].score < 0.5
    assert [each async for each in memory.worker.rebuild(embeddings=True)][-1] == Progress(1, 1)
    assert (await memory.search("ada", "my dog is called Biscuit", 1))[0].score > 0.99


async def test_a_search_finds_what_was_said_a_moment_ago(memory: Memory) -> None:
    memory.conversation("ada").user_turn(item(), "my dog is called Biscuit")
    assert [each.content for each in await memory.search("ada", "dog", 5)] == ["my dog is called Biscuit"]


async def test_deleting_a_conversation_leaves_nothing_of_it(memory: Memory, connection: asyncpg.Connection) -> None:
    kept, gone = memory.conversation("ada"), memory.begin_session("call_1", "ada")
    kept.user_turn(item(), "keep this")
    turn = item()
    gone.user_turn(turn, "delete this secret")
    gone.transcription(AudioTranscription("call_1", "delete this secret", message_id=turn))
    memory.tts.put(TtsGeneration("k", "the secret reply", "joe", "pcm", 24000, 10, b"x"), gone.conversation_id)
    await memory.outbox.settle(5)
    await memory.worker.idle(10)
    assert await memory.vectors.count() == 2
    assert not await memory.delete_conversation("eve", str(gone.conversation_id))
    assert await memory.delete_conversation("ada", str(gone.conversation_id))
    # Whoever still speaks in it speaks into the void.
    gone.user_turn(item(), "another secret")
    await memory.outbox.settle(5)
    for table in ("conversations", "messages", "streaming_sessions", "audio_transcriptions", "tts_generations"):
        rows = await connection.fetch(f"SELECT * FROM {table}")
        assert "secret" not in str(rows)
    assert await memory.tts.get("k") is None
    assert await memory.vectors.count() == 1
    with Redis.from_url(str(memory.redis_url), decode_responses=True) as client:
        assert client.keys("stream_session:*") == []
    assert texts(await memory.context("ada")) == ["keep this"]
    assert not await memory.delete_conversation("ada", str(gone.conversation_id))


async def test_deleting_a_user_leaves_nothing_and_they_can_come_back(
    memory: Memory, connection: asyncpg.Connection, redis_url: str
) -> None:
    for user in ("zelda", "eve"):
        log = memory.begin_session(f"call_{user}", user)
        log.user_turn(item(), f"{user} speaks")
        memory.put_preferences(user, {"voice": user})
    await memory.outbox.settle(5)
    await memory.worker.idle(10)
    assert len(await memory.delete_user("zelda")) == 1
    for table in ("conversations", "messages", "streaming_sessions", "user_preferences"):
        assert "zelda" not in str(await connection.fetch(f"SELECT * FROM {table}"))
    with Redis.from_url(redis_url, decode_responses=True) as client:
        assert [key for key in client.keys("*") if "zelda" in key] == []
        assert client.zrange("active_users", 0, -1) == ["eve"]
    assert await memory.context("zelda") is None
    assert await memory.recaller.search("zelda", "zelda speaks", 5) == []
    assert len(await memory.recaller.search("eve", "eve speaks", 5)) == 1
    memory.conversation("zelda").user_turn(item(), "hello again")
    assert texts(await memory.context("zelda")) == ["hello again"]
    await memory.outbox.settle(5)
    await memory.worker.idle(10)
    assert len(await memory.recaller.search("zelda", "hello again", 5)) == 1


async def test_with_qdrant_gone_there_is_no_recall_and_all_else_works(
    open_memory: Open, connection: asyncpg.Connection
) -> None:
    memory = await open_memory("a", qdrant_url="http://127.0.0.1:9")
    log = memory.conversation("ada")
    log.user_turn(item(), "hello")
    await memory.outbox.settle(5)
    assert await memory.recall("ada", "hello", budget_ms=500) == []
    assert texts(await memory.context("ada")) == ["hello"]
    assert (await memory.health())["qdrant"].status == "down"
    await until(lambda: memory.worker.figures.embedded == 1)
    assert await connection.fetchval("SELECT count(*) FROM messages WHERE embedding IS NOT NULL") == 1


async def test_a_folder_of_vectors_belongs_to_one_process_at_a_time(open_memory: Open, tmp_path: Path) -> None:
    folder = f"file://{tmp_path / 'vectors'}"
    first, second = await open_memory("a", qdrant_url=folder), await open_memory("b", qdrant_url=folder)
    health = (await second.health())["qdrant"]
    assert (await first.health())["qdrant"].status == "ok"
    assert health.status == "down"
    assert f"process {os.getpid()}" in health.detail
    assert await first.vectors.count() == 0
