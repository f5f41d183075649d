"""Both homes of the vector index find and forget alike.

No Qdrant server is to be had from a package registry: the requests to one are carried out here by qdrant-client's own
local mode, which is their reference in Python, without the wire.
"""

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from qdrant_client import QdrantClient

from bench.broken_qdrant import BrokenQdrant
from bench.small_disk import SmallDisk
from persistence.errors import NoRoomError
from persistence.values import DIMENSIONS, Role
from persistence.vectors.index import VectorIndex
from persistence.vectors.points import Nearest, Point, PointStore
from persistence.vectors.qdrant_embedded import EmbeddedQdrant
from persistence.vectors.qdrant_server import QdrantServer
from tests.persistence.parts import until

AXES = np.eye(DIMENSIONS)
CONVERSATION = uuid.uuid4()


pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")


@pytest.fixture(params=["embedded", "server"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PointStore]:
    opened: PointStore
    if request.param == "embedded":
        opened = EmbeddedQdrant(tmp_path)
    else:
        opened = QdrantServer("http://127.0.0.1:9", None, 1)
        opened._client.close()
        opened._client = QdrantClient(":memory:")
    yield opened
    opened.close()


def point(user_id: str, axis: int, role: Role = "user", conversation: uuid.UUID = CONVERSATION) -> Point:
    """A message whose vector lies along an axis."""
    content = f"{user_id} {axis}"
    return Point(uuid.uuid4(), conversation, user_id, role, content, "2026-01-01T00:00:00+00:00", AXES[axis].tolist())


def found(store: PointStore, user_id: str, axis: int = 0, **more: object) -> list[str]:
    """What lies nearest to an axis, best first."""
    return [each.content for each in store.search(Nearest(user_id, AXES[axis].tolist(), 10, **more))]  # type: ignore[arg-type]


def test_the_nearest_of_one_user_come_first_and_of_nobody_else(store: PointStore) -> None:
    store.upsert([point("ada", 0), point("ada", 1), point("eve", 0), point("ada\u200b", 0)])
    assert found(store, "ada") == ["ada 0", "ada 1"]
    assert found(store, "ada", 1)[0] == "ada 1"
    for stranger in ("nobody", "*", "", "ada eve", "ADA"):
        assert found(store, stranger) == []
    (nearest,) = store.search(Nearest("eve", AXES[0].tolist(), 1))
    assert nearest.score == pytest.approx(1.0, abs=1e-4)


def test_roles_and_known_messages_can_be_left_out(store: PointStore) -> None:
    known = point("ada", 0)
    store.upsert([known, point("ada", 1, "assistant"), point("ada", 2)])
    assert found(store, "ada", roles=("user",)) == ["ada 0", "ada 2"]
    assert "ada 0" not in found(store, "ada", without={known.message_id})


def test_a_message_again_takes_the_place_of_the_first(store: PointStore) -> None:
    first = point("ada", 0)
    store.upsert([first])
    store.upsert([Point(first.message_id, CONVERSATION, "ada", "user", "better", first.created_at, AXES[1].tolist())])
    assert store.count() == 1
    assert found(store, "ada", 1) == ["better"]


def test_messages_conversations_and_users_are_forgotten_and_nothing_else(store: PointStore) -> None:
    other = uuid.uuid4()
    gone = point("ada", 0)
    store.upsert([gone, point("ada", 1), point("ada", 2, conversation=other), point("eve", 3)])
    store.delete("ada", None, [gone.message_id])
    assert sorted(found(store, "ada")) == ["ada 1", "ada 2"]
    store.delete("ada", CONVERSATION, None)
    assert found(store, "ada") == ["ada 2"]
    store.delete("ada", None, None)
    assert found(store, "ada") == []
    assert found(store, "eve") == ["eve 3"]
    store.clear()
    assert store.count() == 0
    store.upsert([point("ada", 0)])
    assert found(store, "ada") == ["ada 0"]


def test_an_embedded_index_is_there_again_after_it_was_closed(tmp_path: Path) -> None:
    store = EmbeddedQdrant(tmp_path)
    store.upsert([point("ada", 0)])
    store.close()
    again = EmbeddedQdrant(tmp_path)
    assert found(again, "ada") == ["ada 0"]
    again.close()


FULL_DISK = """
import sys
from pathlib import Path
from bench.small_disk import SmallDisk
from persistence.errors import NoRoomError
from tests.persistence.vectors.test_point_stores import EmbeddedQdrant, found, point

folder = Path(sys.argv[1])
disk = SmallDisk(folder)
store = EmbeddedQdrant(folder / "index")
store.upsert([point("ada", 0)])
disk.fill()
for _ in range(3):
    try:
        store.upsert([point("ada", axis) for axis in range(1, 200)])
        print("written")
    except NoRoomError as error:
        print("refused")
print(*found(store, "ada"))
disk.empty()
store.upsert([point("ada", 1)])
print(*found(store, "ada"))
disk.fill()
store.close()
"""


def test_a_full_disk_costs_writes_and_not_the_process(tmp_path: Path) -> None:
    """A page that cannot be had ends the process by SIGBUS: so it is another process's here."""
    try:
        with SmallDisk.mounted(tmp_path / "disk") as disk:
            command = [sys.executable, "-c", FULL_DISK, str(disk.folder)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    except (subprocess.CalledProcessError, OSError) as error:
        pytest.skip(f"nothing can be mounted here: {error}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:5] == ["refused", "refused", "refused", "ada 0", "ada 0 ada 1"]


async def test_what_is_there_is_found_while_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = VectorIndex(f"file://{tmp_path}")
    await index.upsert([point("ada", 0)])
    free = os.statvfs(tmp_path)

    def full(_: object) -> os.statvfs_result:
        return os.statvfs_result([*free[:3], 0, 0, *free[5:]])

    monkeypatch.setattr(os, "statvfs", full)
    with pytest.raises(NoRoomError, match="make room"):
        await index.upsert([point("ada", 1)])
    assert index.up
    assert [each.content for each in await index.search("ada", AXES[0].tolist(), 10)] == ["ada 0"]
    monkeypatch.undo()
    await index.upsert([point("ada", 1)])
    assert await index.count("ada") == 2
    await index.close()


class AskedTogether(BrokenQdrant):
    """Says whether there is a collection once two have asked."""

    asked = 0

    async def _exists(self, request: web.Request) -> web.Response:
        answer = await super()._exists(request)
        self.asked += 1
        await until(lambda: self.asked >= 2)
        return answer


async def test_two_servers_that_make_the_collection_at_once_both_write() -> None:
    async with AskedTogether().serving() as qdrant:
        indexes = [VectorIndex(qdrant.url) for _ in range(2)]
        await asyncio.gather(*(index.upsert([point("ada", axis)]) for axis, index in enumerate(indexes)))
        assert [index.refusal.problem for index in indexes] == ["", ""]
        assert await indexes[0].count("ada") == 2
        for index in indexes:
            await index.close()
