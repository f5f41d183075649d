"""What a user said in one conversation gets into the prompts of the next, and into nobody else's.

The prompts are those that really went out, to an OpenAI-compatible endpoint that the test runs.
"""

import asyncio
import json
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.test_call_command import morgan
from tests.serving import RunningServer, serving
from tests.upstream import Server

TOLD = "My dog is called Biscuit."
ASKED = "What is my dog called?"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Server]:
    """The endpoint, in a thread of its own."""
    server, loop = Server(), asyncio.new_event_loop()
    loop.run_until_complete(server.start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield server
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture(scope="module")
def remembering(
    upstream: Server, models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A Morgan with a generous budget: what is late is tested elsewhere, and this machine may be busy."""
    environ = {"MORGAN_LLM_BASE_URL": upstream.url, "MORGAN_LLM_MODEL": "m", "MORGAN_RECALL_MS": "1000"}
    with serving(models_dir, tmp_path_factory.mktemp("recall"), **environ) as running:
        yield running


@pytest.fixture
def user() -> str:
    return f"user-{uuid.uuid4().hex[:8]}"


def write(server: RunningServer, user_id: str, text: str) -> dict[str, Any]:
    """Send a text; the answer."""
    answer = httpx2.post(f"{server.url}/api/text", json={"text": text, "user_id": user_id}, timeout=30)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def found(server: RunningServer, user_id: str, wanted: str = "dog") -> list[dict[str, Any]]:
    """What a search finds."""
    answer = httpx2.get(f"{server.url}/api/memory/search", params={"user_id": user_id, "q": wanted}, timeout=30)
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def until_found(server: RunningServer, user_id: str, text: str) -> None:
    """Embeddings are made when nobody waits for anything else: wait until one is."""
    deadline = time.monotonic() + 20
    while text not in [each["content"] for each in found(server, user_id)]:
        assert time.monotonic() < deadline, "not in the index within 20 s"
        time.sleep(0.1)


def prompted(upstream: Server) -> str:
    """The last message of the last prompt that asked for a reply."""
    return str([body for body in upstream.asked if body.get("stream")][-1]["messages"][-1]["content"])


def call(server: RunningServer, repository: Path, clip: str, user_id: str) -> dict[str, Any]:
    """Call with a clip; the caller's report."""
    path = repository / "tests" / "clips" / f"{clip}.wav"
    done = morgan("call", str(path), "--json", "--user-id", user_id, url=server.url)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_a_text_is_answered_with_what_was_written_in_another_conversation(
    remembering: RunningServer, upstream: Server, user: str
) -> None:
    write(remembering, user, TOLD)
    until_found(remembering, user, TOLD)
    answer = write(remembering, user, ASKED)
    assert prompted(upstream) == f'(In earlier conversations I said: "{TOLD}")\n{ASKED}'
    messages = httpx2.get(f"{remembering.url}/api/conversations/{answer['conversation_id']}/messages").json()
    assert messages["messages"][0]["content"] == ASKED


def test_a_call_is_answered_with_what_was_said_in_another_conversation(
    remembering: RunningServer, upstream: Server, repository: Path, user: str
) -> None:
    write(remembering, user, TOLD)
    until_found(remembering, user, TOLD)
    asked = call(remembering, repository, "recall", user)["transcript"]
    assert prompted(upstream) == f'(In earlier conversations I said: "{TOLD}")\n{asked}'


@pytest.mark.parametrize("other", ["{user}-other", "{user}\u200b", "*", "{user}' OR '1'='1", "anonymous"])
def test_nobody_else_is_reminded_of_it_or_finds_it(
    remembering: RunningServer, upstream: Server, user: str, other: str
) -> None:
    secret = f"My dog is called Biscuit {user}."
    told = write(remembering, user, secret)
    until_found(remembering, user, secret)
    stranger = other.format(user=user)
    write(remembering, stranger, ASKED)
    assert user not in json.dumps(upstream.asked[-1])
    assert secret not in [each["content"] for each in found(remembering, stranger)]
    theirs = httpx2.get(f"{remembering.url}/api/conversations", params={"user_id": stranger}).json()
    assert told["conversation_id"] not in [each["id"] for each in theirs["conversations"]]
    gone_on = {"text": ASKED, "user_id": stranger, "conversation_id": told["conversation_id"]}
    assert httpx2.post(f"{remembering.url}/api/text", json=gone_on).status_code == 404


def test_callers_without_a_name_are_not_taken_for_one_another(remembering: RunningServer, upstream: Server) -> None:
    write(remembering, "anonymous", TOLD)
    until_found(remembering, "anonymous", TOLD)
    write(remembering, "anonymous", ASKED)
    assert prompted(upstream) == ASKED


def test_what_has_nothing_to_do_with_it_stays_out(remembering: RunningServer, upstream: Server, user: str) -> None:
    write(remembering, user, TOLD)
    until_found(remembering, user, TOLD)
    write(remembering, user, "How far away is the moon?")
    assert prompted(upstream) == "How far away is the moon?"


def test_what_the_prompt_holds_anyway_is_not_repeated(remembering: RunningServer, upstream: Server, user: str) -> None:
    write(remembering, user, TOLD)
    until_found(remembering, user, TOLD)
    request = {"text": ASKED, "user_id": user, "conversation_id": "last"}
    assert httpx2.post(f"{remembering.url}/api/text", json=request, timeout=30).status_code == 200
    contents = [message["content"] for message in upstream.asked[-1]["messages"]]
    assert contents[1:] == [TOLD, "Hello", ASKED]


def test_a_deleted_conversation_reminds_nobody(remembering: RunningServer, upstream: Server, user: str) -> None:
    told = write(remembering, user, TOLD)
    until_found(remembering, user, TOLD)
    gone = f"{remembering.url}/api/conversations/{told['conversation_id']}"
    assert httpx2.delete(gone).status_code == 204
    write(remembering, user, ASKED)
    assert prompted(upstream) == ASKED
    assert TOLD not in [each["content"] for each in found(remembering, user)]


def test_the_index_is_made_anew_in_the_running_server(remembering: RunningServer, user: str) -> None:
    write(remembering, user, TOLD)
    until_found(remembering, user, TOLD)
    done = morgan("memory", "rebuild", "--data-dir", str(remembering.data_dir))
    assert done.returncode == 0, done.stderr
    assert int(done.stderr.split()[0]) >= 2
    assert TOLD in [each["content"] for each in found(remembering, user)]
