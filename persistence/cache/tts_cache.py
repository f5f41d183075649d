"""Speech that was made once is not made again: `tts_generations`, with a small copy in process memory."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import structlog

from persistence.errors import StoreUnavailableError
from persistence.journal.operations import PutGeneration
from persistence.postgres.pool import Postgres
from persistence.text import clean_text
from persistence.values import TtsGeneration

log = structlog.get_logger(__name__)

MEMORY_BYTES = 32 * 1024 * 1024
MAX_AUDIO_BYTES = 4 * 1024 * 1024
"""Longer speech (a minute and a half of pcm at 24 kHz) is hardly said twice."""

MAX_TEXT_CHARS = 4000
MAX_FILL = 0.5
"""A journal that is fuller is kept for what cannot be made again."""


def tts_key(text: str, voice: str, audio_format: str, speed: float, engine_version: str) -> str:
    """The key of a piece of speech: sha256 (hex) of all that it depends on."""
    parts = "\0".join((text, voice, audio_format, f"{speed:.3f}", engine_version))
    return hashlib.sha256(parts.encode("utf-8", "replace")).hexdigest()


@dataclass(slots=True)
class TtsFigures:
    """Counters since the start."""

    hits: int = 0
    misses: int = 0
    stored: int = 0
    pruned: int = 0


class TtsCache:
    """Speech by key.

    Args:
        postgres: where it lasts.
        record: hands an operation to the outbox; returns whether it was taken.
        fill: share of the journal that is in use.
        max_bytes: of audio in PostgreSQL; the longest unused goes first.
        memory_bytes: of audio in this process.
    """

    def __init__(
        self,
        postgres: Postgres,
        record: Callable[[PutGeneration], bool],
        fill: Callable[[], float],
        max_bytes: int,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self.figures = TtsFigures()
        self._postgres = postgres
        self._record = record
        self._fill = fill
        self._max_bytes = max_bytes
        self._memory_bytes = memory_bytes
        self._memory: OrderedDict[str, TtsGeneration] = OrderedDict()
        self._owners: dict[str, UUID] = {}
        self._size = 0
        self._used: dict[str, int] = {}

    async def get(self, key: str) -> TtsGeneration | None:
        """The speech under a key, if there is any; a database that does not answer has none."""
        found = self._memory.get(key)
        if found is None:
            found = await self._fetch(key)
        return self._counted(key, found)

    def remembered(self, key: str) -> TtsGeneration | None:
        """The speech under a key if it is in this process' memory: for those who cannot wait for a database."""
        return self._counted(key, self._memory.get(key))

    async def recall_most_used(self, share: float = 0.5) -> int:
        """Bring what was used most into memory, after a start; returns how many pieces.

        Args:
            share: of the memory that may be filled.
        """
        budget, recalled = int(self._memory_bytes * share), 0
        try:
            async with self._postgres.connection() as connection:
                rows = await connection.fetch(
                    """
                    SELECT key FROM (
                        SELECT key, sum(size_bytes) OVER (ORDER BY hits DESC, last_used_at DESC, key) AS total
                        FROM tts_generations WHERE hits > 0
                    ) AS by_use WHERE total <= $1
                    """,
                    budget,
                )
        except StoreUnavailableError:
            return 0
        for row in reversed(rows):
            if row["key"] not in self._memory:
                recalled += await self._fetch(row["key"]) is not None
        return recalled

    def _counted(self, key: str, found: TtsGeneration | None) -> TtsGeneration | None:
        if found is None:
            self.figures.misses += 1
            return None
        self.figures.hits += 1
        self._used[key] = self._used.get(key, 0) + 1
        self._memory.move_to_end(key)
        return found

    def put(self, generation: TtsGeneration, conversation_id: UUID | None = None) -> bool:
        """Keep a piece of speech; returns whether it is kept.

        Args:
            generation: what to keep.
            conversation_id: whose reply it is, so that it goes with the conversation; None for greetings and fillers.
        """
        too_big = len(generation.audio) > MAX_AUDIO_BYTES or len(generation.text) > MAX_TEXT_CHARS
        if too_big or generation.key in self._memory or self._fill() > MAX_FILL:
            return False
        self._keep(generation)
        if conversation_id is not None:
            self._owners[generation.key] = conversation_id
        self.figures.stored += 1
        return self._record(
            PutGeneration(
                generation.key,
                clean_text(generation.text),
                generation.voice,
                generation.format,
                generation.sample_rate,
                generation.duration_ms,
                datetime.now(tz=UTC),
                conversation_id,
                [list(word) for word in generation.words],
                generation.audio,
            )
        )

    def forget(self, conversation_ids: set[UUID]) -> None:
        """Let go of what belongs to deleted conversations."""
        for key in [key for key, owner in self._owners.items() if owner in conversation_ids]:
            self._drop(key)

    def held(self, conversation_ids: Collection[UUID]) -> int:
        """How many pieces in memory belong to these conversations."""
        return sum(owner in conversation_ids for owner in self._owners.values())

    def drop(self, keys: Iterable[str]) -> None:
        """Let go of pieces that were deleted from PostgreSQL."""
        for key in keys:
            self._drop(key)

    async def sync(self) -> None:
        """Write the hits down and keep to the size limit.

        Raises:
            StoreUnavailableError: PostgreSQL does not answer.
        """
        used, self._used = self._used, {}
        async with self._postgres.connection() as connection:
            await connection.executemany(
                "UPDATE tts_generations SET hits = hits + $2, last_used_at = now() WHERE key = $1", list(used.items())
            )
            gone = await connection.fetch(
                """
                DELETE FROM tts_generations WHERE key IN (
                    SELECT key FROM (
                        SELECT key, sum(size_bytes) OVER (ORDER BY last_used_at DESC, key) AS total FROM tts_generations
                    ) AS by_use WHERE total > $1
                ) RETURNING key
                """,
                self._max_bytes,
            )
        self.figures.pruned += len(gone)
        for row in gone:
            self._drop(row["key"])

    async def _fetch(self, key: str) -> TtsGeneration | None:
        try:
            async with self._postgres.connection() as connection:
                row = await connection.fetchrow(
                    """
                    SELECT key, text, voice, format, sample_rate, duration_ms, audio, words, conversation_id
                    FROM tts_generations WHERE key = $1
                    """,
                    key,
                )
        except StoreUnavailableError:
            return None
        if row is None:
            return None
        values = dict(row)
        owner = values.pop("conversation_id")
        values["words"] = tuple(tuple(word) for word in values["words"])
        found = TtsGeneration(**values)
        self._keep(found)
        if owner is not None:
            self._owners[key] = owner
        return found

    def _keep(self, generation: TtsGeneration) -> None:
        self._drop(generation.key)
        self._memory[generation.key] = generation
        self._size += len(generation.audio)
        while self._size > self._memory_bytes and len(self._memory) > 1:
            self._drop(next(iter(self._memory)))

    def _drop(self, key: str) -> None:
        gone = self._memory.pop(key, None)
        self._owners.pop(key, None)
        if gone is not None:
            self._size -= len(gone.audio)
