"""Functions of a client of `WS /v1/realtime`: asked for by a language model that the test plays, run by the client."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.e2e.realtime_client import client, connected, silence_going_on, sound
from tests.serving import RunningServer, serving
from tests.upstream import Server, asking, reply

CLIPS = Path(__file__).parent.parent / "clips"

ARGUMENTS = '{"city": "Paris"}'

WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a city, now.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}

pytestmark = pytest.mark.timeout(400)


async def model(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Asks for the weather, then tells the result."""
    last = body["messages"][-1]
    if last["role"] == "tool":
        return await reply(f"The tool says: {last['content']}.")(request, body)
    if not body.get("tools") or not body.get("stream"):
        return await reply("I do not know.")(request, body)
    return await asking(("weather", ARGUMENTS))(request, body)


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
def calling(upstream: Server, models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    environ = {"MORGAN_LLM_BASE_URL": upstream.url, "MORGAN_LLM_MODEL": "small"}
    with serving(models_dir, tmp_path_factory.mktemp("realtime_tools"), **environ) as running:
        yield running


async def test_a_spoken_question_is_answered_with_what_the_clients_function_says(
    calling: RunningServer, upstream: Server
) -> None:
    async with client(calling.url) as made, connected(made) as heard:
        await heard.connection.session.update(session={"type": "realtime", "tools": [WEATHER]})
        assert (await heard.wait("session.updated"))["session"]["tools"][0]["name"] == "weather"
        await heard.say(sound(CLIPS / "question.wav"), 1.0)
        async with silence_going_on(heard):
            (called,) = (await heard.wait("response.done"))["response"]["output"]
            assert (called["type"], called["name"], called["arguments"]) == ("function_call", "weather", ARGUMENTS)
            result = {"type": "function_call_output", "call_id": called["call_id"], "output": "21 degrees"}
            await heard.connection.conversation.item.create(item=result)
            await heard.connection.response.create()
            done = (await heard.wait("response.done", 2))["response"]
        assert done["output"][0]["content"][0]["transcript"] == "The tool says: 21 degrees."
        assert len(heard.audio) > 24_000
        roles = [message["role"] for message in upstream.asked[-1]["messages"]]
        assert roles == ["system", "user", "assistant", "tool"]


async def test_the_model_is_told_which_function_to_call(calling: RunningServer, upstream: Server) -> None:
    async with client(calling.url) as made, connected(made) as heard:
        content = [{"type": "input_text", "text": "What is the weather?"}]
        message = {"type": "message", "role": "user", "content": content}
        await heard.connection.conversation.item.create(item=message)
        wanted = {"tools": [WEATHER], "tool_choice": {"type": "function", "name": "weather"}}
        await heard.connection.response.create(response=wanted)
        (called,) = (await heard.wait("response.done"))["response"]["output"]
        assert called["name"] == "weather"
        assert upstream.asked[-1]["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
