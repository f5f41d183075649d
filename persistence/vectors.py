"""The index over embeddings: Qdrant in its local mode, or a Qdrant server. Everything in it is in PostgreSQL too.

In local mode every user has a collection of their own: the local mode filters point by point in Python, which is too
slow over all users, and a search then cannot reach another user's points at all. A server gets one collection, in
which the user is the tenant.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import structlog
from qdrant_client import QdrantClient, models

from persistence.errors import StoreUnavailableError
from persistence.values import DIMENSIONS, Recalled, Role

log = structlog.get_logger(__name__)

T = TypeVar("T")

COLLECTION = "morgan_messages"
MAX_WAITING = 256
REMOTE_THREADS = 4
RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class Point:
    """A message with its embedding."""

    message_id: UUID
    conversation_id: UUID
    user_id: str
    role: Role
    content: str
    created_at: str
    vector: Sequence[float]


class VectorIndex:
    """Search by meaning in one user's messages; blocking work runs in threads of its own.

    All methods raise `StoreUnavailableError` when Qdrant does not answer or too much waits.

    Args:
        url: of a server, file:///folder for the local mode.
        api_key: of the server.
        timeout_s: of one request to a server.
    """

    def __init__(self, url: str, api_key: str | None = None, timeout_s: float = 5.0) -> None:
        self.local = url.startswith("file://")
        self.latency_ms: float | None = None
        self.problem = "not opened yet"
        self.up = False
        self._url = url
        self._api_key = api_key
        self._timeout_s = timeout_s
        self._client: QdrantClient | None = None
        self._collections: set[str] = set()
        self._waiting = 0
        self._tried_at = float("-inf")
        self._threads = ThreadPoolExecutor(1 if self.local else REMOTE_THREADS, thread_name_prefix="morgan-vectors")

    async def open(self) -> None:
        """Load the local index, or find the server."""
        await self._run(self._connect)

    async def upsert(self, points: Sequence[Point]) -> None:
        """Put points in, or in place of those with the same message id."""
        await self._run(lambda: self._upsert(points))

    async def search(
        self, user_id: str, vector: Sequence[float], count: int, without_conversation: UUID | None = None
    ) -> list[Recalled]:
        """The points of this user that are nearest, best first.

        Args:
            user_id: whose; no other user's points are looked at.
            vector: what is near.
            count: how many at most.
            without_conversation: the running one, which the prompt holds anyway.
        """
        return await self._run(lambda: self._search(user_id, vector, count, without_conversation))

    async def delete(
        self, user_id: str, conversation_id: UUID | None = None, message_ids: Sequence[UUID] | None = None
    ) -> None:
        """Take out messages, a conversation, or (with neither) everything of a user."""
        await self._run(lambda: self._delete(user_id, conversation_id, message_ids))

    async def clear(self) -> None:
        """Take out everything."""
        await self._run(self._clear)

    async def count(self) -> int:
        """How many points there are."""
        return await self._run(self._count)

    async def check(self) -> float:
        """Milliseconds of a round trip; connects again after an outage."""
        started = time.monotonic()
        await self._run(lambda: self._connected().get_collections())
        self.latency_ms = (time.monotonic() - started) * 1000
        return self.latency_ms

    async def close(self) -> None:
        """Let go of the files or the connections."""

        def close() -> None:
            if self._client is not None:
                self._client.close()

        await asyncio.get_running_loop().run_in_executor(self._threads, close)
        self._threads.shutdown()
        self.up = False

    async def _run(self, function: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise StoreUnavailableError("Qdrant: too much waits")
        if not self.up and time.monotonic() - self._tried_at < RETRY_S:
            raise StoreUnavailableError(f"Qdrant does not answer: {self.problem}")
        self._waiting += 1
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._threads, function)
        except Exception as error:  # the client raises what its transport raises; for us each means "not now"
            if self.up or self.problem == "not opened yet":
                log.error("qdrant does not answer, nothing is recalled", problem=f"{type(error).__name__}: {error}")
            self.problem = f"{type(error).__name__}: {error}"
            self.up = False
            self._tried_at = time.monotonic()
            self.latency_ms = None
            raise StoreUnavailableError(f"Qdrant: {self.problem}") from error
        finally:
            self._waiting -= 1
        self.up = True
        return result

    def _connect(self) -> None:
        if self.local:
            folder = Path(self._url.removeprefix("file://"))
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._client = QdrantClient(path=str(folder), force_disable_check_same_thread=True)
        else:
            self._client = QdrantClient(
                url=self._url, api_key=self._api_key, timeout=round(self._timeout_s), check_compatibility=False
            )
        self._collections = {each.name for each in self._client.get_collections().collections}

    def _connected(self) -> QdrantClient:
        if self._client is None:
            self._connect()
        assert self._client is not None
        return self._client

    def _collection(self, user_id: str) -> str:
        if not self.local:
            return COLLECTION
        return f"{COLLECTION}_{hashlib.sha256(user_id.encode()).hexdigest()[:32]}"

    def _ensure(self, name: str) -> None:
        client = self._connected()
        if name in self._collections or client.collection_exists(name):
            self._collections.add(name)
            return
        client.create_collection(
            name, vectors_config=models.VectorParams(size=DIMENSIONS, distance=models.Distance.COSINE)
        )
        if not self.local:
            for field in ("user_id", "conversation_id"):
                tenant = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=field == "user_id")
                client.create_payload_index(name, field, tenant)
        self._collections.add(name)

    def _upsert(self, points: Sequence[Point]) -> None:
        by_collection: dict[str, list[models.PointStruct]] = {}
        for point in points:
            payload = {
                "user_id": point.user_id,
                "conversation_id": str(point.conversation_id),
                "role": point.role,
                "content": point.content,
                "created_at": point.created_at,
            }
            struct = models.PointStruct(id=str(point.message_id), vector=list(point.vector), payload=payload)
            by_collection.setdefault(self._collection(point.user_id), []).append(struct)
        for name, structs in by_collection.items():
            self._ensure(name)
            self._connected().upsert(name, structs)

    def _search(
        self, user_id: str, vector: Sequence[float], count: int, without_conversation: UUID | None
    ) -> list[Recalled]:
        name = self._collection(user_id)
        client = self._connected()
        if name not in self._collections and not client.collection_exists(name):
            return []
        self._collections.add(name)
        # In local mode the collection is the user's alone, and the running conversation is left out below, because a
        # filter would cost a Python call per point.
        asked = count * 4 if self.local and without_conversation is not None else count
        found = client.query_points(
            name,
            query=list(vector),
            limit=asked,
            query_filter=None if self.local else _filter(user_id, without_conversation=without_conversation),
        ).points
        recalled = [_recalled(each) for each in found if (each.payload or {}).get("user_id") == user_id]
        return [each for each in recalled if each.conversation_id != str(without_conversation)][:count]

    def _delete(self, user_id: str, conversation_id: UUID | None, message_ids: Sequence[UUID] | None) -> None:
        client = self._connected()
        name = self._collection(user_id)
        if not client.collection_exists(name):
            return
        if message_ids is not None:
            client.delete(name, models.PointIdsList(points=[str(each) for each in message_ids]))
        elif self.local and conversation_id is None:
            client.delete_collection(name)
            self._collections.discard(name)
        else:
            client.delete(name, models.FilterSelector(filter=_filter(user_id, conversation_id)))

    def _clear(self) -> None:
        client = self._connected()
        for each in client.get_collections().collections:
            if each.name.startswith(COLLECTION):
                client.delete_collection(each.name)
        self._collections.clear()

    def _count(self) -> int:
        client = self._connected()
        names = [each.name for each in client.get_collections().collections if each.name.startswith(COLLECTION)]
        return sum(client.count(name).count for name in names)


def _filter(
    user_id: str, conversation_id: UUID | None = None, without_conversation: UUID | None = None
) -> models.Filter:
    def is_value(key: str, value: str) -> models.FieldCondition:
        return models.FieldCondition(key=key, match=models.MatchValue(value=value))

    must: list[models.Condition] = [is_value("user_id", user_id)]
    if conversation_id is not None:
        must.append(is_value("conversation_id", str(conversation_id)))
    must_not: list[models.Condition] = []
    if without_conversation is not None:
        must_not.append(is_value("conversation_id", str(without_conversation)))
    return models.Filter(must=must, must_not=must_not)


def _recalled(point: models.ScoredPoint) -> Recalled:
    payload = point.payload or {}
    return Recalled(
        str(point.id),
        payload["conversation_id"],
        payload["role"],
        payload["content"],
        payload["created_at"],
        float(point.score),
    )
