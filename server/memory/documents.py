"""Documents on their way into memory: sections that somebody has read from a file become passages that can be found."""

import asyncio
import hashlib
from collections.abc import Sequence

from persistence.errors import TextTooLongError
from persistence.memory import Memory
from persistence.values import Document, Passage
from server.bounds import MAX_PASSAGES
from server.memory.passages import cut


async def add_document(memory: Memory, user_id: str, source: str, title: str, sections: Sequence[Passage]) -> Document:
    """Add a document, or put it in the place of the user's one from the same source.

    Raises:
        InvalidTextError: something of it cannot be stored.
        TextNotStoredError: no text is kept.
        StoreUnavailableError: PostgreSQL does not answer.
    """
    # Megabytes of words take a second to be cut, in which the event loop has the sound of calls to see to.
    passages, digest = await asyncio.to_thread(_read, title, sections)
    if len(passages) > MAX_PASSAGES:
        raise TextTooLongError(f"sections make more than the {MAX_PASSAGES} passages that are stored")
    return await memory.add_document(user_id, source, title, digest, passages)


def _read(title: str, sections: Sequence[Passage]) -> tuple[list[Passage], str]:
    """The passages of a document, and its digest."""
    passages = cut(sections, MAX_PASSAGES)
    digest = hashlib.sha256()
    for text in (title, *(part for each in passages for part in (each.place, each.content))):
        digest.update(text.encode("utf-8", "replace") + b"\0")
    return passages, digest.hexdigest()
