"""The vector index on a Qdrant server: one collection, in which the user is the tenant."""

from collections.abc import Sequence
from uuid import UUID

from qdrant_client import QdrantClient, models

from persistence.values import DIMENSIONS, Recalled
from persistence.vectors.points import COLLECTION, INDEXED_FIELDS, Nearest, Point, recalled


class QdrantServer:
    """A `PointStore` on a server.

    Args:
        url: http:// or https://.
        api_key: of the server.
        timeout_s: of one request.
    """

    def __init__(self, url: str, api_key: str | None, timeout_s: float) -> None:
        self._client = QdrantClient(url=url, api_key=api_key, timeout=round(timeout_s), check_compatibility=False)
        self._ready = False

    def check(self) -> None:
        """Ask for the collections."""
        self._client.get_collections()

    def upsert(self, points: Sequence[Point]) -> None:
        """See `PointStore`."""
        self._ensure()
        given = [
            models.PointStruct(id=str(each.message_id), vector=list(each.vector), payload=each.payload())
            for each in points
        ]
        self._client.upsert(COLLECTION, given)

    def search(self, wanted: Nearest) -> list[Recalled]:
        """See `PointStore`."""
        self._ensure()
        must: list[models.Condition] = [_is("user_id", wanted.user_id)]
        if wanted.roles:
            must.append(
                models.FieldCondition(key="role", match=models.MatchAny(any=[str(role) for role in wanted.roles]))
            )
        without: list[models.Condition] = []
        if wanted.without:
            without.append(models.HasIdCondition(has_id=[str(each) for each in wanted.without]))
        found = self._client.query_points(
            COLLECTION,
            query=list(wanted.vector),
            limit=wanted.count,
            query_filter=models.Filter(must=must, must_not=without),
        ).points
        return [
            recalled(each.id, each.payload, each.score)
            for each in found
            if each.payload and each.payload.get("user_id") == wanted.user_id
        ]

    def delete(self, user_id: str, conversation_id: UUID | None, message_ids: Sequence[UUID] | None) -> None:
        """See `PointStore`."""
        self._ensure()
        if message_ids is not None:
            self._client.delete(COLLECTION, models.PointIdsList(points=[str(each) for each in message_ids]))
            return
        must: list[models.Condition] = [_is("user_id", user_id)]
        if conversation_id is not None:
            must.append(_is("conversation_id", str(conversation_id)))
        self._client.delete(COLLECTION, models.FilterSelector(filter=models.Filter(must=must)))

    def clear(self) -> None:
        """See `PointStore`."""
        self._client.delete_collection(COLLECTION)
        self._ready = False

    def count(self, user_id: str | None = None) -> int:
        """See `PointStore`."""
        self._ensure()
        wanted = None if user_id is None else models.Filter(must=[_is("user_id", user_id)])
        return self._client.count(COLLECTION, count_filter=wanted, exact=True).count

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ensure(self) -> None:
        """Make the collection where it is not there."""
        if self._ready:
            return
        if not self._client.collection_exists(COLLECTION):
            vectors = models.VectorParams(size=DIMENSIONS, distance=models.Distance.COSINE)
            self._client.create_collection(COLLECTION, vectors_config=vectors)
            for field in INDEXED_FIELDS:
                kind = models.KeywordIndexType.KEYWORD
                self._client.create_payload_index(
                    COLLECTION, field, models.KeywordIndexParams(type=kind, is_tenant=field == "user_id")
                )
        self._ready = True


def _is(field: str, value: str) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchValue(value=value))
