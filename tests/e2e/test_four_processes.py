"""Core, llm, tts and stt as four processes, with the distribution's PostgreSQL and Redis, as compose has them."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from bench.own_server import get_json
from bench.split_server import SplitServer
from server.cli.call import RATE, read_audio
from server.client.caller import Caller
from tests.debian import postgres_server, redis_server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

KEY = "the-key-of-all-four-processes"
APOLOGY = "Apologies."
PATIENCE_S = 60.0
HEADERS = {"Authorization": f"Bearer {KEY}"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def databases(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, str]]:
    folder = tmp_path_factory.mktemp("debian")
    async with postgres_server(folder) as dsn, redis_server(folder) as url:
        yield dsn, url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def split(
    databases: tuple[str, str], models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[SplitServer]:
    dsn, redis_url = databases
    server = SplitServer(
        tmp_path_factory.mktemp("split"),
        MORGAN_POSTGRES_DSN=dsn,
        MORGAN_REDIS_URL=redis_url,
        MORGAN_MODELS_DIR=str(models_dir),
        MORGAN_STT_MODEL="whisper-tiny.en",
        MORGAN_LLM_MAX_TOKENS="24",
        MORGAN_API_KEYS=KEY,
        MORGAN_APOLOGY=APOLOGY,
    )
    await server.start()
    yield server
    await server.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def http(split: SplitServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(split.url, headers=HEADERS) as session:
        yield session


class Talk:
    """A call over which the same question is asked again and again."""

    def __init__(self, caller: Caller, speech: Any) -> None:
        self.caller = caller
        self.conversation_id = ""
        self._speech = speech

    def heard(self) -> str:
        """What the caller was told to have said last."""
        events = [json.loads(text) for _, text in self.caller.messages]
        kind = "conversation.item.input_audio_transcription.completed"
        return str([event["transcript"] for event in events if event["type"] == kind][-1])

    async def ask(self) -> bool:
        """Ask aloud, and wait until the call listens again; whether there was an answer that is no apology."""
        began = time.monotonic()
        await self.caller.say(self._speech, RATE)
        while time.monotonic() < began + PATIENCE_S:
            await asyncio.sleep(0.05)
            events = [json.loads(text) for at, text in self.caller.messages if at > began]
            states = [event["state"] for event in events if event["type"] == "morgan.state"]
            done = [event["response"] for event in events if event["type"] == "response.done"]
            if done and states[-1] == "listening":
                said = [part["content"][0]["transcript"] for part in done[-1]["output"] if part.get("content")]
                # Replies of these tests are short: some end in the middle ("incomplete").
                return done[-1]["status"] in ("completed", "incomplete") and bool(said) and APOLOGY not in said[0]
        return False


@asynccontextmanager
async def talk(http: aiohttp.ClientSession, repository: Path, user: str) -> AsyncIterator[Talk]:
    async with Caller() as caller:
        offer = {"sdp": await caller.offer(), "type": "offer", "user_id": user}
        async with http.post("/api/calls", json=offer) as response:
            opened = await response.json()
            assert response.status == 201, opened
        await caller.accept(opened["sdp"])
        await caller.channel_open()
        call = Talk(caller, read_audio(repository / "tests" / "clips" / "question.wav"))
        call.conversation_id = opened["conversation_id"]
        yield call
        async with http.delete(f"/api/calls/{opened['call_id']}") as response:
            assert response.status == 204


async def test_a_call_is_answered_by_engines_elsewhere_and_kept_in_the_databases(
    split: SplitServer, databases: tuple[str, str], http: aiohttp.ClientSession, repository: Path
) -> None:
    user = f"split-{uuid.uuid4().hex[:8]}"
    async with talk(http, repository, user) as call:
        assert await call.ask()
    report = await get_json(http, "/health")
    kinds = {name: each["kind"] for name, each in report["components"].items()}
    dsn, redis_url = databases
    rows: list[Any] = []
    connection = await asyncpg.connect(dsn)
    for _ in range(100):
        rows = await connection.fetch(
            "SELECT role, content FROM messages WHERE conversation_id = $1 ORDER BY sequence_number",
            uuid.UUID(call.conversation_id),
        )
        if len(rows) == 2:
            break
        await asyncio.sleep(0.05)
    await connection.close()
    async with Redis.from_url(redis_url) as client:
        assert await client.exists(f"conversation:{user}")
    assert report["status"] == "ok", report
    assert {name: kinds[name] for name in ("stt", "llm", "tts", "vad", "turn", "embedder")} == {
        "stt": "remote", "llm": "remote", "tts": "remote", "vad": "in-process", "turn": "in-process",
        "embedder": "remote",
    }  # fmt: skip
    assert [row["role"] for row in rows] == ["user", "assistant"]
    assert rows[0]["content"] == call.heard()


async def test_a_service_that_is_killed_and_restarted_in_mid_call_costs_one_turn_at_most(
    split: SplitServer, http: aiohttp.ClientSession, repository: Path
) -> None:
    async with talk(http, repository, "killed") as call:
        for name, service in split.services.items():
            asking = asyncio.create_task(call.ask())
            await asyncio.sleep(0.3)
            await service.kill()
            await asyncio.gather(asking, service.start())
            assert await call.ask(), f"the turn after the restart of {name}"
    report = await get_json(http, "/health")
    assert {name: report["components"][name]["status"] for name in split.services} == dict.fromkeys(
        split.services, "ok"
    )


async def test_each_process_serves_its_own_and_describes_it(split: SplitServer) -> None:
    own = {"llm": "/embed", "tts": "/speak", "stt": "/stream/start"}
    async with aiohttp.ClientSession() as http, aiohttp.ClientSession(headers=HEADERS) as known:
        for name, service in split.services.items():
            health = await get_json(known, f"{service.url}/health")
            assert (health["service"], health["status"], health["memory"]) == (name, "ok", "on")
            described = await get_json(http, f"{service.url}/openapi.json")
            assert own[name] in described["paths"]
            assert not any(path in described["paths"] for other, path in own.items() if other != name)
            async with http.get(f"{service.url}/metrics") as response:
                assert response.status == 401
            async with http.get(f"{service.url}/metrics", headers=HEADERS) as response:
                text = await response.text()
            assert f'morgan_engine_up{{engine="{name}"}} 1.0' in text
            assert "morgan_calls_active" not in text


async def test_a_stopped_service_finishes_what_it_has_in_hand(split: SplitServer) -> None:
    llm = split.services["llm"]
    body = {"prompt": "Tell me a long story.", "max_tokens": 200}
    async with aiohttp.ClientSession(headers=HEADERS) as http:
        async with http.post(f"{llm.url}/stream", json=body) as response:
            first = await response.content.readline()
            stopping = asyncio.create_task(llm.stop())
            await asyncio.sleep(0.2)
            async with http.get(f"{llm.url}/health") as refused:
                assert refused.status == 503
                assert (await refused.json())["error"]["code"] == "draining"
            rest = await response.content.read()
        await stopping
    await llm.start()
    assert b"token" in first
    assert rest.endswith(b"data: [DONE]\n\n")
    assert b'"type": "done"' in rest
