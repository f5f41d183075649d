"""Function calling through a whole server, over an OpenAI-compatible endpoint that the test runs."""

import asyncio
import json
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from aiohttp import web

from tests.e2e.test_call_command import morgan
from tests.serving import RunningServer, serving
from tests.upstream import Server, asking, reply

ARGUMENTS = '{"city": "Paris"}'
ANSWER = "It is sunny in Paris."

TOOLS = [
    {
        "name": "weather",
        "description": "The weather of a city, now.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        "function": "tests.pipeline.tools.functions:weather",
    }
]


MCP_SERVERS = [{"name": "time", "command": sys.executable, "args": ["-m", "mcp_server_time"]}]

wanted = [("weather", ARGUMENTS)]
"""The tool that the model asks for."""


async def model(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Asks for the weather, then tells the result."""
    last = body["messages"][-1]
    if last["role"] == "tool":
        return await reply(f"The tool says: {last['content']}.")(request, body)
    if body.get("tool_choice", "none") == "none" or not body.get("stream"):
        return await reply(ANSWER)(request, body)
    return await asking(wanted[-1])(request, body)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Server]:
    """The endpoint, in a thread of its own."""
    server, loop = Server(), asyncio.new_event_loop()
    server.chat = model
    loop.run_until_complete(server.start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield server
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture(scope="module")
def morgan_with_tools(
    upstream: Server, models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    environ = {
        "MORGAN_LLM_BASE_URL": upstream.url,
        "MORGAN_LLM_MODEL": "small",
        "MORGAN_TOOLS": json.dumps(TOOLS),
        "MORGAN_MCP_SERVERS": json.dumps(MCP_SERVERS),
    }
    with serving(models_dir, tmp_path_factory.mktemp("tools"), **environ) as running:
        yield running


@pytest.fixture(scope="module")
def client(morgan_with_tools: RunningServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{morgan_with_tools.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def kept(server: RunningServer, conversation_id: str, user_id: str) -> list[dict[str, Any]]:
    """The messages of a conversation, as they are stored."""
    url = f"{server.url}/api/conversations/{conversation_id}/messages"
    messages: list[dict[str, Any]] = httpx2.get(url, params={"user_id": user_id}).json()["messages"]
    return messages


def test_a_text_is_answered_with_what_the_tool_says_and_the_tool_is_remembered(
    morgan_with_tools: RunningServer,
) -> None:
    user_id = f"user-{uuid.uuid4()}"
    asked = {"text": "How is the weather?", "user_id": user_id}
    answer = httpx2.post(f"{morgan_with_tools.url}/api/text", json=asked, timeout=30).json()
    assert answer["text"] == "The tool says: It is sunny in Paris."
    messages = kept(morgan_with_tools, answer["conversation_id"], user_id)
    assert [(message["role"], message["content"]) for message in messages] == [
        ("user", "How is the weather?"),
        ("tool", "It is sunny in Paris"),
        ("assistant", answer["text"]),
    ]
    told = messages[1]["metadata"]
    assert (told["tool"], told["arguments"], told["failed"]) == ("weather", ARGUMENTS, False)
    assert told["duration_ms"] >= 0


def test_a_caller_hears_what_the_tool_says(
    morgan_with_tools: RunningServer, upstream: Server, repository: Path
) -> None:
    user_id = f"caller-{uuid.uuid4()}"
    clip = repository / "tests" / "clips" / "question.wav"
    called = morgan("call", str(clip), "--json", "--user-id", user_id, url=morgan_with_tools.url)
    assert called.returncode == 0, called.stderr
    report = json.loads(called.stdout)
    assert "The tool says: It is sunny in Paris." in report["reply"]
    roles = [message["role"] for message in kept(morgan_with_tools, report["conversation_id"], user_id)]
    assert roles == ["user", "tool", "assistant"]
    assert "weather" in [tool["function"]["name"] for tool in upstream.asked[-1]["tools"]]


def test_a_caller_hears_what_an_mcp_server_of_the_registry_says(
    morgan_with_tools: RunningServer, upstream: Server, repository: Path
) -> None:
    offered: set[str] = set()
    deadline = time.monotonic() + 60
    while "time_get_current_time" not in offered and time.monotonic() < deadline:
        asked = {"text": "Hello.", "user_id": f"user-{uuid.uuid4()}"}
        httpx2.post(f"{morgan_with_tools.url}/api/text", json=asked, timeout=30).raise_for_status()
        offered = {tool["function"]["name"] for tool in upstream.asked[-1]["tools"]}
    clip = repository / "tests" / "clips" / "question.wav"
    wanted.append(("time_get_current_time", '{"timezone": "Asia/Kolkata"}'))
    try:
        called = morgan("call", str(clip), "--json", url=morgan_with_tools.url)
    finally:
        wanted.pop()
    assert called.returncode == 0, called.stderr
    assert "The tool says:" in json.loads(called.stdout)["reply"]
    assert "+05:30" in upstream.asked[-1]["messages"][-1]["content"]


WEATHER: Any = {"type": "function", "function": {key: TOOLS[0][key] for key in ("name", "description", "parameters")}}
MESSAGES: Any = [{"role": "user", "content": "How is the weather in Paris?"}]


def test_a_client_with_tools_of_its_own_gets_the_call_and_answers_it(client: openai.OpenAI) -> None:
    """The server's own tools stay out of it."""
    first = client.chat.completions.create(model="gpt-4o", messages=MESSAGES, tools=[WEATHER])
    assert first.choices[0].finish_reason == "tool_calls"
    assert first.choices[0].message.tool_calls is not None
    (call,) = first.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("weather", ARGUMENTS)  # type: ignore[union-attr]
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    messages = [*MESSAGES, first.choices[0].message.to_dict(), result]
    second = client.chat.completions.create(model="gpt-4o", messages=messages, tools=[WEATHER])
    assert second.choices[0].message.content == "The tool says: rain."


def test_a_client_that_streams_gets_the_call_too(client: openai.OpenAI, upstream: Server) -> None:
    choice: Any = {"type": "function", "function": {"name": "weather"}}
    with client.chat.completions.stream(
        model="gpt-4o", messages=MESSAGES, tools=[WEATHER], tool_choice=choice
    ) as stream:
        final = stream.get_final_completion()
    (call,) = final.choices[0].message.tool_calls or []
    assert (call.function.name, call.function.arguments) == ("weather", ARGUMENTS)
    assert upstream.asked[-1]["tool_choice"] == choice


def test_a_choice_that_is_no_tool_is_refused(client: openai.OpenAI) -> None:
    choice: Any = {"type": "function", "function": {"name": "nothing"}}
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="m", messages=MESSAGES, tools=[WEATHER], tool_choice=choice)
    assert (refused.value.code, refused.value.param) == ("invalid_tool_choice", "tool_choice")
