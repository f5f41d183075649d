"""Documents over HTTP and by the command, on a real server with the real embedding model."""

import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.serving import RunningServer

PATH = "/api/memory/documents"
SECTIONS = [
    {"content": "The warranty of the coffee machine lasts for thirty months.", "place": "page 12"},
    {"content": "Clean the filter of the machine with warm water once a week.", "place": "page 13"},
]


@pytest_asyncio.fixture
async def http(server: RunningServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url) as session:
        yield session


@pytest.fixture
def user_id() -> str:
    return f"reader-{uuid.uuid4().hex[:8]}"


async def asked(
    http: aiohttp.ClientSession, method: str, path: str = PATH, status: int = 200, **given: Any
) -> dict[str, Any]:
    async with http.request(method, path, **given) as response:
        assert response.status == status, await response.text()
        return {} if status == 204 else await response.json()


async def test_a_document_is_added_listed_shown_replaced_and_deleted(http: aiohttp.ClientSession, user_id: str) -> None:
    new = {"user_id": user_id, "source": "coffee.pdf", "title": "Coffee machine", "sections": SECTIONS}
    added = await asked(http, "POST", status=201, json=new)
    assert (added["source"], added["title"], added["passage_count"]) == ("coffee.pdf", "Coffee machine", 2)
    (listed,) = (await asked(http, "GET", params={"user_id": user_id}))["documents"]
    assert listed["id"] == added["id"]
    shown = await asked(http, "GET", f"{PATH}/{added['id']}", params={"user_id": user_id})
    assert shown["passages"] == SECTIONS
    again = await asked(http, "POST", status=201, json={**new, "sections": SECTIONS[:1]})
    assert (again["passage_count"], again["id"] != added["id"]) == (1, True)
    await asked(http, "GET", f"{PATH}/{added['id']}", 404)
    await asked(http, "DELETE", f"{PATH}/{again['id']}", 404, params={"user_id": f"{user_id}-other"})
    await asked(http, "DELETE", f"{PATH}/{again['id']}", 204, params={"user_id": user_id})
    assert (await asked(http, "GET", params={"user_id": user_id}))["documents"] == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"user_id": ""}, "user_id"),
        ({"source": ""}, "source"),
        ({"source": "a\x00"}, "source"),
        ({"sections": []}, "sections"),
        ({"sections": [{"content": " "}]}, "sections"),
        ({"sections": [{"content": "x", "colour": "red"}]}, "colour"),
        ({"title": "x" * 301}, "title"),
    ],
)
async def test_a_document_that_does_not_fit_is_explained(
    http: aiohttp.ClientSession, user_id: str, change: dict[str, Any], named: str
) -> None:
    new = {"user_id": user_id, "source": "a", "sections": SECTIONS, **change}
    assert named in (await asked(http, "POST", status=422, json=new))["error"]["message"]


async def test_the_command_adds_a_folder_to_the_running_server(
    http: aiohttp.ClientSession, server: RunningServer, user_id: str, tmp_path: Path
) -> None:
    folder = tmp_path / "manuals"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "a.txt").write_text("not this")
    (folder / "coffee.md").write_text("# Coffee machine\n\nThe warranty lasts for thirty months.\n")
    (folder / "tea.txt").write_text("Tea is to be left for five minutes.")
    (folder / "picture.png").write_bytes(b"no text")
    command = [sys.executable, "-m", "server.cli.main", "memory", "add", str(folder), "--user-id", user_id]
    command += ["--data-dir", str(server.data_dir)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, env=os.environ)  # noqa: ASYNC221
    assert done.returncode == 0, done.stderr
    documents = (await asked(http, "GET", params={"user_id": user_id}))["documents"]
    assert [(each["source"], each["title"]) for each in documents] == [
        ("manuals/coffee.md", "Coffee machine"),
        ("manuals/tea.txt", "tea"),
    ]
