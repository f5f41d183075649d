"""The language model's service, over HTTP, with the real model."""

import asyncio
import json
import math
import uuid
from typing import Any

import aiohttp
import pytest

from tests.serving import RunningServer

STORY = {"prompt": "Tell me a short story", "stream": True}


@pytest.fixture
def llm_url(server: RunningServer) -> str:
    host, _, port = server.url.rpartition(":")
    return f"{host}:{int(port) + 1}"


async def events_of(response: aiohttp.ClientResponse) -> list[Any]:
    """What came as server-sent events; "[DONE]" as it is."""
    lines = [line.decode().strip() async for line in response.content]
    data = [line.removeprefix("data: ") for line in lines if line]
    return [item if item == "[DONE]" else json.loads(item) for item in data]


async def test_the_line_of_the_seed_streams_tokens(llm_url: str) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{llm_url}/stream", json={**STORY, "max_tokens": 24}) as response,
    ):
        assert response.headers["Content-Type"] == "text/event-stream"
        *tokens, done, end = await events_of(response)
    assert len(tokens) > 10
    assert {event["type"] for event in tokens} == {"token"}
    assert "".join(event["text"] for event in tokens).strip() == done["text"]
    assert done["type"] == "done"
    assert done["usage"]["completion_tokens"] == 24
    assert done["usage"]["total_tokens"] == done["usage"]["prompt_tokens"] + 24
    assert done["latency_ms"] > 0
    assert end == "[DONE]"


async def test_generate_gives_the_same_text_in_one_piece(llm_url: str) -> None:
    asked = {"messages": [{"role": "user", "content": "Name a colour."}], "max_tokens": 12}
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{llm_url}/generate", json=asked) as response:
            assert response.status == 200
            whole = await response.json()
        async with http.post(f"{llm_url}/stream", json=asked) as response:
            streamed = await events_of(response)
    assert whole["text"] == streamed[-2]["text"]
    assert whole["usage"] == streamed[-2]["usage"]
    assert "conversation_id" not in whole


async def test_hanging_up_stops_the_generation(llm_url: str) -> None:
    """Of 1,000 tokens few are made: the engine's own counter tells."""
    asked = {"prompt": "Count from one to one thousand, in words.", "max_tokens": 1_000}
    async with aiohttp.ClientSession() as http:
        before = during = await _work_running(http, llm_url)
        for _ in range(20):  # the model may have said all it has to say before it is looked at
            async with http.post(f"{llm_url}/stream", json=asked) as response:
                await response.content.readline()
                during = await _work_running(http, llm_url)
                response.close()
            if during > before:
                break
        async with asyncio.timeout(10):
            while await _work_running(http, llm_url) > before:
                pass
    assert during == before + 1


async def _work_running(http: aiohttp.ClientSession, llm_url: str) -> int:
    """Pieces of work that the language model has in hand or waiting, by its metrics."""
    async with http.get(f"{llm_url}/metrics") as response:
        text = await response.text()
    wanted = ('morgan_lane_running{lane="llm"}', 'morgan_lane_waiting{lane="llm"}')
    found = [float(line.split()[-1]) for line in text.splitlines() if line.startswith(wanted)]
    assert len(found) == len(wanted), text
    return int(sum(found))


async def test_a_conversation_id_of_ones_own_carries_the_context(llm_url: str, server: RunningServer) -> None:
    name, user = f"chat-{uuid.uuid4()}", f"user-{uuid.uuid4()}"
    body = {"conversation_id": name, "user_id": user, "max_tokens": 8}
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{llm_url}/generate", json={**body, "prompt": "My name is Ada."}) as response:
            first = await response.json()
        async with http.post(f"{llm_url}/generate", json={**body, "prompt": "What is my name?"}) as response:
            second = await response.json()
        assert first["conversation_id"] == second["conversation_id"]
        assert second["usage"]["prompt_tokens"] > first["usage"]["prompt_tokens"] + 8
        messages = f"{server.url}/api/conversations/{first['conversation_id']}/messages"
        async with http.get(messages, params={"user_id": user}) as response:
            kept = await response.json()
    said = [(message["role"], message["content"]) for message in kept["messages"]]
    assert said == [
        ("user", "My name is Ada."),
        ("assistant", first["text"]),
        ("user", "What is my name?"),
        ("assistant", second["text"]),
    ]


async def test_a_conversation_of_somebody_else_is_not_found(llm_url: str) -> None:
    body = {"conversation_id": str(uuid.uuid4()), "prompt": "Hi", "max_tokens": 2}
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{llm_url}/generate", json={**body, "user_id": "ada"}) as response:
            assert response.status == 200
        async with http.post(f"{llm_url}/generate", json={**body, "user_id": "bob"}) as response:
            assert response.status == 404


async def test_the_system_message_is_obeyed_by_the_context(llm_url: str) -> None:
    """With a longer system message the model reads more."""
    async with aiohttp.ClientSession() as http:
        counts = []
        for system in ("Hi.", "You are a pirate. " * 20):
            async with http.post(
                f"{llm_url}/generate", json={"prompt": "Hi", "system": system, "max_tokens": 1}
            ) as response:
                counts.append((await response.json())["usage"]["prompt_tokens"])
    assert counts[1] > counts[0] + 60


async def test_more_than_the_model_can_read_is_told(llm_url: str) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{llm_url}/generate", json={"prompt": "word " * 5_000}) as response:
            assert response.status == 400
            assert (await response.json())["error"]["code"] == "context_length_exceeded"
        async with http.post(f"{llm_url}/stream", json={"prompt": "word " * 5_000}) as response:
            assert response.status == 200
            error, end = await events_of(response)
    assert (error["type"], error["code"], end) == ("error", "context_length_exceeded", "[DONE]")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "prompt or messages"),
        ({"prompt": "Hi", "messages": [{"role": "user", "content": "Hi"}]}, "prompt or messages"),
        ({"prompt": " "}, "prompt"),
        ({"prompt": "Hi", "max_tokens": 0}, "max_tokens"),
        ({"prompt": "Hi", "temperature": 9}, "temperature"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages.0.role"),
        ({"prompt": "Hi", "promt": "Hi"}, "promt"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(llm_url: str, body: dict[str, Any], field: str) -> None:
    async with aiohttp.ClientSession() as http, http.post(f"{llm_url}/generate", json=body) as response:
        assert response.status == 422
        assert field in (await response.json())["error"]["message"]


async def test_texts_become_vectors_that_are_near_where_they_mean_the_same(llm_url: str) -> None:
    texts = ["The cat sleeps on the sofa.", "A kitten is napping on the couch.", "Interest rates rose again."]
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{llm_url}/embed", json={"texts": texts}) as response:
            assert response.status == 200
            many = await response.json()
        async with http.post(f"{llm_url}/embed", json={"text": texts[0]}) as response:
            one = await response.json()
    cat, kitten, rates = many["embeddings"]
    assert many["dimensions"] == len(cat) == 384
    assert math.isclose(math.hypot(*cat), 1, abs_tol=1e-3)
    assert _dot(cat, kitten) > _dot(cat, rates) + 0.3
    assert _dot(cat, one["embeddings"][0]) > 0.999


def _dot(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize(
    "body", [{}, {"text": ""}, {"texts": []}, {"text": "a", "texts": ["b"]}, {"texts": ["a"] * 2049}]
)
async def test_nothing_and_too_much_to_embed_is_refused(llm_url: str, body: dict[str, Any]) -> None:
    async with aiohttp.ClientSession() as http, http.post(f"{llm_url}/embed", json=body) as response:
        assert response.status == 422


async def test_health_tells_of_the_model(llm_url: str) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{llm_url}/health") as response:
        report = await response.json()
    assert (response.status, report["status"], report["service"]) == (200, "ok", "llm")
