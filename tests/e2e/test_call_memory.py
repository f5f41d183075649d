"""A call is remembered: its rows, its keys, and what the next conversation knows of it."""

import asyncio
import contextlib
import json
import time
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from redis.asyncio import Redis

from server.client.caller import Caller
from tests.e2e.test_call_command import morgan
from tests.serving import RunningServer, serving


async def rows(dsn: str, query: str, *values: Any) -> list[dict[str, Any]]:
    """What PostgreSQL has."""
    connection = await asyncpg.connect(dsn)
    try:
        return [dict(row) for row in await connection.fetch(query, *values)]
    finally:
        await connection.close()


async def ended_session(dsn: str, call_id: str) -> dict[str, Any]:
    """The row of a call that has hung up, as soon as it says so."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = await rows(dsn, "SELECT * FROM streaming_sessions WHERE id = $1", call_id)
        if found and found[0]["state"] == "ended":
            return found[0]
        await asyncio.sleep(0.1)
    raise AssertionError(f"no ended session of {call_id} within 10 s")


def called(server: RunningServer, repository: Path, user_id: str) -> dict[str, Any]:
    """Call with a question; the caller's report."""
    clip = repository / "tests" / "clips" / "question.wav"
    done = morgan("call", str(clip), "--json", "--user-id", user_id, url=server.url)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


async def write(url: str, text: str, user_id: str, **more: Any) -> dict[str, Any]:
    """Send a text; the answer."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/api/text", json={"text": text, "user_id": user_id, **more}) as response,
    ):
        body: dict[str, Any] = await response.json()
        assert response.status == 200, body
        return body


async def health(url: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/health") as response:
        assert response.status == 200
        report: dict[str, Any] = await response.json()
        return report


async def test_a_call_lands_in_postgresql_and_redis(server: RunningServer, repository: Path) -> None:
    user_id = f"caller-{uuid.uuid4().hex[:8]}"
    report = called(server, repository, user_id)
    known = server.environment()
    dsn, conversation_id = known["MORGAN_POSTGRES_DSN"], uuid.UUID(report["conversation_id"])
    session = await ended_session(dsn, report["call_id"])
    assert (session["kind"], session["user_id"], session["end_reason"]) == ("call", user_id, "hangup")
    assert json.loads(session["stats"])["counts"]["turns"] == 1
    assert json.loads(session["stats"])["media"]["packets_received"] > 50
    messages = await rows(
        dsn, "SELECT * FROM messages WHERE conversation_id = $1 ORDER BY sequence_number", conversation_id
    )
    assert [(each["role"], each["content"]) for each in messages] == [
        ("user", report["transcript"]),
        ("assistant", report["reply"]),
    ]
    assert json.loads(messages[0]["latency"])["voice_to_voice_ms"] == report["server_ms"]
    (heard,) = await rows(dsn, "SELECT * FROM audio_transcriptions WHERE session_id = $1", report["call_id"])
    assert (heard["text"], heard["message_id"], heard["model"]) == (
        report["transcript"],
        messages[0]["id"],
        "whisper-base",
    )
    async with Redis.from_url(known["MORGAN_REDIS_URL"]) as redis:
        cached = json.loads(await redis.get(f"conversation:{user_id}") or "")
        assert [each["content"] for each in cached["messages"]] == [report["transcript"], report["reply"]]
        assert 0 < await redis.ttl(f"conversation:{user_id}") <= 3600
        assert json.loads(await redis.get(f"stream_session:{report['call_id']}") or "")["state"] == "ended"
        assert await redis.zscore("active_users", user_id) is not None


async def test_what_is_said_is_published(server: RunningServer) -> None:
    conversation_id = str(uuid.uuid4())
    async with Redis.from_url(server.environment()["MORGAN_REDIS_URL"]) as redis, redis.pubsub() as listening:
        await listening.subscribe(f"morgan:events:{conversation_id}")
        answer = await write(server.url, "Hello there.", "listener", conversation_id=conversation_id)
        heard: list[dict[str, Any]] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                async for message in listening.listen():
                    if message["type"] == "message":
                        heard.append(json.loads(message["data"]))
                    if len(heard) == 2:
                        break
    assert [(each["type"], each["text"]) for each in heard] == [
        ("transcript", "Hello there."),
        ("reply", answer["text"]),
    ]


async def test_a_call_goes_on_with_what_was_written_before(server: RunningServer, repository: Path) -> None:
    user_id = f"caller-{uuid.uuid4().hex[:8]}"
    before = await write(server.url, "Hello.", user_id)
    async with aiohttp.ClientSession(server.url) as http, Caller() as caller:
        offer = {"sdp": await caller.offer(), "type": "offer", "user_id": user_id}
        async with http.post("/api/calls", json={**offer, "user_id": "other", **_in(before)}) as response:
            assert response.status == 404
        async with http.post("/api/calls", json={**offer, "conversation_id": "last"}) as response:
            opened = await response.json()
            assert response.status == 201, opened
        assert opened["conversation_id"] == before["conversation_id"]
        await caller.accept(opened["sdp"])
        await caller.channel_open()
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "And how are you?"}]}
        caller.send(json.dumps({"type": "conversation.item.create", "item": item}))
        caller.send(json.dumps({"type": "response.create"}))
        await caller.wait_for_sound(time.monotonic(), 20)
        async with http.get(f"/api/conversations/{before['conversation_id']}/messages") as response:
            said = [each["content"] for each in (await response.json())["messages"]]
        async with http.delete(f"/api/calls/{opened['call_id']}") as response:
            assert response.status == 204
    assert said[:3] == ["Hello.", before["text"], "And how are you?"]
    # The first thing in the context of the new turn is what was written: the item that it follows says so.
    follows = [json.loads(text).get("previous_item_id") for _, text in caller.messages if "item.added" in text]
    assert uuid.UUID(follows[0]) == uuid.UUID(before["message_id"])


def _in(conversation: dict[str, Any]) -> dict[str, Any]:
    return {"conversation_id": conversation["conversation_id"]}


async def test_a_restarted_server_knows_what_was_said(models_dir: Path, tmp_path: Path) -> None:
    with serving(models_dir, tmp_path / "data") as server:
        first = await write(server.url, "My name is Ada.", "ada")
    assert morgan("env", "--data-dir", str(server.data_dir)).returncode == 1
    with serving(models_dir, tmp_path / "data") as server:
        second = await write(server.url, "What did I say?", "ada", conversation_id="last")
        assert second["conversation_id"] == first["conversation_id"]
        found = await rows(
            server.environment()["MORGAN_POSTGRES_DSN"],
            "SELECT sequence_number, content FROM messages ORDER BY sequence_number",
        )
    assert [each["sequence_number"] for each in found] == [1, 2, 3, 4]
    assert [each["content"] for each in found[:3]] == ["My name is Ada.", first["text"], "What did I say?"]


async def test_without_its_databases_morgan_answers_and_says_so(models_dir: Path, tmp_path: Path) -> None:
    nowhere = {
        "MORGAN_POSTGRES_DSN": "postgresql://morgan@127.0.0.1:9/morgan",
        "MORGAN_REDIS_URL": "redis://127.0.0.1:9/0",
    }
    with serving(models_dir, tmp_path / "data", **nowhere) as server:
        report = await health(server.url)
        assert report["status"] == "degraded"
        assert report["components"]["postgres"]["status"] == "down"
        assert report["components"]["redis"]["kind"] == "memory"
        first = await write(server.url, "Hello.", "ada")
        second = await write(server.url, "Hello again.", "ada", conversation_id="last")
        assert second["conversation_id"] == first["conversation_id"]
        assert (await health(server.url))["components"]["journal"]["pending"] > 0
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{server.url}/api/conversations", params={"user_id": "ada"}) as response,
        ):
            assert response.status == 503
            assert (await response.json())["error"]["code"] == "memory_unavailable"
            assert response.headers["Retry-After"]
