"""Tools behind an OpenAI-compatible server: what it is told of them, and what it asks of them."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiohttp import web

from pipeline.engines.llm.context_window import ContextOverflowError
from pipeline.engines.protocols import (
    ChatDelta,
    ChatRequest,
    Message,
    RequestRefusedError,
    ToolCall,
    ToolSpec,
)
from pipeline.engines.remote.openai_chat import OpenAiChat
from pipeline.engines.remote.openai_connection import Endpoint
from pipeline.scheduling.lanes import Ticket
from tests.upstream import Server, asking, chunk, events, reply, send

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = ToolSpec("weather", "The weather of a city.", SCHEMA)
QUESTION = ChatRequest((Message("user", "How is it in Paris?"),), tools=(WEATHER,))


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def chat(server: Server) -> AsyncIterator[OpenAiChat]:
    engine = OpenAiChat(Endpoint(server.url, first_timeout_s=2, next_timeout_s=2), "small")
    yield engine
    await engine.close()


async def last_of(chat: OpenAiChat, request: ChatRequest) -> ChatDelta:
    return [delta async for delta in chat.stream(request, Ticket())][-1]


async def test_calls_that_come_in_pieces_are_put_together(chat: OpenAiChat, server: Server) -> None:
    server.chat = asking(("weather", '{"city": "Paris"}'), ("weather", '{"city": "Rome"}'), text="Let me see.")
    deltas = [delta async for delta in chat.stream(QUESTION, Ticket())]
    assert deltas[0] == ChatDelta("Let me see.")
    assert deltas[-1].finish_reason == "tool_calls"
    assert deltas[-1].tool_calls == (
        ToolCall("call_0", "weather", '{"city": "Paris"}'),
        ToolCall("call_1", "weather", '{"city": "Rome"}'),
    )


async def test_the_server_is_told_of_the_tools_and_of_what_was_asked_of_them(chat: OpenAiChat, server: Server) -> None:
    call = ToolCall("call_7", "weather", '{"city": "Paris"}')
    messages = (*QUESTION.messages, Message("assistant", "", tool_calls=(call,)), Message("tool", "sunny", "call_7"))
    await last_of(chat, ChatRequest(messages, tools=(WEATHER,), tool_choice="weather", top_p=0.5, seed=7))
    (asked,) = server.asked
    function = {"name": "weather", "description": "The weather of a city.", "parameters": SCHEMA}
    assert asked["tools"] == [{"type": "function", "function": function}]
    assert asked["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert asked["messages"][1]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "Paris"}'}
    assert asked["messages"][2] == {"role": "tool", "content": "sunny", "tool_call_id": "call_7"}
    assert (asked["top_p"], asked["seed"]) == (0.5, 7)


async def test_a_server_that_is_to_ask_for_one_tool_at_a_time_is_told(chat: OpenAiChat, server: Server) -> None:
    await last_of(chat, replace(QUESTION, parallel_tool_calls=False))
    await last_of(chat, QUESTION)
    await last_of(chat, replace(QUESTION, parallel_tool_calls=False, tools=()))
    assert [asked.get("parallel_tool_calls") for asked in server.asked] == [False, None, None]


async def test_calls_without_index_or_id_are_told_apart_by_their_names(chat: OpenAiChat, server: Server) -> None:
    async def handler(request, body):  # type: ignore[no-untyped-def]
        response = await events(request)
        for name in ("weather", "time"):
            whole = chunk(finish=None)
            function = {"name": name, "arguments": "{}"}
            whole["choices"][0]["delta"] = {"tool_calls": [{"index": None, "type": "function", "function": function}]}
            await send(response, whole)
        await send(response, chunk(finish="stop"))
        await send(response, "[DONE]")
        return response

    server.chat = handler
    last = await last_of(chat, QUESTION)
    assert [call.name for call in last.tool_calls] == ["weather", "time"]
    assert len({call.id for call in last.tool_calls}) == 2
    assert last.finish_reason == "tool_calls"


async def test_a_call_that_was_cut_at_the_limit_is_none(chat: OpenAiChat, server: Server) -> None:
    async def handler(request, body):  # type: ignore[no-untyped-def]
        response = await events(request)
        whole = chunk()
        function = {"name": "weather", "arguments": '{"ci'}
        whole["choices"][0]["delta"] = {
            "tool_calls": [{"index": 0, "id": "c", "type": "function", "function": function}]
        }
        await send(response, whole)
        await send(response, chunk(finish="length"))
        await send(response, "[DONE]")
        return response

    server.chat = handler
    last = await last_of(chat, QUESTION)
    assert (last.finish_reason, last.tool_calls) == ("length", ())


async def test_without_tools_none_are_mentioned(chat: OpenAiChat, server: Server) -> None:
    server.chat = reply("Hi")
    await last_of(chat, ChatRequest((Message("user", "Hi"),)))
    assert not {"tools", "tool_choice", "top_p", "seed"} & set(server.asked[0])


@pytest.mark.parametrize(
    ("code", "kind"), [("context_length_exceeded", ContextOverflowError), ("invalid_value", RequestRefusedError)]
)
async def test_a_request_that_the_server_does_not_take_is_told_apart(
    chat: OpenAiChat, server: Server, code: str, kind: type[Exception]
) -> None:
    async def handler(request, body):  # type: ignore[no-untyped-def]
        return web.json_response({"error": {"message": "Too many words", "code": code}}, status=400)

    server.chat = handler
    with pytest.raises(kind, match="Too many words"):
        await last_of(chat, QUESTION)
