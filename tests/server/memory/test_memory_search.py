"""Search by meaning over HTTP and the index made anew, on a real server with the real embedding model."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from persistence.config import PersistenceConfig
from persistence.memory import Memory
from tests.persistence.parts import item
from tests.serving import RunningServer

SAID = ("My dog is called Biscuit.", "I work in a hospital near the river.", "In summer we sail to Norway.")


@pytest_asyncio.fixture
async def http(server: RunningServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url) as session:
        yield session


async def search(http: aiohttp.ClientSession, status: int = 200, **query: Any) -> dict[str, Any]:
    async with http.get("/api/memory/search", params=query) as response:
        body: dict[str, Any] = await response.json()
        assert response.status == status, body
        return body


async def rebuild(http: aiohttp.ClientSession, body: object, status: int = 200) -> str:
    async with http.post("/api/memory/rebuild", json=body) as response:
        text = await response.text()
        assert response.status == status, text
        return text


async def test_a_search_finds_by_meaning_and_says_where(http: aiohttp.ClientSession) -> None:
    user_id, answers = f"user-{uuid.uuid4().hex[:8]}", []
    for text in SAID:
        async with http.post("/api/text", json={"text": text, "user_id": user_id}) as response:
            answers.append(await response.json())
    # With whatever the language model said to it: six messages.
    for _ in range(100):
        results = (await search(http, user_id=user_id, q="How is my puppy called?", limit=100))["results"]
        if len(results) == 6:
            break
    assert results[0]["score"] == max(each["score"] for each in results)
    best = next(each for each in results if each["role"] == "user")
    assert best["content"] == SAID[0]
    assert best["conversation_id"] == answers[0]["conversation_id"]
    assert best.keys() == {"message_id", "conversation_id", "role", "content", "created_at", "score"}
    assert len((await search(http, user_id=user_id, q="puppy", limit=1))["results"]) == 1
    assert (await search(http, user_id=f"{user_id}-other", q="puppy"))["results"] == []


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"q": "dog"}, "user_id"),
        ({"user_id": "a"}, "q"),
        ({"user_id": "a", "q": " \n"}, "q"),
        ({"user_id": "a", "q": "x" * 2_001}, "q"),
        ({"user_id": "a\x00", "q": "dog"}, "user_id"),
        ({"user_id": "a", "q": "dog", "limit": "0"}, "limit"),
        ({"user_id": "a", "q": "dog", "limit": "101"}, "limit"),
        ({"user_id": "a", "q": "dog", "colour": "red"}, "colour"),
    ],
)
async def test_a_search_that_does_not_fit_is_explained(
    http: aiohttp.ClientSession, query: dict[str, str], named: str
) -> None:
    assert named in (await search(http, 422, **query))["error"]["message"]


@pytest.mark.parametrize("q", ["a\x00b", "'; DROP TABLE messages; --", "\u202e🙂", "東京", "{{}}", "*"])
async def test_whatever_is_looked_for_is_only_words(http: aiohttp.ClientSession, q: str) -> None:
    assert (await search(http, user_id="nobody", q=q))["results"] == []


async def test_a_rebuild_tells_how_far_it_is(http: aiohttp.ClientSession) -> None:
    lines = [line.removeprefix("data: ") for line in (await rebuild(http, {})).split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    events = [json.loads(line) for line in lines]
    assert [event["type"] for event in events] == ["progress"] * (len(events) - 1) + ["done"]
    assert events[-2]["done"] == events[-1]["total"]


async def test_a_rebuild_that_does_not_fit_is_explained(http: aiohttp.ClientSession) -> None:
    assert "embeddings" in await rebuild(http, {"embeddings": "perhaps"}, 422)


async def test_the_index_of_a_stopped_server_is_made_anew(models_dir: Path, tmp_path: Path) -> None:
    """The messages were stored without an embedding model: the command makes the embeddings, too."""
    memory = await Memory.open(PersistenceConfig(tmp_path))
    for text in SAID:
        memory.conversation("ada").user_turn(item(), text)
    await memory.outbox.settle(5)
    await memory.close()
    environment = {**os.environ, "MORGAN_MODELS_DIR": str(models_dir)}
    command = [sys.executable, "-m", "server.cli.main", "memory", "rebuild", "--data-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, env=environment)  # noqa: ASYNC221
    assert done.returncode == 0, done.stderr
    assert "3 messages are in the index." in done.stderr
    again = await Memory.open(PersistenceConfig(tmp_path))
    assert await again.worker.idle(10)
    assert await again.vectors.count() == 3
    await again.close()
