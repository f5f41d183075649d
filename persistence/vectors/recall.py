"""What a user said before, and what stands in their documents, that fits what they say now."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

import structlog

from persistence.errors import StoreUnavailableError
from persistence.values import Embedder, PointRole, Recalled, Role
from persistence.vectors.index import VectorIndex
from persistence.vectors.points import Nearest

log = structlog.get_logger(__name__)

MAX_QUERY_CHARS = 2000

MESSAGES: tuple[Role, ...] = ("user", "assistant", "system", "tool")
"""Whose words messages are."""

PASSAGES = 100
"""Of documents, looked at for one question: the words in them are weighed, too. Where nothing but a name or a number
tells which passage is meant, it may be far from the nearest by meaning."""


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
        self, user_id: str, text: str, count: int, budget_ms: float, without: Collection[UUID] = ()
    ) -> list[Recalled]:
        """What the user said before and what their documents say that fits, each best first; empty rather than late.

        Args:
            user_id: whose words; nobody else's are looked at.
            text: what is being said.
            count: how many at most.
            budget_ms: for embedding and search together.
            without: messages that are not wanted, such as those that the prompt holds anyway.
        """
        self.figures.asked += 1
        try:
            async with asyncio.timeout(budget_ms / 1000):
                found = await self._own_words_and_documents(user_id, text, count, without)
        except TimeoutError:
            self.figures.late += 1
            return []
        except Exception as error:  # an embedder of any kind may fail in any way; a call goes on without memories
            self.figures.failed += 1
            log.debug("nothing recalled", problem=f"{type(error).__name__}: {error}")
            return []
        self.figures.answered += 1
        return found

    async def _own_words_and_documents(
        self, user_id: str, text: str, count: int, without: Collection[UUID]
    ) -> list[Recalled]:
        """The nearest of what the user said, and then of what stands in their documents."""
        if not text.strip():
            return []
        vector = await self._vector(text)
        said = Nearest(user_id, vector, count, ("user",), without)
        read = Nearest(user_id, vector, PASSAGES, ("document",))
        return [each for found in await self._index.search_all((said, read)) for each in found]

    async def search(
        self,
        user_id: str,
        text: str,
        count: int,
        *,
        roles: tuple[PointRole, ...] = MESSAGES,
        without: Collection[UUID] = (),
    ) -> list[Recalled]:
        """The nearest messages in the user's conversations, best first, however near.

        Args:
            user_id: whose conversations; nobody else's are looked at.
            text: what is looked for.
            count: how many at most.
            roles: whose words; ("document",) for passages of documents.
            without: messages that are not wanted.

        Raises:
            StoreUnavailableError: there is no embedder, or Qdrant does not answer.
        """
        if not text.strip():
            return []
        return await self._index.search(user_id, await self._vector(text), count, roles=roles, without=without)

    async def _vector(self, text: str) -> list[float]:
        if self._embedder is None:
            raise StoreUnavailableError("there is no embedding model")
        (vector,) = await self._embedder.embed([text[:MAX_QUERY_CHARS]], waited_for=True)
        return vector
