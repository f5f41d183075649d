"""What a user said before that fits what they say now."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

import structlog

from persistence.errors import StoreUnavailableError
from persistence.values import Embedder, Recalled
from persistence.vectors import VectorIndex

log = structlog.get_logger(__name__)

MIN_SCORE = 0.25
"""Cosine similarity below which sentences of all-MiniLM-L6-v2 have nothing to do with each other."""

MAX_QUERY_CHARS = 2000


@dataclass(slots=True)
class RecallFigures:
    """Counters since the start: questions, those answered in time, too late, and not at all."""

    asked: int = 0
    answered: int = 0
    late: int = 0
    failed: int = 0


class Recall:
    """Search by meaning in a user's own messages.

    Args:
        index: the vectors.
        embedder: of the question; None recalls nothing.
    """

    def __init__(self, index: VectorIndex, embedder: Embedder | None) -> None:
        self.figures = RecallFigures()
        self._index = index
        self._embedder = embedder

    async def within(
        self, user_id: str, text: str, count: int, budget_ms: float, without_conversation: UUID | None = None
    ) -> list[Recalled]:
        """Past messages that fit, best first; empty rather than late.

        Args:
            user_id: whose messages; nobody else's are looked at.
            text: what is being said.
            count: how many at most.
            budget_ms: for embedding and search together.
            without_conversation: the running one.
        """
        self.figures.asked += 1
        try:
            async with asyncio.timeout(budget_ms / 1000):
                found = await self.search(user_id, text, count, without_conversation)
        except TimeoutError:
            self.figures.late += 1
            return []
        except Exception as error:  # an embedder of any kind may fail in any way; a call goes on without memories
            self.figures.failed += 1
            log.debug("nothing recalled", problem=f"{type(error).__name__}: {error}")
            return []
        self.figures.answered += 1
        return [each for each in found if each.score >= MIN_SCORE]

    async def search(
        self, user_id: str, text: str, count: int, without_conversation: UUID | None = None
    ) -> list[Recalled]:
        """The nearest messages of the user, best first, however near.

        Raises:
            StoreUnavailableError: there is no embedder, or Qdrant does not answer.
        """
        if not text.strip():
            return []
        if self._embedder is None:
            raise StoreUnavailableError("there is no embedding model")
        (vector,) = await self._embedder.embed([text[:MAX_QUERY_CHARS]])
        return await self._index.search(user_id, vector, count, without_conversation)
