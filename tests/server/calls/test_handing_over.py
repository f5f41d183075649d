"""A server goes and another one follows: no word is cut, and calls go on where they were."""

import asyncio
import json
import stat
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from persistence.cache.redis_tier import RedisTier
from persistence.config import PersistenceConfig
from persistence.embedded.valkey import EmbeddedValkey
from persistence.ids import conversation_uuid
from pipeline.call.options import CallOptions
from pipeline.call.state import State
from server.app import Server
from server.calls.handed_over import KEPT_S, HandedCall, HandedOver
from server.client.caller import Caller
from tests.media.calls import until
from tests.server.scripted import PAUSE_S, REPLY, WORD_S, Mind, ask, call_of, events, place, scripted_server
from tests.serving import free_port

LONG = ", ".join("one two three four five" for _ in range(30)) + "."
PATIENCE_S = 90.0
"""Longer than any reply of this script takes on whatever machine."""

WORD_MS = round((WORD_S + PAUSE_S) * 1000)
"""From the beginning of one word of the scripted voice to that of the next."""


# What is handed over -------------------------------------------------------------------------------------------------


async def test_a_call_that_is_handed_over_is_there_for_the_next_process_once(tmp_path: Path) -> None:
    file = tmp_path / "run" / "handed-over.json"
    before = HandedOver(file)
    before.give(handed("call_1"))
    before.give(handed("call_2"))
    assert before.given("call_1")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "the token" not in file.read_text()

    after = HandedOver(file)
    assert not after.given("call_1")
    found = await after.find("call_1")
    assert found is not None
    assert found.takes("the token")
    assert not found.takes("another")
    assert not file.exists()
    assert (found.user_id, found.conversation_id, found.options["instructions"]) == ("ada", "conversation", "Be kind.")
    assert after.take("call_1") == found
    assert after.take("call_1") is None
    assert await after.find("call_1") is None
    assert await after.find("call_2") is not None
    # A try that failed can be made again.
    after.put_back(found)
    assert await after.find("call_1") == found


async def test_nobody_comes_for_a_call_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "handed-over.json"
    HandedOver(file).give(handed("call_1"))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + KEPT_S + 1)
    assert await HandedOver(file).find("call_1") is None


@pytest.mark.parametrize("rubbish", [b"", b"{}", b'[{"call_id": 7}]', b"\xff\xfe"])
async def test_a_file_that_cannot_be_read_is_no_call(tmp_path: Path, rubbish: bytes) -> None:
    file = tmp_path / "handed-over.json"
    file.write_bytes(rubbish)
    assert await HandedOver(file).find("call_1") is None
    assert not file.exists()


async def test_a_disk_that_takes_nothing_keeps_no_server_from_ending(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("no folder")
    over = HandedOver(tmp_path / "run" / "handed-over.json")
    over.give(handed("call_1"))
    assert over.given("call_1")


async def test_calls_of_a_user_who_is_forgotten_are_nowhere_and_nobody_goes_on_with_them(tmp_path: Path) -> None:
    file = tmp_path / "handed-over.json"
    valkey = EmbeddedValkey(PersistenceConfig(tmp_path / "valkey"), start_timeout_s=60.0)
    await valkey.start()
    tier = RedisTier(valkey.url, timeout_s=5.0)
    assert await tier.start(60.0)
    try:
        before = HandedOver(file, lambda: tier)
        for number, user in enumerate(("ada", "ada", "eve")):
            before.give(handed(f"call_{number}", user, f"conversation {number}"))
        assert await tier.flush(60.0)
        # Whoever asks for other calls of a server that ends takes none of these away.
        assert await before.find("call_9") is None
        after, elsewhere = HandedOver(file, lambda: tier), HandedOver(tmp_path / "other.json", lambda: tier)
        assert [await each.count("ada") for each in (before, elsewhere, after)] == [2, 2, 2]

        await after.delete("ada", conversation_uuid("conversation 0"))
        assert await tier.flush(60.0)
        assert await elsewhere.find("call_0") is None
        assert await after.count("ada") == 1
        # The one that gave them away and is not gone yet hears of it too.
        await before.delete("ada")
        assert not before.given("call_1")
        assert "ada" not in file.read_text()
        await after.delete("ada")
        assert await tier.flush(60.0)
        assert [await each.count("ada") for each in (before, after, elsewhere)] == [0, 0, 0]
        assert await after.find("call_1") is None
        assert await after.find("call_2") is not None
        assert [key for key, value in (await tier.beginning("handed_over:")).items() if b"ada" in value] == []
    finally:
        await tier.close()
        await valkey.stop()


async def test_calls_that_nobody_came_for_are_there_for_the_process_after_the_next(tmp_path: Path) -> None:
    file = tmp_path / "handed-over.json"
    first = HandedOver(file)
    first.give(handed("call_1"))
    first.give(handed("call_2"))
    second = HandedOver(file)
    assert await second.find("call_1") is not None
    taken = second.take("call_1")
    assert taken is not None
    second.give(taken)
    third = HandedOver(file)
    assert await third.find("call_1") is not None
    assert await third.find("call_2") is not None


def handed(call_id: str, user_id: str = "ada", conversation_id: str = "conversation") -> HandedCall:
    options = CallOptions(user_id=user_id, conversation_id=conversation_id, instructions="Be kind.")
    return HandedCall.of(call_id, "the token", options)


# Whole servers -------------------------------------------------------------------------------------------------------


async def calling(server: Server, caller: Caller, **body: Any) -> dict[str, Any]:
    async with aiohttp.ClientSession(server.url) as http:
        return await place(http, caller, **body)


async def resume(url: str, opened: dict[str, Any], caller: Caller, **other: str) -> tuple[int, dict[str, Any], str]:
    """Offer a new connection for a call; the status, the answer and Retry-After."""
    offer = {"sdp": await caller.offer(), "type": "offer", "resume_token": opened["resume_token"], **other}
    async with aiohttp.ClientSession(url) as http, http.patch(f"/api/calls/{opened['call_id']}", json=offer) as answer:
        return answer.status, await answer.json(), answer.headers.get("Retry-After", "")


def reason(caller: Caller) -> list[str]:
    return [event["reason"] for event in events(caller, "morgan.call.ended")]


@pytest.mark.timeout(300)
async def test_four_calls_hear_their_replies_to_the_end_and_go_on_in_the_next_process(tmp_path: Path) -> None:
    port = free_port()
    async with AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(Caller()) for _ in range(4)]
        async with scripted_server(tmp_path, port=port) as server:
            opened = [await calling(server, caller, user_id=f"user{n}") for n, caller in enumerate(callers)]
            calls = [call_of(server, each) for each in opened]
            for caller in callers[:3]:
                ask(caller)
            await until(lambda: all(call.state is not State.LISTENING for call in calls[:3]), timeout=60)
            await server.stop(drain_s=PATIENCE_S)
            assert server.registry.active == []
        for caller in callers:
            await until(lambda caller=caller: reason(caller) == ["shutdown"], timeout=30)
            (told,) = events(caller, "morgan.shutdown")
            assert (told["within_s"], told["resumable"]) == (PATIENCE_S, True)
        for caller in callers[:3]:
            (done,) = [event["response"] for event in events(caller, "response.done")]
            assert done["status"] == "completed"
            assert done["output"][0]["content"][0]["transcript"].split() == REPLY.split()
            kinds = [json.loads(text)["type"] for _, text in caller.messages]
            assert kinds.index("output_audio_buffer.stopped") < kinds.index("morgan.call.ended")
        async with scripted_server(tmp_path, port=port) as after:
            for each in opened:
                caller = await stack.enter_async_context(Caller())
                status, answer, _ = await resume(after.url, each, caller)
                assert (status, answer["call_id"]) == (200, each["call_id"])
                await caller.accept(answer["sdp"], timeout=60)
                await caller.channel_open(60)
                assert call_of(after, each).options.conversation_id == each["conversation_id"]
            ask(caller)
            await caller.wait_for_sound(time.monotonic(), timeout=60)
            # Nobody else can take it up as well.
            async with Caller() as second:
                assert (await resume(after.url, opened[0], second, resume_token="wrong"))[0] == 403


@pytest.mark.timeout(180)
async def test_a_reply_that_is_longer_than_the_patience_ends_early_and_with_a_whole_word(tmp_path: Path) -> None:
    async with scripted_server(tmp_path, LONG) as server, Caller() as caller:
        opened = await calling(server, caller)
        ask(caller)
        await until(lambda: call_of(server, opened).state is State.SPEAKING, timeout=60)
        await server.stop(drain_s=6.0)
        await until(lambda: reason(caller) == ["shutdown"], timeout=30)
        (cut,) = events(caller, "conversation.item.truncated")
        words, within_ms = divmod(cut["audio_end_ms"], WORD_MS)
        # Behind a word, which was heard to its end, and so were all that are kept. (test_ending_early.py is exact; here
        # a machine may have stood still for a moment.)
        assert within_ms >= WORD_S * 1000 - 1 or within_ms <= WORD_S * 500, cut
        assert len(cut["transcript"].split()) == words + (within_ms >= WORD_S * 1000 - 1)
        assert words >= 2


@pytest.mark.timeout(120)
async def test_a_server_that_goes_says_so_at_every_door(tmp_path: Path) -> None:
    async with scripted_server(tmp_path, LONG) as server, Caller() as caller, Caller() as idle, Caller() as more:
        opened = await calling(server, caller)
        resting = await calling(server, idle)
        ask(caller)
        await until(lambda: call_of(server, opened).state is State.SPEAKING, timeout=60)
        stopping = asyncio.create_task(server.stop(drain_s=60.0))
        try:
            async with aiohttp.ClientSession(server.url) as http:
                await until(lambda: server.registry.draining)
                for path in ("/health/ready", "/health"):
                    async with http.get(path) as answer:
                        assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
                async with http.post("/api/calls", json={"sdp": await more.offer(), "type": "offer"}) as answer:
                    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
                    assert (await answer.json())["error"]["code"] == "draining"
                async with http.ws_connect("/ws/audio") as socket:
                    await socket.send_json({"type": "start", "user_id": "ada"})
                    assert (await socket.receive_json(timeout=30))["error"]["code"] == "draining"
                # A call that lives here still moves to another connection.
                async with Caller() as moved:
                    status, _, _ = await resume(server.url, resting, moved)
                    assert status == 200
                # One that was handed over is the next process's, which is not there yet.
                server.registry._end_for_good(call_of(server, resting))
                await until(lambda: server.registry.find(resting["call_id"]) is None, timeout=30)
                async with Caller() as again:
                    status, refused, retry = await resume(server.url, resting, again)
                    assert (status, refused["error"]["code"], retry) == (503, "draining", "2")
        finally:
            # A second signal.
            await server.hurry()
            await stopping
        assert server.registry.active == []


@pytest.mark.timeout(120)
async def test_a_call_that_was_handed_over_is_taken_up_by_its_own_caller_alone(tmp_path: Path) -> None:
    port = free_port()
    async with scripted_server(tmp_path, port=port) as server, Caller() as caller:
        opened = await calling(server, caller, user_id="ada")
        await server.stop(drain_s=5.0)
    async with scripted_server(tmp_path, port=port) as server:
        async with Caller() as thief:
            status, answer, _ = await resume(server.url, opened, thief, resume_token="guessed")
            assert (status, answer["error"]["code"]) == (403, "wrong_resume_token")
            status, answer, _ = await resume(server.url, {**opened, "call_id": "call_of_nobody"}, thief)
            assert (status, answer["error"]["code"]) == (404, "call_not_found")
            status, answer, _ = await resume(server.url, opened, thief, sdp="v=0")
            assert status == 400
        async with aiohttp.ClientSession(server.url) as http:
            candidates = {"candidates": [{"candidate": ""}]}
            async with http.patch(f"/api/calls/{opened['call_id']}", json=candidates) as none:
                assert none.status == 404
        tries = [Caller() for _ in range(4)]
        async with AsyncExitStack() as stack:
            for each in tries:
                await stack.enter_async_context(each)
            got = await asyncio.gather(*(resume(server.url, opened, each) for each in tries))
            # One takes it up; the others bring the same call onto another connection, or find it just being taken.
            assert [status for status, _, _ in got].count(200) >= 1
            assert {status for status, _, _ in got} <= {200, 404}
            assert len(server.registry.active) == 1


@pytest.mark.timeout(120)
async def test_callers_who_cannot_come_back_by_themselves_are_told_aloud(tmp_path: Path) -> None:
    goodbye = "Goodbye for now."
    async with (
        scripted_server(tmp_path, shutdown_prompt=goodbye) as server,
        aiohttp.ClientSession(server.url) as http,
        http.ws_connect("/ws/audio") as socket,
    ):
        await socket.send_json({"type": "start", "user_id": "ada"})
        assert (await socket.receive_json(timeout=30))["type"] == "started"
        stopping = asyncio.create_task(server.stop(drain_s=8.0))
        told, sound = [], 0
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                told.append(json.loads(message.data))
            elif message.type is aiohttp.WSMsgType.BINARY:
                sound += len(message.data)
        await stopping
    kinds = [each["type"] for each in told]
    assert next(each["within_s"] for each in told if each["type"] == "shutdown") == 8.0
    assert [each["text"] for each in told if each["type"] == "response_done"] == [goodbye]
    assert sound >= 3 * (WORD_S + PAUSE_S) * 24_000 * 2 * 0.9
    assert kinds[-1] == "ended"
    assert told[-1]["reason"] == "shutdown"


@pytest.mark.timeout(120)
async def test_an_answer_in_writing_is_whole_before_the_server_goes(tmp_path: Path) -> None:
    async with scripted_server(tmp_path) as server, aiohttp.ClientSession(server.url) as http:
        mind_of(server).pause_s = 0.3
        body = {"text": "Count, please.", "user_id": "ada", "stream": True}
        async with http.post("/api/text", json=body) as answer:
            stopping = asyncio.create_task(server.stop(drain_s=60.0))
            told = (await answer.read()).decode()
        await stopping
    assert told.rstrip().endswith("[DONE]") or '"done"' in told
    assert "twelve" in told


@pytest.mark.timeout(180)
async def test_the_conversation_goes_on_with_all_that_was_said_and_an_open_question_is_answered(
    tmp_path: Path, models_dir: Path
) -> None:
    """With memory: what was said before the restart is what the language model is told after it."""
    port, settings = free_port(), {"memory": "on"}
    async with Caller() as caller, Caller() as again:
        async with scripted_server(tmp_path, "Hello Ada.", port=port, **settings) as server:
            opened = await calling(server, caller, user_id="ada")
            ask(caller, "My name is Ada.")
            await until(lambda: events(caller, "output_audio_buffer.stopped"), timeout=60)
            mind_of(server).pause_s = 3600.0
            ask(caller, "What is my name?")
            await until(lambda: call_of(server, opened).state is State.THINKING, timeout=60)
            await server.stop(drain_s=1.0)
            assert server.memory.memory is not None
            outbox = server.memory.memory.outbox
            assert outbox.delivered == outbox.recorded
        async with scripted_server(tmp_path, "You are Ada.", port=port, **settings) as after:
            status, answer, _ = await resume(after.url, opened, again)
            assert status == 200
            await again.accept(answer["sdp"], timeout=60)
            await until(lambda: events(again, "output_audio_buffer.stopped"), timeout=60)
            told = [(each.role, each.content) for each in mind_of(after).asked[0].messages[1:]]
            assert told == [("user", "My name is Ada."), ("assistant", "Hello Ada."), ("user", "What is my name?")]
            async with aiohttp.ClientSession(after.url) as http:
                async with http.delete(f"/api/calls/{opened['call_id']}") as ended:
                    assert ended.status == 204
                memory = after.memory.memory
                assert memory is not None
                await memory.settle()
                assert memory.embedded_postgres is not None
                database = await asyncpg.connect(memory.embedded_postgres.dsn)
                query = "SELECT state, end_reason FROM streaming_sessions WHERE id = $1"
                row = await database.fetchrow(query, opened["call_id"])
                await database.close()
                # It is the same session, which had ended with the first server.
                assert tuple(row) == ("ended", "hangup")


def mind_of(server: Server) -> Mind:
    llm: Any = server.registry.engines.llm
    found: Mind = llm._engine
    return found
