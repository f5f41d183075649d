"""The vector index in this process: Qdrant Edge, the engine of the Qdrant server as a library.

Not qdrant-client's local mode, which searches in numpy and commits an SQLite transaction per point: with 100,000
messages of one user a search took it 400 ms and more and a write 25 ms, this one 15 ms and less than 0.1 ms.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import qdrant_edge as edge
import structlog

from persistence.disk_room import require_room
from persistence.errors import NoRoomError, StoreUnavailableError
from persistence.folder_lock import FolderLock, FolderLockedError
from persistence.values import DIMENSIONS, Recalled
from persistence.vectors.points import COLLECTION, INDEXED_FIELDS, Nearest, Point, recalled

log = structlog.get_logger(__name__)


class EmbeddedQdrant:
    """A `PointStore` in a folder, which one process at a time may open.

    What cannot be read is begun anew, empty; `EmbeddingWorker` fills it from PostgreSQL. The engine writes by memory
    maps, so nothing is written where the disk is nearly full (`persistence.disk_room`): that raises `NoRoomError`, and
    searches go on.

    Args:
        folder: made where it is not there.

    Raises:
        StoreUnavailableError: another process has it open (the engine itself would let both write, and ruin it), or
            (`NoRoomError`) the disk has no room.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._lock = FolderLock(folder / "lock")
        except FolderLockedError as error:
            raise StoreUnavailableError(
                f"its folder {folder} is already accessed by process {error}; servers that share an index need a "
                "Qdrant server (MORGAN_QDRANT_URL=http://...)"
            ) from None
        self._folder = folder / COLLECTION
        try:
            self._shard = self._open()
        except BaseException:
            self._lock.release()
            raise

    def check(self) -> None:
        """Ask the shard how it is."""
        self._shard.info()

    def upsert(self, points: Sequence[Point]) -> None:
        """See `PointStore`; what has returned survives a kill of the process."""
        given = [edge.Point(str(each.message_id), list(each.vector), each.payload()) for each in points]
        require_room(self._folder)
        self._shard.update(edge.UpdateOperation.upsert_points(given))

    def search(self, wanted: Nearest) -> list[Recalled]:
        """See `PointStore`."""
        must: list[edge.FieldCondition] = [_is("user_id", wanted.user_id)]
        if wanted.roles:
            must.append(edge.FieldCondition("role", match=edge.MatchAny([str(role) for role in wanted.roles])))
        without = {str(each) for each in wanted.without}
        query = edge.QueryRequest(
            query=edge.Query.Nearest(list(wanted.vector)),
            filter=edge.Filter(must=list(must), must_not=[edge.HasIdCondition(set(without))] if without else None),
            limit=wanted.count,
            with_payload=True,
        )
        found = self._shard.query(query)
        return [
            recalled(each.id, each.payload, each.score)
            for each in found
            if each.payload and each.payload.get("user_id") == wanted.user_id
        ]

    def delete(self, user_id: str, conversation_id: UUID | None, message_ids: Sequence[UUID] | None) -> None:
        """See `PointStore`."""
        require_room(self._folder)
        if message_ids is not None:
            self._shard.update(edge.UpdateOperation.delete_points([str(each) for each in message_ids]))
            return
        must = [_is("user_id", user_id)]
        if conversation_id is not None:
            must.append(_is("conversation_id", str(conversation_id)))
        self._shard.update(edge.UpdateOperation.delete_points_by_filter(edge.Filter(must=list(must))))

    def clear(self) -> None:
        """See `PointStore`: the files go, too."""
        require_room(self._folder)
        self._shard.close()
        shutil.rmtree(self._folder)
        self._shard = self._open()

    def count(self, user_id: str | None = None) -> int:
        """See `PointStore`."""
        wanted = None if user_id is None else edge.Filter(must=[_is("user_id", user_id)])
        return self._shard.count(edge.CountRequest(exact=True, filter=wanted))

    def close(self) -> None:
        """Write down what is in memory, and let go of the files."""
        try:
            require_room(self._folder)
            self._shard.flush()
            self._shard.close()
        except NoRoomError as error:
            # As a kill leaves it: what was written is there.
            log.warning("vector index left as it is", problem=str(error))
        finally:
            self._lock.release()

    def _open(self) -> edge.EdgeShard:
        require_room(self._folder.parent)
        if self._folder.is_dir():
            try:
                return _indexed(edge.EdgeShard.load(str(self._folder)))
            except Exception as error:  # a plain Exception whatever is wrong with the files
                log.warning("vector index cannot be read, begun anew", problem=str(error))
                shutil.rmtree(self._folder)
        self._folder.mkdir(mode=0o700, parents=True)
        vectors = edge.EdgeVectorParams(size=DIMENSIONS, distance=edge.Distance.Cosine)
        # One thread: calls need the cores.
        config = edge.EdgeConfig(vectors=vectors, max_search_threads=1)
        return _indexed(edge.EdgeShard.create(str(self._folder), config))


def _indexed(shard: edge.EdgeShard) -> edge.EdgeShard:
    """The shard with every index that searches need."""
    for field in INDEXED_FIELDS:
        if field not in shard.info().payload_schema:
            shard.update(edge.UpdateOperation.create_field_index(field, edge.PayloadSchemaType.Keyword))
    return shard


def _is(field: str, value: str) -> edge.FieldCondition:
    return edge.FieldCondition(field, match=edge.MatchValue(value))
