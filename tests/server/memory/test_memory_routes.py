"""Conversations, preferences and texts over HTTP, on a real server with real databases and a real language model."""

import asyncio
import base64
import hashlib
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.serving import RunningServer


@pytest_asyncio.fixture
async def http(server: RunningServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url) as session:
        yield session


@pytest.fixture
def user() -> str:
    """A user whom nobody has met."""
    return f"user-{uuid.uuid4().hex[:8]}"


async def write(http: aiohttp.ClientSession, user_id: str, text: str, **more: Any) -> dict[str, Any]:
    """Send a text; the answer."""
    async with http.post("/api/text", json={"text": text, "user_id": user_id, **more}) as response:
        body: dict[str, Any] = await response.json()
        assert response.status == 200, body
        return body


async def get(http: aiohttp.ClientSession, path: str, status: int = 200, **query: Any) -> dict[str, Any]:
    async with http.get(path, params=query) as response:
        body: dict[str, Any] = await response.json()
        assert response.status == status, body
        return body


async def test_a_text_is_answered_and_both_sides_are_kept(http: aiohttp.ClientSession, user: str) -> None:
    answer = await write(http, user, "Hello, who are you?")
    assert answer["text"]
    assert answer["user_id"] == user
    assert 0 < answer["latency_ms"] < 30_000
    messages = (await get(http, f"/api/conversations/{answer['conversation_id']}/messages"))["messages"]
    assert [(each["sequence_number"], each["role"], each["content"]) for each in messages] == [
        (1, "user", "Hello, who are you?"),
        (2, "assistant", answer["text"]),
    ]
    assert messages[1]["id"] == answer["message_id"]
    assert messages[1]["latency"]["llm_first_token"] > 0


async def test_a_streamed_text_comes_in_pieces_that_make_the_reply(http: aiohttp.ClientSession, user: str) -> None:
    request = {"text": "Say hello to me.", "user_id": user, "stream": True}
    async with http.post("/api/text", json=request) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        lines = [line[6:] for line in (await response.text()).split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    events = [json.loads(line) for line in lines]
    done = events.pop()
    assert done["type"] == "done"
    assert {event["type"] for event in events} == {"token"}
    assert len(events) > 1
    assert "".join(event["text"] for event in events).strip() == done["text"]
    page = await get(http, f"/api/conversations/{done['conversation_id']}/messages", order="desc", limit=1)
    assert page["messages"][0]["content"] == done["text"]


async def test_last_goes_on_with_the_users_last_conversation(http: aiohttp.ClientSession, user: str) -> None:
    first = await write(http, user, "Hello there.")
    second = await write(http, user, "And again.", conversation_id="last")
    assert second["conversation_id"] == first["conversation_id"]
    found = await get(http, f"/api/conversations/{first['conversation_id']}")
    assert (found["message_count"], found["user_id"], found["channel"]) == (4, user, "text")


async def test_a_conversation_begins_under_an_id_of_the_clients_own(http: aiohttp.ClientSession, user: str) -> None:
    wanted = str(uuid.uuid4())
    assert (await write(http, user, "Hello.", conversation_id=wanted))["conversation_id"] == wanted


async def test_somebody_elses_conversation_is_not_found(http: aiohttp.ClientSession, user: str) -> None:
    theirs = (await write(http, user, "My secret is safe."))["conversation_id"]
    request = {"text": "What did I say?", "user_id": f"{user}-other", "conversation_id": theirs}
    async with http.post("/api/text", json=request) as response:
        assert response.status == 404
    await get(http, f"/api/conversations/{theirs}", 404, user_id=f"{user}-other")
    async with http.delete(f"/api/conversations/{theirs}", params={"user_id": f"{user}-other"}) as response:
        assert response.status == 404
    assert (await get(http, f"/api/conversations/{theirs}"))["message_count"] == 2


async def test_lists_are_paged_and_whole(http: aiohttp.ClientSession, user: str) -> None:
    begun = [(await write(http, user, f"Text {number}."))["conversation_id"] for number in range(3)]
    listed: list[str] = []
    query: dict[str, Any] = {"user_id": user, "limit": 2}
    while True:
        page = await get(http, "/api/conversations", **query)
        assert len(page["conversations"]) <= 2
        listed += [each["id"] for each in page["conversations"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert listed == begun[::-1]


@pytest.mark.parametrize(
    ("form", "content_type", "begins"),
    [("json", "application/json", "{"), ("txt", "text/plain", "Hello"), ("vtt", "text/vtt", "WEBVTT\n")],
)
async def test_a_conversation_is_taken_away(
    http: aiohttp.ClientSession, user: str, form: str, content_type: str, begins: str
) -> None:
    answer = await write(http, user, "Hello, take this.")
    path = f"/api/conversations/{answer['conversation_id']}/export"
    async with http.get(path, params={"format": form}) as response:
        assert response.status == 200
        assert response.content_type == content_type
        assert f'.{form}"' in response.headers["Content-Disposition"]
        text = await response.text()
    assert text.startswith(begins)
    assert "Hello, take this." in text


async def test_a_deleted_conversation_is_gone(http: aiohttp.ClientSession, user: str) -> None:
    gone = (await write(http, user, "Forget this."))["conversation_id"]
    async with http.delete(f"/api/conversations/{gone}") as response:
        assert response.status == 204
    await get(http, f"/api/conversations/{gone}", 404)
    assert (await get(http, "/api/conversations", user_id=user))["conversations"] == []


async def test_a_deleted_user_leaves_nothing(http: aiohttp.ClientSession, user: str) -> None:
    await write(http, user, "Forget me.")
    async with http.put(f"/api/users/{user}/preferences", json={"language": "en"}) as response:
        assert response.status == 200
    async with http.delete(f"/api/users/{user}") as response:
        assert response.status == 204
    assert (await get(http, "/api/conversations", user_id=user))["conversations"] == []
    assert await get(http, f"/api/users/{user}/preferences") == {}


async def test_preferences_are_kept_as_they_were_put(http: aiohttp.ClientSession, user: str) -> None:
    wanted = {"language": "de", "instructions": "Be brief.", "theme": {"dark": True}}
    async with http.put(f"/api/users/{user}/preferences", json=wanted) as response:
        assert response.status == 200
    assert await get(http, f"/api/users/{user}/preferences") == wanted


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (b"{", 400, "JSON"),
        (b"[]", 422, ""),
        (b'{"language": "klingon!"}', 422, "language"),
        (b'{"voice": "nobody"}', 400, "nobody"),
        (b'{"size": NaN}', 422, "JSON"),
        (b'{"long": "' + b"x" * 20_000 + b'"}', 413, "16384"),
        (b'{"long": "' + b"x" * 40_000 + b'"}', 413, "32768"),
    ],
)
async def test_preferences_that_do_not_fit_are_explained(
    http: aiohttp.ClientSession, user: str, body: bytes, status: int, named: str
) -> None:
    headers = {"Content-Type": "application/json"}
    async with http.put(f"/api/users/{user}/preferences", data=body, headers=headers) as response:
        error = (await response.json())["error"]
        assert response.status == status, error
        assert named in error["message"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"user_id": "a"}, "text"),
        ({"text": " \n", "user_id": "a"}, "text"),
        ({"text": "x" * 17_000, "user_id": "a"}, "text"),
        ({"text": "hello"}, "user_id"),
        ({"text": "hello", "user_id": "a\x00b"}, "user_id"),
        ({"text": "hello", "user_id": "a", "conversation_id": "not-a-uuid"}, "conversation_id"),
    ],
)
async def test_a_text_that_does_not_fit_is_explained(
    http: aiohttp.ClientSession, body: dict[str, Any], named: str
) -> None:
    async with http.post("/api/text", json=body) as response:
        assert response.status == 422
        assert named in (await response.json())["error"]["message"]


async def test_unstorable_characters_in_a_text_are_replaced(http: aiohttp.ClientSession, user: str) -> None:
    answer = await write(http, user, "a\x00b")
    messages = (await get(http, f"/api/conversations/{answer['conversation_id']}/messages"))["messages"]
    assert messages[0]["content"] == "a\N{REPLACEMENT CHARACTER}b"


async def test_a_lone_surrogate_is_replaced_or_refused_but_no_error_of_ours(
    http: aiohttp.ClientSession, user: str
) -> None:
    body = b'{"text": "a\\ud800b", "user_id": "%s"}' % user.encode()
    async with http.post("/api/text", data=body, headers={"Content-Type": "application/json"}) as response:
        answer = await response.json()
        assert response.status in (200, 400, 422), answer
    body = b'{"text": "hello", "user_id": "a\\ud800b"}'
    async with http.post("/api/text", data=body, headers={"Content-Type": "application/json"}) as response:
        assert response.status in (400, 422)


async def test_a_megabyte_of_text_is_too_much(http: aiohttp.ClientSession, user: str) -> None:
    async with http.post("/api/text", json={"text": "x" * 1_000_000, "user_id": user}) as response:
        assert response.status == 413
        assert (await response.json())["error"]["code"] == "body_too_large"
    assert (await get(http, "/api/conversations", user_id=user))["conversations"] == []


@pytest.mark.parametrize(
    "user_id", ["'; DROP TABLE messages; --", "* ? [a-z] \\", "../../etc/passwd", "a:b{c}%s$1", "名前 🐕"]
)
async def test_ids_full_of_metacharacters_are_just_ids(http: aiohttp.ClientSession, user: str, user_id: str) -> None:
    mine = f"{user_id} {user}"
    answer = await write(http, mine, "Hello.")
    (listed,) = (await get(http, "/api/conversations", user_id=mine))["conversations"]
    assert (listed["id"], listed["user_id"]) == (answer["conversation_id"], mine)


async def test_a_client_that_leaves_in_mid_stream_leaves_what_it_was_told(
    http: aiohttp.ClientSession, user: str
) -> None:
    request = {"text": "Tell me a long story about a brave little dog.", "user_id": user, "stream": True}
    async with http.post("/api/text", json=request) as response:
        told = ""
        async for line in response.content:
            if line.startswith(b"data: {"):
                told += json.loads(line[6:])["text"]
            if len(told) > 20:
                break
        response.close()
    (conversation,) = (await get(http, "/api/conversations", user_id=user))["conversations"]
    path = f"/api/conversations/{conversation['id']}/messages"
    for _ in range(200):
        said = (await get(http, path))["messages"]
        if len(said) == 2:
            break
        await asyncio.sleep(0.1)
    assert [each["role"] for each in said] == ["user", "assistant"]
    assert said[1]["interrupted"]
    # Some tokens were on their way to the client when it left.
    assert said[1]["content"].startswith(told.strip()[:15])


async def test_two_writers_on_one_conversation_leave_no_gap_and_no_number_twice(
    http: aiohttp.ClientSession, user: str
) -> None:
    identity = str(uuid.uuid4())
    texts = [f"Line {number}." for number in range(5)]
    answers = await asyncio.gather(*(write(http, user, text, conversation_id=identity) for text in texts))
    said = (await get(http, f"/api/conversations/{identity}/messages"))["messages"]
    assert [each["sequence_number"] for each in said] == list(range(1, 11))
    assert sorted(each["content"] for each in said if each["role"] == "user") == texts
    assert {each["id"] for each in said if each["role"] == "assistant"} == {each["message_id"] for each in answers}


def made_up_cursor(scope: str, *position: Any) -> str:
    """A cursor with a good check and a position that no list has."""
    body = json.dumps(position, separators=(",", ":")).encode()
    check = hashlib.sha256(scope.encode() + b"\0" + body).digest()[:8]
    return base64.urlsafe_b64encode(check + body).decode().rstrip("=")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 422),
        ({"user_id": ""}, 422),
        ({"user_id": "a\x00"}, 422),
        ({"user_id": "a", "limit": "0"}, 422),
        ({"user_id": "a", "limit": "many"}, 422),
        ({"user_id": "a", "colour": "red"}, 422),
        ({"user_id": "a", "cursor": "nonsense"}, 400),
        ({"user_id": "a", "cursor": "é\x00"}, 400),
        (
            {
                "user_id": "a",
                "cursor": made_up_cursor(f"conversations/{hashlib.sha256(b'a').hexdigest()}", "never", "nobody"),
            },
            400,
        ),
    ],
)
async def test_a_list_that_cannot_be_had_is_explained(
    http: aiohttp.ClientSession, query: dict[str, str], status: int
) -> None:
    assert (await get(http, "/api/conversations", status, **query))["error"]["message"]


async def test_a_cursor_of_one_list_does_not_open_another(http: aiohttp.ClientSession, user: str) -> None:
    for number in range(2):
        await write(http, user, f"Text {number}.")
    cursor = (await get(http, "/api/conversations", user_id=user, limit=1))["next_cursor"]
    assert cursor
    await get(http, "/api/conversations", 400, user_id=f"{user}-other", cursor=cursor)


async def test_a_message_number_beyond_all_bounds_is_a_bad_cursor(http: aiohttp.ClientSession, user: str) -> None:
    identity = (await write(http, user, "Hello."))["conversation_id"]
    cursor = made_up_cursor(f"messages/{identity}/up", 1 << 80)
    await get(http, f"/api/conversations/{identity}/messages", 400, cursor=cursor)


@pytest.mark.parametrize("path", ["", "/messages", "/export"])
async def test_unknown_conversations_are_not_found_and_bad_ids_named(http: aiohttp.ClientSession, path: str) -> None:
    await get(http, f"/api/conversations/{uuid.uuid4()}{path}", 404)
    error = (await get(http, f"/api/conversations/not-a-uuid{path}", 422))["error"]
    assert "conversation_id" in error["message"]


async def test_health_tells_of_the_stores_and_what_they_hold(http: aiohttp.ClientSession, user: str) -> None:
    await write(http, user, "Hello.")
    report = await get(http, "/health")
    assert report["status"] == "ok"
    for store in ("postgres", "redis", "qdrant"):
        assert report["components"][store]["kind"] == "embedded"
        assert report["components"][store]["latency_ms"] < 1_000
    assert {"active", "total", "messages"} <= report["conversations"].keys()
    assert {"hits", "misses", "hit_rate"} <= report["cache"].keys()


async def test_who_is_erased_is_told_what_was_found_and_that_nothing_is_left(
    http: aiohttp.ClientSession, user: str, server: RunningServer
) -> None:
    await write(http, user, "My favourite fruit is the gooseberry.")
    async with http.delete(f"/api/users/{user}", params={"report": "true"}) as response:
        report = await response.json()
        assert response.status == 200, report
    assert (report["user_id"], report["complete"]) == (user, True)
    stores = {each["store"]: each for each in report["stores"]}
    assert set(stores) == {"rows", "cache", "vectors", "journals", "refused", "recordings", "handed_over", "webhooks"}
    assert stores["rows"]["parts"]["messages"] == 2
    assert stores["cache"]["found"] > 0
    assert stores["journals"]["found"] > 0
    assert all(each["left"] == 0 and each["deleted"] == each["found"] for each in stores.values())
    assert (await get(http, "/api/conversations", user_id=user))["conversations"] == []
    journal = server.data_dir / "journal"
    assert [path.name for path in journal.iterdir() if path.is_file() and user.encode() in path.read_bytes()] == []
