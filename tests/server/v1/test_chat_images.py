"""Images through the doors of OpenAI's API, to an endpoint whose model sees: what arrives there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web
from pydantic import ValidationError
from structlog.testing import capture_logs

from server.app import Server
from server.engines.factory import build_llm
from server.settings import Settings
from server.v1.chat_request import ChatCompletionRequest
from tests import upstream
from tests.e2e.realtime_client import client, connected
from tests.images import png
from tests.server.scripted import scripted_engines
from tests.serving import free_port


@asynccontextmanager
async def seeing_server(folder: Path, url: str, **settings: Any) -> AsyncIterator[Server]:
    """A server whose language model is behind an endpoint, and sees unless the settings say otherwise."""
    wanted = Settings(
        **{
            "memory": "off",
            "port": free_port(),
            "data_dir": folder,
            "llm_base_url": url,
            "llm_model": "eyes",
            "llm_sees_images": True,
            **settings,
        }
    )
    server = await Server.start(wanted, replace(scripted_engines(), llm=build_llm(wanted)))
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
async def endpoint() -> AsyncIterator[upstream.Server]:
    server = upstream.Server()
    await server.start()
    yield server
    await server.stop()


def question(url: str, text: str = "What is this?") -> list[dict[str, Any]]:
    """A message of the user."""
    parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url, "detail": "low"}}]
    return [{"role": "user", "content": parts}]


async def test_the_images_of_a_chat_arrive_as_they_were_sent(tmp_path: Path, endpoint: upstream.Server) -> None:
    asked: Any = question(png("a cat", 300_000))
    async with seeing_server(tmp_path, endpoint.url) as server, client(server.url) as made:
        answer = await made.chat.completions.create(model="eyes", messages=asked)
    assert answer.choices[0].message.content == "Hello"
    assert endpoint.asked[-1]["messages"] == asked


async def test_what_is_shown_in_a_session_arrives_with_every_turn_after_it(
    tmp_path: Path, endpoint: upstream.Server
) -> None:
    content = [
        {"type": "input_image", "image_url": png("a cat", 300_000)},
        {"type": "input_text", "text": "What is it?"},
    ]
    item: Any = {"type": "message", "role": "user", "content": content}
    later: Any = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "And its colour?"}]}
    async with seeing_server(tmp_path, endpoint.url) as server, client(server.url) as made, connected(made) as heard:
        for count, said in enumerate((item, later), 1):
            await heard.connection.conversation.item.create(item=said)
            await heard.connection.response.create()
            assert (await heard.wait("response.done", count))["response"]["status"] == "completed"
    shown = [
        [part for message in body["messages"] if isinstance(message["content"], list) for part in message["content"]]
        for body in endpoint.asked[-2:]
    ]
    image = {"type": "image_url", "image_url": {"url": png("a cat", 300_000)}}
    assert shown == [[image, {"type": "text", "text": "What is it?"}]] * 2


def cannot_read_images(answers: upstream.Handler) -> upstream.Handler:
    """An endpoint that refuses what it is shown, and says of which words."""

    async def handler(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        last = body["messages"][-1]["content"]
        if isinstance(last, list):
            return web.json_response({"error": {"message": f"unreadable: {last[0]}"}}, status=400)
        return await answers(request, body)

    return handler


@pytest.mark.parametrize(
    "response", [{}, {"conversation": "none", "output_modalities": ["text"]}], ids=["in the conversation", "beside it"]
)
async def test_an_image_that_the_endpoint_cannot_read_does_not_silence_the_call(
    tmp_path: Path, endpoint: upstream.Server, response: Any
) -> None:
    endpoint.chat = cannot_read_images(endpoint.chat)
    content = [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": png()}]
    item: Any = {"type": "message", "role": "user", "content": content}
    async with seeing_server(tmp_path, endpoint.url) as server, client(server.url) as made, connected(made) as heard:
        with capture_logs() as logs:
            await heard.connection.conversation.item.create(item=item)
            await heard.connection.response.create(response=response)
            done = await heard.wait("response.done")
    assert done["response"]["status"] == "completed"
    assert endpoint.asked[-1]["messages"][-1]["content"] == "What is it? [image]"
    assert any(entry["event"].startswith("images refused") for entry in logs)
    # What users say never goes into a log.
    assert "What is it?" not in str(logs)


@pytest.mark.parametrize(
    ("url", "sees", "code"),
    [
        (png(), False, "images_unsupported"),
        ("https://example.com/cat.png", False, "images_unsupported"),
        ("https://example.com/cat.png", True, "image_url_unsupported"),
        ("data:image/svg+xml;base64,AAAA", True, "invalid_image"),
    ],
)
async def test_images_that_do_not_reach_the_model_are_refused(
    tmp_path: Path, endpoint: upstream.Server, url: str, sees: bool, code: str
) -> None:
    asked: Any = question(url)
    async with seeing_server(tmp_path, endpoint.url, llm_sees_images=sees) as server, client(server.url) as made:
        before = len(endpoint.asked)
        with pytest.raises(openai.BadRequestError) as refused:
            await made.chat.completions.create(model="eyes", messages=asked)
    assert (refused.value.code, refused.value.param) == (code, "messages")
    assert len(endpoint.asked) == before


def test_an_image_stands_behind_the_words_that_it_was_sent_behind() -> None:
    parts = [
        {"type": "text", "text": "Mine: "},
        {"type": "image_url", "image_url": {"url": png("a cat")}},
        {"type": "text", "text": "and this?"},
    ]
    body = ChatCompletionRequest.model_validate({"messages": [{"role": "user", "content": parts}]})
    message = body.chat_request(0.0).messages[0]
    assert (message.content, [image.at for image in message.images]) == ("Mine: and this?", [6])


def test_only_the_user_shows_images() -> None:
    parts = [{"type": "image_url", "image_url": {"url": png()}}]
    with pytest.raises(ValidationError, match="only the user shows images"):
        ChatCompletionRequest.model_validate({"messages": [{"role": "assistant", "content": parts}]})
