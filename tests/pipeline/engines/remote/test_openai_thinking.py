"""Models that think behind an OpenAI-compatible server: their thoughts reach nobody."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from pipeline.engines.protocols import ChatDelta, ChatRequest, Message
from pipeline.engines.remote.openai_chat import MOST_THOUGHT, OpenAiChat
from pipeline.engines.remote.openai_connection import Endpoint
from pipeline.scheduling.lanes import Ticket
from tests.pipeline.text.test_thinking import ANSWER, THOUGHT, cuts
from tests.upstream import Handler, Server, chunk, events, reply, send

REQUEST = ChatRequest((Message("user", "Hi"),), max_tokens=5)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def chat(server: Server) -> AsyncIterator[OpenAiChat]:
    engine = OpenAiChat(Endpoint(server.url), "small")
    yield engine
    await engine.close()


async def deltas(chat: OpenAiChat) -> list[ChatDelta]:
    return [delta async for delta in chat.stream(REQUEST, Ticket())]


def text(received: list[ChatDelta]) -> str:
    return "".join(delta.text for delta in received)


def reasoning(*thoughts: str) -> Handler:
    """Sends thoughts in a field of their own, then an answer."""

    async def handler(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = await events(request)
        for thought in thoughts:
            piece = chunk()
            piece["choices"][0]["delta"] = {"reasoning_content": thought}
            await send(response, piece)
        await send(response, chunk("Paris."))
        await send(response, chunk(finish="stop"))
        await send(response, "[DONE]")
        return response

    return handler


@pytest.mark.parametrize("way", range(20))
async def test_a_thought_is_left_out_however_it_is_split(chat: OpenAiChat, server: Server, way: int) -> None:
    server.chat = reply(*cuts(f"<think>{THOUGHT}</think>\n\n{ANSWER}", way))
    received = await deltas(chat)
    assert text(received) == ANSWER
    assert received[-1].finish_reason == "stop"


async def test_that_it_thinks_is_told(chat: OpenAiChat, server: Server) -> None:
    server.chat = reply("<think>", "What?", "</think>", "Paris.")
    assert [(delta.text, delta.thinking) for delta in await deltas(chat)] == [
        ("", True),
        ("", True),
        ("Paris.", False),
        ("", False),
    ]


async def test_the_greeting_teaches_that_replies_begin_within_a_thought(chat: OpenAiChat, server: Server) -> None:
    server.chat = reply("The user greets me.</think>Hello!")
    await chat.warm_up()
    server.chat = reply("The user ", "asks. ", "</think>", "\n\nParis.")
    assert text(await deltas(chat)) == "Paris."
    assert server.asked[-1]["max_tokens"] == REQUEST.max_tokens + MOST_THOUGHT


async def test_so_does_the_name(server: Server) -> None:
    chat = OpenAiChat(Endpoint(server.url), "deepseek-r1:8b")
    server.chat = reply("Hm. ", "</think>", "Paris.")
    assert text(await deltas(chat)) == "Paris."
    server.chat = reply("Par", "is.")
    assert text(await deltas(chat)) == "Paris."
    await chat.close()


async def test_thoughts_in_a_field_of_their_own_are_no_text(chat: OpenAiChat, server: Server) -> None:
    server.chat = reasoning("What", " is it?")
    received = await deltas(chat)
    assert text(received) == "Paris."
    assert [delta.thinking for delta in received] == [True, True, False, False]


async def test_thoughts_are_not_sent_back(chat: OpenAiChat, server: Server) -> None:
    talk = (Message("user", "Hi"), Message("assistant", "<think>Hm.</think>Hello."), Message("user", "<think>?"))
    async for _ in chat.stream(ChatRequest(talk), Ticket()):
        pass
    assert [message["content"] for message in server.asked[-1]["messages"]] == ["Hi", "Hello.", "<think>?"]


async def test_a_model_that_does_not_think_is_given_no_more_tokens(chat: OpenAiChat, server: Server) -> None:
    await chat.warm_up()
    await deltas(chat)
    assert server.asked[-1]["max_tokens"] == REQUEST.max_tokens
