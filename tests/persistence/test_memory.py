"""Memory as a whole, on real servers."""

import asyncio
import json
import stat
import time
import uuid
from datetime import UTC, datetime, timedelta, tzinfo

import asyncpg
import pytest
from redis import Redis

from persistence.cache.tts_cache import tts_key
from persistence.errors import BadCursorError, TextTooLongError
from persistence.export import as_json, as_text, as_vtt
from persistence.memory import Memory
from persistence.values import AudioTranscription, TtsGeneration
from tests.persistence.parts import Open, Relay, address, item, stored, texts, through, until


async def test_everything_a_call_produces_lands(memory: Memory, connection: asyncpg.Connection) -> None:
    log = memory.begin_session("call_1", "test_user", language="en", metadata={"voice": "joe"})
    heard, said = item(), item()
    log.user_turn(heard, "What time is it?", language="en", latency={"stt": 120.5})
    log.transcription(
        AudioTranscription("call_1", "What time is it?", "en", 0.9, 1500, "whisper-base", heard, "ab" * 32)
    )
    log.reply(said, "It is ten", interrupted=True)
    log.latency(said, {"voice_to_voice": 380.0})
    memory.end_session("call_1", "hangup", {"packets": 7})
    assert await memory.outbox.settle(5)
    (conversation,) = await connection.fetch("SELECT * FROM conversations WHERE user_id = 'test_user'")
    assert (conversation["title"], conversation["language"]) == ("What time is it?", "en")
    assert conversation["ended_at"] is not None
    rows = await connection.fetch("SELECT * FROM messages ORDER BY created_at")
    assert [(row["sequence_number"], row["role"], row["content"], row["interrupted"]) for row in rows] == [
        (1, "user", "What time is it?", False),
        (2, "assistant", "It is ten", True),
    ]
    assert rows[0]["id"].hex == heard.removeprefix("item_")
    assert [json.loads(row["latency"]) for row in rows] == [{"stt": 120.5}, {"voice_to_voice": 380.0}]
    (session,) = await connection.fetch("SELECT * FROM streaming_sessions")
    assert (session["id"], session["state"], session["end_reason"]) == ("call_1", "ended", "hangup")
    assert json.loads(session["stats"])["packets"] == 7
    (transcription,) = await connection.fetch("SELECT * FROM audio_transcriptions")
    assert transcription["message_id"] == rows[0]["id"]


async def test_a_turn_that_was_taken_up_again_is_one_message_and_an_unheard_reply_none(
    memory: Memory, dsn: str
) -> None:
    log = memory.begin_session("call_1", "ada")
    turn, reply = item(), item()
    log.user_turn(turn, "I would like")
    log.reply(reply, "Yes")
    log.user_turn(turn, "I would like a pizza")
    log.reply(reply, "")
    log.reply(item(), "With cheese?")
    await memory.outbox.settle(5)
    expected = [(1, "user", "I would like a pizza"), (2, "assistant", "With cheese?")]
    assert await stored(dsn) == expected
    assert texts(await memory.context("ada")) == [row[2] for row in expected]


async def test_redis_holds_what_the_contract_names(memory: Memory, redis_url: str) -> None:
    log = memory.begin_session("call_9", "test_user")
    log.user_turn(item(), "hello")
    memory.put_preferences("test_user", {"voice": "joe"})
    assert await memory.redis.flush(2)
    assert await memory.redis.keep_stream("call_9", [b"\0" * 640], 1800)
    with Redis.from_url(redis_url, decode_responses=True) as client:
        assert sorted(client.keys("*")) == [
            "active_users",
            "audio_buffer:call_9",
            "conversation:test_user",
            "stream_session:call_9",
            "user_prefs:test_user",
        ]
        document = json.loads(client.get("conversation:test_user"))
        assert [message["content"] for message in document["messages"]] == ["hello"]
        assert json.loads(client.get("stream_session:call_9"))["state"] == "active"
        assert json.loads(client.get("user_prefs:test_user")) == {"voice": "joe"}
        assert client.zrange("active_users", 0, -1) == ["test_user"]
        times = [client.ttl(key) for key in ("conversation:test_user", "stream_session:call_9", "user_prefs:test_user")]
    assert [3590 < times[0] <= 3600, 1790 < times[1] <= 1800, 86390 < times[2] <= 86400] == [True] * 3


async def test_a_stream_is_kept_with_its_state_and_forgets_from_its_beginning(memory: Memory) -> None:
    redis = memory.redis
    assert not await redis.keep_stream("stt_1", [b"lost"], 60)
    assert await redis.keep_stream("stt_1", [b"one", b"two"], 60, state=b"{}", afresh=True)
    assert await redis.keep_stream("stt_1", [b"three"], 60, forget=1)
    assert await redis.stream("stt_1") == (b"{}", [b"two", b"three"])
    await redis.forget_stream("stt_1")
    assert await redis.stream("stt_1") is None


async def test_events_are_published_as_json(memory: Memory, redis_url: str) -> None:
    log = memory.begin_session("call_1", "ada")
    with Redis.from_url(redis_url) as client, client.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(f"morgan:events:{log.conversation_id}")
        channel.get_message(timeout=1)
        log.event({"type": "transcript", "text": "héllo"})
        log.state("speaking")
        await memory.redis.flush(1)
        got: list[dict[str, object]] = []
        while len(got) < 2:
            message = channel.get_message(timeout=2)
            got += [json.loads(message["data"])] if message else []
    assert got[0] == {"conversation_id": str(log.conversation_id), "type": "transcript", "text": "héllo"}
    assert (got[1]["type"], got[1]["state"]) == ("state", "speaking")


async def test_a_new_call_goes_on_where_the_last_one_ended_even_on_a_new_server(open_memory: Open) -> None:
    first = await open_memory("a")
    log = first.begin_session("call_1", "ada", language="en")
    log.user_turn(item(), "remember seven")
    log.reply(item(), "Seven it is")
    first.end_session("call_1", "hangup")
    await first.close()
    second = await open_memory("b")
    context = await second.context("ada")
    assert context is not None
    assert texts(context) == ["remember seven", "Seven it is"]
    again = second.begin_session("call_2", "ada", context.conversation_id)
    again.user_turn(item(), "which number?")
    assert [row.sequence_number for row in (await second.messages(context.conversation_id, "ada")).items] == [1, 2, 3]
    assert await second.context("eve", context.conversation_id) is None


async def test_flushing_redis_at_any_time_loses_nothing(memory: Memory, redis_url: str) -> None:
    log = memory.begin_session("call_1", "ada")
    with Redis.from_url(redis_url) as client:
        for number in range(10):
            log.user_turn(item(), f"turn {number}")
            client.flushall()
            assert texts(await memory.context("ada")) == [f"turn {each}" for each in range(number + 1)]


async def test_ordinary_turns_are_mostly_hits_and_agree_with_redis_own_counters(memory: Memory, redis_url: str) -> None:
    logs = {}
    for number in range(200):
        user = f"user {number % 10}"
        context = await memory.context(user)
        if user not in logs:
            assert context is None
            logs[user] = memory.begin_session(f"call {user}", user)
        logs[user].user_turn(item(), f"turn {number}")
        logs[user].reply(item(), "yes")
    cache = memory.cache()
    with Redis.from_url(redis_url) as client:
        info = client.info("stats")
    assert (cache["redis_hits"], cache["redis_misses"]) == (info["keyspace_hits"], info["keyspace_misses"])
    assert cache["hit_rate"] > 0.9


async def test_two_servers_on_one_conversation_see_each_others_words(open_memory: Open) -> None:
    a, b = await open_memory("a"), await open_memory("b")
    await until(lambda: a.redis.up.is_set() and b.redis.up.is_set())
    await asyncio.sleep(0.1)
    log_a = a.begin_session("call_a", "ada")
    log_a.user_turn(item(), "from a")
    await a.redis.flush(1)
    context = await b.context("ada")
    assert texts(context) == ["from a"]
    log_b = b.begin_session("call_b", "ada", str(log_a.conversation_id))
    for number in range(20):
        (log_a if number % 2 else log_b).user_turn(item(), f"turn {number}")
        if number % 3 == 0:
            await asyncio.sleep(0.005)
    for memory in (a, b):
        await memory.outbox.settle(5)
        await memory.redis.flush(1)
    await asyncio.sleep(0.1)
    for memory in (a, b):
        assert set(texts(await memory.context("ada", count=60))) == {"from a"} | {f"turn {n}" for n in range(20)}
    rows = (await a.messages(str(log_a.conversation_id), "ada")).items
    assert [row.sequence_number for row in rows] == list(range(1, 22))


async def test_preferences_changed_on_one_server_are_seen_on_the_other(open_memory: Open) -> None:
    a, b = await open_memory("a"), await open_memory("b")
    assert await b.preferences.get("ada") == {}
    a.put_preferences("ada", {"voice": "amy", "language": "de"})
    assert await a.redis.flush(1)
    assert await b.preferences.get("ada") == {"voice": "amy", "language": "de"}
    with Redis.from_url(str(a.redis_url)) as client:
        client.flushall()
    await a.outbox.settle(2)
    assert await b.preferences.get("ada") == {"voice": "amy", "language": "de"}


async def stored_preferences(memory: Memory, user_id: str) -> object:
    await memory.outbox.settle(5)
    async with memory.postgres.connection() as connection:
        return await connection.fetchval("SELECT preferences FROM user_preferences WHERE user_id = $1", user_id)


async def test_preferences_are_kept_after_the_clock_is_set_back(
    open_memory: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = [timedelta(hours=1)]

    class Clock(datetime):
        """The wall clock, set wrong."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Clock":
            return cls.fromtimestamp((datetime.now(tz=UTC) + off[0]).timestamp(), tz)

    monkeypatch.setattr("persistence.cache.preferences.datetime", Clock)
    first = await open_memory("a")
    first.put_preferences("ada", {"voice": "before"})
    assert await stored_preferences(first, "ada") == {"voice": "before"}
    off[0] = timedelta(0)
    first.put_preferences("ada", {"voice": "after"})
    assert await stored_preferences(first, "ada") == {"voice": "after"}
    # Nor does a restart, which forgets what time it was.
    again = await open_memory("b")
    again.put_preferences("ada", {"voice": "again"})
    assert await stored_preferences(again, "ada") == {"voice": "again"}
    off[0] = timedelta(hours=-1)
    again.put_preferences("ada", {"voice": "last"})
    assert await stored_preferences(again, "ada") == {"voice": "last"}


async def test_with_redis_gone_memory_serves_and_health_says_so(open_memory: Open, redis_url: str) -> None:
    relay = Relay(*address(redis_url))
    await relay.open()
    memory = await open_memory("a", redis_url=through(redis_url, relay.port))
    log = memory.begin_session("call_1", "ada")
    log.user_turn(item(), "one")
    await memory.redis.flush(1)
    await relay.cut()
    log.user_turn(item(), "two")
    started = time.monotonic()
    assert texts(await memory.context("ada")) == ["one", "two"]
    assert time.monotonic() - started < 5
    await until(lambda: not memory.redis.up.is_set())
    health = await memory.health()
    assert (health["redis"].status, health["redis"].kind) == ("degraded", "memory")
    started = time.monotonic()
    for _ in range(50):
        await memory.context("ada")
    assert time.monotonic() - started < 5
    assert memory.cache()["hit_rate"] > 0.5
    await relay.open()
    await until(lambda: memory.redis.up.is_set())
    assert await memory.redis.flush(3)
    with Redis.from_url(redis_url) as client:
        assert "two" in client.get("conversation:ada").decode()
    assert (await memory.health())["redis"].status == "ok"
    await memory.close()
    await relay.cut()


async def test_with_postgresql_gone_calls_go_on_and_a_restart_knows_them(
    open_memory: Open, dsn: str, redis_url: str
) -> None:
    relay = Relay(*address(dsn))
    await relay.open()
    memory = await open_memory("a", postgres_dsn=through(dsn, relay.port))
    log = memory.begin_session("call_1", "ada")
    log.user_turn(item(), "before")
    await memory.outbox.settle(5)
    await relay.cut()
    log.user_turn(item(), "during")
    memory.put_preferences("ada", {"voice": "amy"})
    assert texts(await memory.context("ada")) == ["before", "during"]
    await until(lambda: not memory.postgres.up.is_set())
    health = await memory.health()
    assert health["postgres"].status == "down"
    assert health["journal"].figures["pending"] == 2
    await memory.close()
    with Redis.from_url(redis_url) as client:
        client.flushall()
    relay_port = relay.port
    restarted = asyncio.ensure_future(open_memory("a", postgres_dsn=through(dsn, relay_port)))
    again = await restarted
    assert texts(await again.context("ada")) == ["during"]
    assert await again.preferences.get("ada") == {"voice": "amy"}
    await relay.open()
    assert await again.outbox.settle(10)
    await asyncio.sleep(1.2)
    assert texts(await again.context("ada")) == ["before", "during"]
    assert [row[2] for row in await stored(dsn)] == ["before", "during"]
    await again.close()
    await relay.cut()


@pytest.mark.parametrize("text", ["a\x00b", "\ud800 lone", "'; DROP TABLE messages; --", "x" * 60_000, "🎧 漢"])
async def test_strange_texts_are_stored(memory: Memory, dsn: str, text: str) -> None:
    log = memory.conversation("ada; DROP TABLE--")
    log.user_turn(item(), text)
    log.reply("made-up id '*\r\n", "fine", metadata={"odd\x00": "\udfff"})
    assert await memory.outbox.settle(5)
    expected = text.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
    assert [row[2] for row in await stored(dsn)] == [expected, "fine"]
    assert texts(await memory.context("ada; DROP TABLE--")) == [expected, "fine"]
    assert memory.outbox.figures.refused == 0


async def test_a_megabyte_is_refused_before_anything_is_written(memory: Memory, dsn: str) -> None:
    log = memory.conversation("ada")
    with pytest.raises(TextTooLongError):
        log.user_turn(item(), "x" * 1_000_000)
    await memory.outbox.settle(5)
    assert await stored(dsn) == []


async def test_pages_follow_each_other_without_gap_or_repeat(memory: Memory) -> None:
    for number in range(7):
        log = memory.conversation("ada")
        log.user_turn(item(), f"conversation {number}")
    for number in range(10):
        log.reply(item(), f"line {number}")
    seen: list[str | None] = []
    cursor = None
    while True:
        page = await memory.list_conversations("ada", 3, cursor)
        seen += [conversation.title for conversation in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == [f"conversation {number}" for number in (6, 5, 4, 3, 2, 1, 0)]
    identity = str(log.conversation_id)
    up = await memory.messages(identity, "ada", 4)
    rest = await memory.messages(identity, "ada", 100, up.next_cursor)
    assert [each.sequence_number for each in (*up.items, *rest.items)] == list(range(1, 12))
    assert rest.next_cursor is None
    down = await memory.messages(identity, "ada", 4, newest_first=True)
    assert [each.sequence_number for each in down.items] == [11, 10, 9, 8]
    assert not (await memory.messages(identity, "eve", 4)).items
    assert not await memory.conversations.all_messages(log.conversation_id, "eve")


async def test_a_cursor_of_another_list_is_refused(memory: Memory) -> None:
    for user in ("ada", "eve"):
        for _ in range(3):
            log = memory.conversation(user)
            for number in range(3):
                log.user_turn(item(), f"{number}")
    page = await memory.list_conversations("ada", 1)
    with pytest.raises(BadCursorError):
        await memory.list_conversations("eve", 1, page.next_cursor)
    with pytest.raises(BadCursorError):
        await memory.messages(str(log.conversation_id), "eve", 1, page.next_cursor)
    lines = await memory.messages(str(log.conversation_id), "eve", 1)
    with pytest.raises(BadCursorError):
        await memory.messages(str(log.conversation_id), "eve", 1, lines.next_cursor, newest_first=True)


async def test_unknown_ids_are_none(memory: Memory) -> None:
    for unknown in ("nonsense", str(uuid.uuid4()), "", "\x00"):
        assert await memory.find_conversation(unknown) is None
        assert not await memory.delete_conversation("ada", unknown)
    assert await memory.context("nobody") is None
    assert (await memory.list_conversations("nobody")).items == ()


async def test_an_export_holds_every_word(memory: Memory) -> None:
    log = memory.conversation("ada", language="en")
    log.user_turn(item(), "Tell me a <story> & more", metadata={"duration_ms": 1200})
    log.reply(item(), "Once upon", interrupted=True)
    exported = await memory.export(str(log.conversation_id), "ada")
    assert exported is not None
    assert await memory.export(str(log.conversation_id), "eve") is None
    document = json.loads(as_json(*exported))
    assert [message["content"] for message in document["messages"]] == ["Tell me a <story> & more", "Once upon"]
    assert "User: Tell me a <story> & more\n" in as_text(*exported)
    assert as_text(*exported).rstrip().endswith("Morgan: Once upon —")
    captions = as_vtt(*exported)
    assert captions.startswith("WEBVTT\n\n1\n00:00:0")
    assert "<v User>Tell me a &lt;story&gt; &amp; more</v>" in captions


async def test_speech_is_made_once_and_answers_again_after_a_restart(open_memory: Open, dsn: str) -> None:
    memory = await open_memory("a")
    key = tts_key("Hello there.", "joe", "pcm", 1.0, "piper 1.4")
    assert key != tts_key("Hello there.", "joe", "pcm", 1.1, "piper 1.4")
    assert await memory.tts.get(key) is None
    speech = TtsGeneration(key, "Hello there.", "joe", "pcm", 24_000, 800, b"\x01\x00" * 19_200)
    assert memory.tts.put(speech)
    assert await memory.tts.get(key) == speech
    await memory.outbox.settle(5)
    await memory.tts.sync()
    await memory.close()
    again = await open_memory("b")
    assert await again.tts.get(key) == speech
    await again.tts.sync()
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT hits FROM tts_generations") == 2
    await connection.close()
    assert (again.tts.figures.hits, again.tts.figures.misses) == (1, 0)


async def test_the_speech_cache_keeps_to_its_size_and_drops_the_longest_unused(
    open_memory: Open, connection: asyncpg.Connection
) -> None:
    memory = await open_memory("a", tts_cache_max_bytes=5000)
    for number in range(10):
        memory.tts.put(TtsGeneration(f"k{number}", "text", "joe", "pcm", 24_000, 10, bytes(1000)))
        await memory.outbox.settle(5)
    await memory.tts.get("k0")
    await memory.tts.sync()
    kept = {row["key"] for row in await connection.fetch("SELECT key FROM tts_generations")}
    assert kept == {"k0", "k6", "k7", "k8", "k9"}
    assert await memory.tts.get("k1") is None


async def test_metrics_are_written_and_pruned(open_memory: Open, connection: asyncpg.Connection) -> None:
    memory = await open_memory("a", metrics_keep_s=3600)
    memory.metrics.sample("voice_to_voice_ms", 412.5, {"stage": "all"})
    memory.metrics.sample("nonsense", float("nan"))
    assert await memory.metrics.write() == 1
    row = await connection.fetchrow("SELECT name, value, labels FROM system_metrics")
    assert (row["name"], row["value"], json.loads(row["labels"])) == ("voice_to_voice_ms", 412.5, {"stage": "all"})
    memory.metrics.sample("cache_hits", 3.0)
    await memory.metrics.write()
    await connection.execute("UPDATE system_metrics SET time = now() - interval '2 h' WHERE name = 'cache_hits'")
    assert await memory.metrics.prune() == 1


async def test_the_environment_file_lets_psql_and_redis_cli_in(memory: Memory) -> None:
    path = memory._data_dir.environment_file
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    environment = json.loads(path.read_text())
    assert environment == memory.environment()
    connection = await asyncpg.connect(environment["MORGAN_POSTGRES_DSN"])
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    await memory.close()
    assert not path.exists()


async def test_health_names_status_kind_and_latency(memory: Memory) -> None:
    await until(lambda: memory.vectors.up)
    health = await memory.health()
    assert {name: (each.status, each.kind) for name, each in health.items()} == {
        "postgres": ("ok", "external"),
        "redis": ("ok", "external"),
        "qdrant": ("ok", "embedded"),
        "journal": ("ok", "embedded"),
    }
    assert all((health[name].latency_ms or 0) > 0 for name in ("postgres", "redis", "qdrant"))
    memory.begin_session("call_1", "ada").user_turn(item(), "hello")
    await memory.outbox.settle(5)
    assert await memory.counts() == {"active": 1, "total": 1, "messages": 1}
