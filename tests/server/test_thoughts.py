"""What a language model thinks comes out at no door and is stored nowhere, however its tags are split.

The model is one of another package: it knows nothing of thoughts, and gives them as they come.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import pytest_asyncio

from pipeline.engines.protocols import ChatDelta, ChatRequest, SpeechChunk
from pipeline.scheduling.lanes import Ticket
from server.app import Server
from server.client.caller import Caller
from server.settings import Settings
from tests.e2e.audio_socket_client import audio_socket
from tests.media.calls import until
from tests.pipeline.text.test_thinking import cuts
from tests.server.attentive import AttentiveEars
from tests.server.rtvi.test_routes import called
from tests.server.scripted import Mind, Voicebox, scripted_engines
from tests.server.telephone.bridge import calling
from tests.server.webhooks.receiving import SECRET, Receiving, receiving
from tests.serving import free_port

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

ANSWER = "Certainly."
WHOLE = f"<think>\nSomething zweifelhaft, 3 < 4.\n</think>\n\n{ANSWER}"
SECRETS = ("zweifelhaft", "<think", "think>")


class Ponderer(Mind):
    """Thinks before each answer, in the ways of `cuts` one after the other."""

    def __init__(self) -> None:
        super().__init__("")
        self.ways: list[int] = []

    async def stream(self, request: ChatRequest, ticket: Ticket) -> AsyncIterator[ChatDelta]:
        self.asked.append(request)
        way = len(self.ways) % 20
        self.ways.append(way)
        for piece in cuts(WHOLE, way):
            yield ChatDelta(piece)
        yield ChatDelta("", "stop", 20, 9)


class Notebook(Voicebox):
    """Writes down what it is given to say."""

    def __init__(self) -> None:
        self.said: list[str] = []

    async def synthesize(self, text: str, ticket: Ticket, **more: Any) -> AsyncIterator[SpeechChunk]:
        self.said.append(text)
        async for chunk in super().synthesize(text, ticket, **more):
            yield chunk


MIND, VOICE = Ponderer(), Notebook()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hook() -> AsyncIterator[Receiving]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("thoughts")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def remembering(hook: Receiving, folder: Path) -> AsyncIterator[Server]:
    ears: Any = AttentiveEars()
    settings = Settings(
        port=free_port(), data_dir=folder, greeting="", max_calls=8, webhook_urls=(hook.url,), webhook_secret=SECRET,
        webhook_private=True, calls_per_minute=10_000, connect_timeout_s=60, lost_grace_s=60, telephone_greeting="",
    )  # fmt: skip
    engines = replace(scripted_engines(), vad=ears, turn=ears, stt=ears, llm=MIND, tts=VOICE)
    server = await Server.start(settings, engines)
    try:
        yield server
    finally:
        await server.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def http(remembering: Server) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(remembering.url) as session:
        yield session
    await until(lambda: not remembering.registry.active)


def no_thought(told: object) -> None:
    """Fails where what was told holds a thought."""
    text = told if isinstance(told, str) else json.dumps(told)
    assert not [secret for secret in SECRETS if secret in text], text


def loud() -> np.ndarray[Any, Any]:
    """Half a second of a voice at 16 kHz, and silence behind it."""
    tone = (np.sin(np.arange(10_000) * 0.2) * 9_000).astype("<i2")
    return np.concatenate([tone, np.zeros(16_000, "<i2")])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/text", {"text": "Is it so?", "user_id": "ada"}),
        ("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "Is it so?"}]}),
    ],
)
async def test_in_writing(http: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> None:
    before = len(MIND.ways)
    for number in range(20):
        async with http.post(path, json={**body, "stream": number % 2 == 1}) as response:
            text = await response.text()
            assert response.status == 200, text
        no_thought(text)
        assert said_in(text) == ANSWER
    assert sorted(MIND.ways[before:]) == list(range(20))


def said_in(answer: str) -> str:
    """The words of an answer, of a stream all of its pieces together."""
    if not answer.startswith("data:"):
        whole = json.loads(answer)
        return str(whole["text"] if "text" in whole else whole["choices"][0]["message"]["content"])
    events = [json.loads(line[5:]) for line in answer.splitlines() if line.startswith("data: {")]
    tokens = [each["text"] for each in events if each.get("type") == "token"]
    return "".join(tokens or [each["choices"][0]["delta"].get("content") or "" for each in events])


async def test_in_a_call_on_a_websocket(remembering: Server, http: aiohttp.ClientSession) -> None:
    async with audio_socket(remembering.url, user_id="bob") as client:
        await client.say(loud().tobytes())
        for number in range(4):
            await client.until(lambda number=number: len(client.all("response_done")) > number, 60)
            await client.socket.send_json({"type": "text", "text": f"Is it so, {number}?"})
        assert len(client.heard()) > 2_000
        assert {each["text"] for each in client.all("response_done")} == {ANSWER}
    no_thought([message for _, message in client.told])


async def test_in_a_realtime_session(http: aiohttp.ClientSession) -> None:
    told: list[dict[str, Any]] = []
    async with http.ws_connect("/v1/realtime?model=m") as socket:
        for number in range(6):
            content = [{"type": "input_text", "text": f"Is it so, {number}?"}]
            item = {"type": "message", "role": "user", "content": content}
            await socket.send_json({"type": "conversation.item.create", "item": item})
            await socket.send_json({"type": "response.create"})
            while not told or told[-1]["type"] != "response.done":
                told.append(await socket.receive_json(timeout=60))
            assert told[-1]["response"]["status"] == "completed", told[-1]
            assert ANSWER in json.dumps(told.pop())
            no_thought(told)
            told.clear()


async def test_in_a_session_of_rtvi(http: aiohttp.ClientSession) -> None:
    async with Caller(label="chat") as caller:
        await called(http, caller)
        for number in range(2):
            data = {"content": f"Is it so, {number}?", "options": {"run_immediately": True, "audio_response": True}}
            caller.send(json.dumps({"label": "rtvi-ai", "type": "send-text", "id": f"t{number}", "data": data}))
            await until(lambda number=number: told_of(caller, "bot-tts-stopped") > number, 120)
        no_thought([text for _, text in caller.messages])
        words = [json.loads(text)["data"]["text"] for _, text in caller.messages if '"bot-llm-text"' in text]
        assert "".join(words).replace(" ", "") == ANSWER * 2


def told_of(caller: Caller, kind: str) -> int:
    return sum(f'"{kind}"' in text for _, text in list(caller.messages))


async def test_on_the_telephone(http: aiohttp.ClientSession) -> None:
    async with calling(http, "/ws/media-stream/twilio", "CA1") as bridge:
        for _ in range(3):
            heard, asked = len(bridge.played), len(MIND.ways)
            await bridge.press("7#")
            await bridge.until(lambda heard=heard: bridge.heard(heard).size > 0)
            await bridge.until(lambda: not bridge.sounding)
            assert len(MIND.ways) > asked
        no_thought(bridge.told)


async def test_no_other_server_is_told(http: aiohttp.ClientSession, hook: Receiving) -> None:
    await until(lambda: "call.ended" in hook.types)
    turns = [each["data"]["reply"]["text"] for each in hook.taken if each["type"] == "turn.completed"]
    assert ANSWER in turns
    no_thought(hook.taken)


def files_of(folder: Path) -> list[bytes]:
    return [each.read_bytes() for each in folder.rglob("*") if each.is_file()]


async def test_nothing_is_heard_sent_back_or_stored(
    remembering: Server, http: aiohttp.ClientSession, folder: Path
) -> None:
    """The last test: the words are in the files of the databases, the thoughts in none."""
    no_thought(VOICE.said)
    no_thought([[message.content for message in request.messages] for request in MIND.asked])
    async with http.get("/api/conversations", params={"user_id": "ada"}) as response:
        no_thought(await response.text())
    assert remembering.memory.memory is not None
    await remembering.memory.memory.outbox.settle(60)
    async with remembering.memory.memory.postgres.connection() as connection:
        rows = await connection.fetch("SELECT role, content FROM messages")
        await connection.execute("CHECKPOINT")
    assert [row["content"] for row in rows if row["role"] == "assistant"].count(ANSWER) >= 20
    no_thought([row["content"] for row in rows])
    files = files_of(folder)
    assert any(b"Is it so?" in data for data in files)
    assert not [secret for secret in SECRETS if any(secret.encode() in data for data in files)]
