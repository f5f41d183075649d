"""Turns of real calls as they stand in the database: cut replies, turns that go on, calls that go on, preferences."""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from server.cli.call import RATE, read_audio
from server.client.caller import Caller
from tests.conftest import lacking
from tests.e2e.test_call_memory import write
from tests.serving import RunningServer


@pytest_asyncio.fixture
async def http(server: RunningServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url) as session:
        yield session


@pytest.fixture
def user() -> str:
    """A user whom nobody has met."""
    return f"caller-{uuid.uuid4().hex[:8]}"


class Talk:
    """A call that stands."""

    def __init__(self, caller: Caller, conversation_id: str) -> None:
        self.caller = caller
        self.conversation_id = conversation_id

    def type(self, text: str) -> None:
        """Say something in writing, and ask for the answer."""
        message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        self.caller.send(json.dumps({"type": "conversation.item.create", "item": message}))
        self.caller.send(json.dumps({"type": "response.create"}))

    async def event(self, kind: str) -> dict[str, Any]:
        """The first event of a kind."""
        _, text = await self.caller.wait_for_message(lambda text: json.loads(text)["type"] == kind, 40)
        event: dict[str, Any] = json.loads(text)
        return event


@contextlib.asynccontextmanager
async def talk(http: aiohttp.ClientSession, user_id: str, **more: Any) -> AsyncIterator[Talk]:
    """Call; hangs up in the end."""
    async with Caller() as caller:
        offer = {"sdp": await caller.offer(), "type": "offer", "user_id": user_id, **more}
        async with http.post("/api/calls", json=offer) as response:
            opened = await response.json()
            assert response.status == 201, opened
        await caller.accept(opened["sdp"])
        await caller.channel_open()
        yield Talk(caller, opened["conversation_id"])
        async with http.delete(f"/api/calls/{opened['call_id']}") as response:
            assert response.status == 204


async def messages(http: aiohttp.ClientSession, conversation_id: str) -> list[dict[str, Any]]:
    async with http.get(f"/api/conversations/{conversation_id}/messages") as response:
        found: list[dict[str, Any]] = (await response.json())["messages"]
        return found


async def test_a_reply_that_was_cut_is_kept_as_far_as_it_was_heard(http: aiohttp.ClientSession, user: str) -> None:
    async with talk(http, user, instructions="Always answer at great length.") as call:
        call.type("Please tell me a long story about the sea.")
        await call.caller.wait_for_sound(time.monotonic(), 40)
        await asyncio.sleep(1.5)
        call.caller.send(json.dumps({"type": "response.cancel"}))
        done = await call.event("response.done")
        asked, answered = await messages(http, call.conversation_id)
    heard = done["response"]["output"][0]["content"][0]["transcript"]
    assert done["response"]["status"] == "cancelled"
    assert (asked["role"], asked["interrupted"]) == ("user", False)
    assert (answered["role"], answered["interrupted"], answered["content"]) == ("assistant", True, heard)
    assert 1 <= len(heard.split()) < 12


async def test_a_turn_that_goes_on_after_its_commit_is_one_message(
    http: aiohttp.ClientSession, user: str, repository: Path
) -> None:
    clips = repository / "tests" / "clips"
    async with talk(http, user) as call:
        await call.caller.say(read_audio(clips / "order.wav"), RATE)
        await call.event("input_audio_buffer.committed")
        await call.caller.say(read_audio(clips / "question.wav"), RATE)
        deadline = time.monotonic() + 40
        while len(said := await messages(http, call.conversation_id)) < 2 or "today" not in said[0]["content"]:
            assert time.monotonic() < deadline, [(m["role"], m["content"]) for m in said]
            await asyncio.sleep(0.2)
    assert [(each["sequence_number"], each["role"]) for each in said] == [(1, "user"), (2, "assistant")]
    words = said[0]["content"].lower()
    assert words.index("dog") < words.index("today")


async def test_a_call_goes_on_with_an_earlier_conversation_by_its_id(http: aiohttp.ClientSession, user: str) -> None:
    url = str(http._base_url).rstrip("/")
    earlier = await write(url, "Hello.", user)
    later = await write(url, "Something else.", user)
    async with talk(http, user, conversation_id=earlier["conversation_id"]) as call:
        call.type("And how are you?")
        follows = (await call.event("conversation.item.added"))["previous_item_id"]
        await call.event("response.done")
        said = await messages(http, call.conversation_id)
    assert uuid.UUID(follows) == uuid.UUID(earlier["message_id"])
    assert [each["sequence_number"] for each in said] == [1, 2, 3, 4]
    assert [each["content"] for each in said[:3]] == ["Hello.", earlier["text"], "And how are you?"]
    assert len(await messages(http, later["conversation_id"])) == 2


async def test_the_next_call_follows_the_users_preferences_unless_it_says_otherwise(
    http: aiohttp.ClientSession, user: str
) -> None:
    wanted = {"language": "de", "instructions": "You are a pirate."}
    async with http.put(f"/api/users/{user}/preferences", json=wanted) as response:
        assert response.status == 200
    async with talk(http, user) as call:
        follows = (await call.event("session.created"))["session"]
    async with talk(http, user, instructions="You are a judge.") as call:
        differs = (await call.event("session.created"))["session"]
    async with talk(http, f"{user}-other") as call:
        strangers = (await call.event("session.created"))["session"]
    assert [each["instructions"] for each in (follows, differs)] == ["You are a pirate.", "You are a judge."]
    assert [each["audio"]["input"]["transcription"].get("language") for each in (follows, differs, strangers)] == [
        "de",
        "de",
        None,
    ]
    assert "pirate" not in strangers["instructions"]


async def test_a_conversation_that_goes_on_is_expected_in_the_language_that_it_was_in(
    http: aiohttp.ClientSession, user: str, shared_audio: Path
) -> None:
    path = shared_audio / "dev" / "leopard_de.flac"
    if not path.is_file():
        lacking(f"There is no {path.name} in {path.parent}.")
    form = aiohttp.FormData({"user_id": user})
    form.add_field("file", path.read_bytes(), filename="speech", content_type="application/octet-stream")
    async with http.post("/api/audio", data=form) as response:
        told = await response.json()
    assert told["language"] == "de"
    async with http.get(f"/api/conversations/{told['conversation_id']}") as response:
        assert (await response.json())["language"] == "de"
    async with talk(http, user, conversation_id=told["conversation_id"]) as call:
        goes_on = (await call.event("session.created"))["session"]
    async with talk(http, user, conversation_id=told["conversation_id"], language="en") as call:
        asked = (await call.event("session.created"))["session"]
    heard_in = [each["audio"]["input"]["transcription"]["language"] for each in (goes_on, asked)]
    assert heard_in == ["de", "en"]
