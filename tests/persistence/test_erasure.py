"""Erasing a user: the report names what was found in each store, and nothing is left there for others to find."""

from pathlib import Path

import asyncpg
import pytest
from redis import Redis

from persistence.errors import StoreUnavailableError
from persistence.journal.frames import Frame
from persistence.values import AudioTranscription, TtsGeneration
from tests.persistence.parts import Open, item, texts

USER = "zelda-8231"


def files_with(folder: Path, word: bytes) -> list[str]:
    """Names of files below a folder in which a word stands."""
    return [path.name for path in sorted(folder.rglob("*")) if path.is_file() and word in path.read_bytes()]


async def test_an_erased_user_is_nowhere_and_the_report_says_what_was_where(
    open_memory: Open, connection: asyncpg.Connection, redis_url: str, tmp_path: Path
) -> None:
    memory = await open_memory("a")
    for user in (USER, "eve"):
        log = memory.begin_session(f"call_{user}", user)
        turn = item()
        log.user_turn(turn, f"{user} said marmalade")
        log.transcription(AudioTranscription(f"call_{user}", f"{user} said marmalade", message_id=turn))
        memory.tts.put(TtsGeneration(user, f"hello {user}", "joe", "pcm", 24000, 10, b"x"), log.conversation_id)
        memory.put_preferences(user, {"name": user})
    assert await memory.outbox.settle(10)
    assert await memory.worker.idle(30)
    journal = tmp_path / "a" / "journal"
    refused = '{"op":"PutPreferences","user_id":"%s","preferences":{}}'
    for number, user in enumerate((USER, "eve")):
        memory.outbox._refused.add(Frame(number, (refused % user).encode()), "made up")
    (journal / "00000000000000000000.damaged").write_bytes(f'garbage "{USER}" garbage'.encode())
    assert files_with(journal, USER.encode()) != []

    report = await memory.erase_user(USER)
    by_store = {each.store: each for each in report.stores}
    assert report.complete, report
    assert by_store["rows"].parts == {
        "conversations": 1,
        "messages": 1,
        "streaming_sessions": 1,
        "audio_transcriptions": 1,
        "tts_generations": 1,
        "documents": 0,
        "passages": 0,
        "user_preferences": 1,
        "vectors_to_delete": 0,
    }
    # The conversation, the session, preferences, and that they are active.
    assert by_store["cache"].parts == {"redis": 4, "conversations": 1, "preferences": 1, "speech": 1}
    assert by_store["vectors"].found == 1
    assert by_store["journals"].found == 1 + 6
    assert by_store["refused"].found == 1
    assert {each.left for each in report.stores} == {0}

    for table in ("conversations", "messages", "streaming_sessions", "audio_transcriptions", "tts_generations",
                  "user_preferences", "morgan_meta.vectors_to_delete"):  # fmt: skip
        assert USER not in str(await connection.fetch(f"SELECT * FROM {table}")), table
    assert files_with(journal, USER.encode()) == []
    assert files_with(journal, b"eve") == ["refused.jsonl"]
    with Redis.from_url(redis_url, decode_responses=True) as client:
        assert [key for key in client.keys("*") if USER in key] == []
        assert client.zrange("active_users", 0, -1) == ["eve"]
    assert texts(await memory.context("eve")) == ["eve said marmalade"]
    assert await memory.vectors.count("eve") == 1
    # A call of theirs that goes on is not written down any more.
    log = memory.conversation("eve")
    log.user_turn(item(), "still here")
    assert await memory.outbox.settle(10)
    again = await memory.erase_user(USER)
    assert again.complete
    assert {each.found for each in again.stores} == {0}


async def test_a_call_that_goes_on_while_its_user_is_erased_is_not_written_down_any_more(
    open_memory: Open, connection: asyncpg.Connection
) -> None:
    memory = await open_memory("a")
    log = memory.begin_session("call_1", USER)
    log.user_turn(item(), "marmalade")
    assert (await memory.erase_user(USER)).complete
    log.user_turn(item(), "more marmalade")
    memory.end_session("call_1", "hangup")
    assert await memory.outbox.settle(10)
    assert await connection.fetchval("SELECT count(*) FROM messages") == 0
    assert (await memory.erase_user(USER)).complete


async def test_a_store_that_does_not_answer_is_no_proof(open_memory: Open) -> None:
    memory = await open_memory("a", qdrant_url="http://127.0.0.1:9")
    memory.conversation(USER).user_turn(item(), "marmalade")
    report = await memory.erase_user(USER)
    assert not report.complete
    vectors = next(each for each in report.stores if each.store == "vectors")
    assert (vectors.found, vectors.left, vectors.deleted) == (None, None, None)
    # What is owed to the index is a row with their name in it.
    assert next(each for each in report.stores if each.store == "rows").left == 1


async def test_without_postgresql_nothing_is_erased_and_that_is_said(open_memory: Open) -> None:
    memory = await open_memory("a", postgres_dsn="postgresql://morgan@127.0.0.1:9/none")
    with pytest.raises(StoreUnavailableError):
        await memory.erase_user(USER)
