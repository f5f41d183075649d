"""Recordings on disk: sealed where there are keys, served by range like plain files, gone when they are too old."""

import asyncio
import base64
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from media.sealed_file import SealedReader, SealedWriter, SealingKeys, is_sealed
from media.values import FRAME_S, RECEIVE_RATE, SEND_RATE
from server.http.errors import errors_as_json
from server.memory.recording_reply import send_recording
from server.memory.recordings import Recordings

Client = TestClient[web.Request, web.Application]

CONTENT = os.urandom(150_000)


def keys(*names: str) -> SealingKeys:
    found = SealingKeys.parse(f"{name}:{base64.b64encode(name.encode().ljust(32, b'.')).decode()}" for name in names)
    assert found is not None
    return found


async def recorded(recordings: Recordings, user: str, conversation: str, seconds: float = 2.0) -> Path:
    """A short call."""
    recording = recordings.begin(user, conversation, f"call_{uuid4().hex}")
    assert recording is not None
    at = time.monotonic()
    for number in range(round(seconds / FRAME_S)):
        recording.on_heard(np.full(round(RECEIVE_RATE * FRAME_S), 900, np.int16), at + number * FRAME_S)
        recording.on_said(np.full(round(SEND_RATE * FRAME_S), 900, np.int16), at + number * FRAME_S)
    recording.close()
    await asyncio.wrap_future(recording.ended)
    return recording.path


@pytest_asyncio.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A server of two files with the same content, /plain and /sealed."""
    (tmp_path / "plain.ogg").write_bytes(CONTENT)
    writer = SealedWriter(tmp_path / "sealed.ogg", keys("a"))
    writer.write(CONTENT)
    writer.close()
    for name in ("plain", "sealed"):
        os.utime(tmp_path / f"{name}.ogg", (1_700_000_000, 1_700_000_000))

    async def serve(request: web.Request) -> web.StreamResponse:
        with_keys = None if "keyless" in request.query else keys("a")
        return await send_recording(request, tmp_path / f"{request.match_info['name']}.ogg", with_keys, "audio/ogg")

    app = web.Application(middlewares=[errors_as_json])
    app.router.add_get("/{name}", serve)
    async with TestClient(TestServer(app)) as found:
        yield found


ASKED = [
    {},
    {"Range": "bytes=0-99"},
    {"Range": "bytes=4090-4100"},
    {"Range": "bytes=70000-"},
    {"Range": "bytes=-500"},
    {"Range": "bytes=-999999999"},
    {"Range": "bytes=149999-149999"},
    {"Range": "bytes=10-999999999"},
    {"Range": "bytes=999999999-"},
    {"Range": "bytes=20-10"},
    {"Range": "nonsense"},
    {"Range": "bytes=0-9", "If-Range": "Wed, 15 Nov 2023 00:00:00 GMT"},
    {"Range": "bytes=0-9", "If-Range": "Mon, 13 Nov 2023 00:00:00 GMT"},
    {"If-Modified-Since": "Wed, 15 Nov 2023 00:00:00 GMT"},
    {"If-Modified-Since": "Mon, 13 Nov 2023 00:00:00 GMT"},
    {"If-Unmodified-Since": "Mon, 13 Nov 2023 00:00:00 GMT"},
    {"If-None-Match": "*"},
    {"If-Match": '"another"'},
]


@pytest.mark.parametrize("headers", ASKED, ids=str)
async def test_a_sealed_recording_is_served_as_the_plain_one(client: Client, headers: dict[str, str]) -> None:
    answers = []
    for name in ("plain", "sealed"):
        async with client.get(f"/{name}", headers=headers) as response:
            body = await response.read() if response.status < 300 else b""
            told = {each: response.headers.get(each) for each in ("Content-Range", "Last-Modified")}
            answers.append((response.status, told["Content-Range"], body))
            if response.status < 300:
                assert response.headers["Accept-Ranges"] == "bytes"
                assert response.content_type == "audio/ogg"
                assert told["Last-Modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert answers[1] == answers[0]


async def test_what_was_not_changed_is_not_sent_again(client: Client) -> None:
    async with client.get("/sealed") as response:
        etag = response.headers["ETag"]
    async with client.get("/sealed", headers={"If-None-Match": etag}) as response:
        assert response.status == 304


async def test_without_its_key_a_recording_is_not_served_and_nothing_of_it_leaks(client: Client) -> None:
    async with client.get("/sealed", params={"keyless": "1"}) as response:
        assert response.status == 503
        assert (await response.json())["error"]["code"] == "recording_sealed"


async def test_recordings_and_inputs_are_sealed_as_they_are_written(tmp_path: Path) -> None:
    recordings, conversation = Recordings(tmp_path, enabled=True, keys=keys("a")), uuid4()
    path = await recorded(recordings, "ada", str(conversation))
    inputs = recordings.begin_inputs("ada", str(conversation), "call_1")
    inputs.add(b'{"text": "marmalade"}\n')
    await inputs.close()
    for file in (path, inputs.path):
        assert is_sealed(file)
        assert not any(word in file.read_bytes() for word in (b"OggS", b"Opus", b"marmalade"))
    with SealedReader(inputs.path, keys("a")) as reader:
        assert reader.read(0, 100) == b'{"text": "marmalade"}\n'
    (listed,) = await recordings.list("ada", conversation)
    assert listed["name"] == path.name
    assert listed["duration_s"] == pytest.approx(2.0, abs=0.2)
    assert await recordings.count("ada") == 2
    # With the key gone it is listed all the same, and can be deleted.
    keyless = Recordings(tmp_path, enabled=True)
    assert [(each["name"], each["duration_s"]) for each in await keyless.list("ada", conversation)] == [
        (path.name, 0.0)
    ]
    await keyless.delete("ada")
    assert await keyless.count("ada") == 0
    await recordings.close()


async def test_old_recordings_go_and_the_rest_comes_under_the_current_key(tmp_path: Path) -> None:
    before, conversation = Recordings(tmp_path, enabled=True, keys=keys("2025")), str(uuid4())
    old, fresh = [await recorded(before, "ada", conversation, 0.5) for _ in range(2)]
    await before.close()
    past = time.time() - 7200
    os.utime(old, (past, past))
    recordings = Recordings(tmp_path, enabled=True, keys=keys("2026", "2025"), keep_s=3600)
    running = recordings.begin("ada", conversation, "call_2")
    assert running is not None
    await recordings.sweep()
    assert not old.exists()
    assert recordings.expired == 1
    with SealedReader(fresh, keys("2026")) as reader:
        assert reader.read(0, 4) == b"OggS"
    running.close()
    await recordings.close()


async def test_a_recording_that_goes_on_is_not_swept(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path, enabled=True, keep_s=0.001)
    recording = recordings.begin("ada", str(uuid4()), "call_1")
    assert recording is not None
    recording.on_heard(np.zeros(round(RECEIVE_RATE * FRAME_S), np.int16), time.monotonic())
    deadline = time.monotonic() + 60
    while not recording.path.exists():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.01)
    await recordings.sweep()
    assert recording.path.exists()
    recording.close()
    await asyncio.wrap_future(recording.ended)
    await asyncio.sleep(0.05)  # until it is older than the millisecond for which recordings are kept
    await recordings.sweep()
    assert not recording.path.exists()
    await recordings.close()
