"""The vector index on a Qdrant server: one collection, in which the user is the tenant."""

import contextlib
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from uuid import UUID

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from persistence.errors import WritesRefusedError
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
        given = [
            models.PointStruct(id=str(each.message_id), vector=list(each.vector), payload=each.payload())
            for each in points
        ]
        with self._collection(writes=True):
            self._client.upsert(COLLECTION, given)

    def search(self, wanted: Nearest) -> list[Recalled]:
        """See `PointStore`."""
        must: list[models.Condition] = [_is("user_id", wanted.user_id)]
        if wanted.roles:
            must.append(
                models.FieldCondition(key="role", match=models.MatchAny(any=[str(role) for role in wanted.roles]))
            )
        without: list[models.Condition] = []
        if wanted.without:
            without.append(models.HasIdCondition(has_id=[str(each) for each in wanted.without]))
        with self._collection():
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
        must: list[models.Condition] = [_is("user_id", user_id)]
        if conversation_id is not None:
            must.append(_is("conversation_id", str(conversation_id)))
        gone: models.PointsSelector = models.FilterSelector(filter=models.Filter(must=must))
        if message_ids is not None:
            gone = models.PointIdsList(points=[str(each) for each in message_ids])
        with self._collection(writes=True):
            self._client.delete(COLLECTION, gone)

    def clear(self) -> None:
        """See `PointStore`."""
        with _refusals():
            self._client.delete_collection(COLLECTION)
        self._ready = False

    def count(self, user_id: str | None = None) -> int:
        """See `PointStore`."""
        wanted = None if user_id is None else models.Filter(must=[_is("user_id", user_id)])
        with self._collection():
            return self._client.count(COLLECTION, count_filter=wanted, exact=True).count

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @contextlib.contextmanager
    def _collection(self, *, writes: bool = False) -> Iterator[None]:
        """The collection, made where it is not there, for a request.

        Args:
            writes: whether the request does.

        Raises:
            WritesRefusedError: the server answers and does not take what is written.
        """
        if not self._ready:
            with _refusals():
                self._make()
            self._ready = True
        try:
            with _refusals() if writes else contextlib.nullcontext():
                yield
        except UnexpectedResponse as error:
            if error.status_code == HTTPStatus.NOT_FOUND:
                # The server came back without it; the next request makes one.
                self._ready = False
            raise

    def _make(self) -> None:
        if self._client.collection_exists(COLLECTION):
            return
        vectors = models.VectorParams(size=DIMENSIONS, distance=models.Distance.COSINE)
        try:
            self._client.create_collection(COLLECTION, vectors_config=vectors)
        except UnexpectedResponse as error:
            if error.status_code != HTTPStatus.CONFLICT:
                raise
            return  # somebody else has made it just now, and sees to the rest
        for field in INDEXED_FIELDS:
            kind = models.KeywordIndexType.KEYWORD
            self._client.create_payload_index(
                COLLECTION, field, models.KeywordIndexParams(type=kind, is_tenant=field == "user_id")
            )


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """An answer other than success to a write is a refusal: a full disk, a key that may only read, strict mode."""
    try:
        yield
    except UnexpectedResponse as error:
        if error.status_code == HTTPStatus.NOT_FOUND:
            raise
        raise WritesRefusedError(" ".join(str(error).split())) from error


def _is(field: str, value: str) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchValue(value=value))
