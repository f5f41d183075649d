"""Documents are found by their owner and nobody else, replaced as a whole, and gone when they are deleted."""

import asyncio

import asyncpg

from persistence.memory import Memory
from persistence.values import Document, Passage
from tests.persistence.parts import item

WARRANTY = Passage("The warranty lasts for thirty months.", "page 12")
CLEANING = Passage("Clean the filter with warm water.", "page 13")


async def added(
    memory: Memory, *passages: Passage, user: str = "ada", source: str = "a.pdf", sha: str = "1"
) -> Document:
    async with asyncio.timeout(60):
        await memory.postgres.up.wait()
    document = await memory.add_document(user, source, "Handbook", sha, passages)
    assert await memory.worker.idle(20)
    return document


async def found(memory: Memory, user: str, text: str) -> list[str]:
    return [each.content for each in await memory.recall(user, text, budget_ms=5000) if each.role == "document"]


async def test_a_passage_is_found_by_its_owner_with_its_source(memory: Memory) -> None:
    await added(memory, WARRANTY, CLEANING)
    best, *_ = await memory.recall("ada", "how long does the warranty last", budget_ms=5000)
    assert (best.role, best.content, best.source) == ("document", WARRANTY.content, "Handbook, page 12")
    assert await found(memory, "eve", "how long does the warranty last") == []


async def test_what_the_user_said_comes_first_and_documents_are_no_messages(memory: Memory) -> None:
    memory.conversation("ada").user_turn(item(), "my warranty card is lost")
    await memory.outbox.settle(5)
    await added(memory, WARRANTY)
    recalled = await memory.recall("ada", "where is the warranty card", budget_ms=5000)
    assert [each.role for each in recalled] == ["user", "document"]
    assert [each.role for each in await memory.search("ada", "warranty", 10)] == ["user"]


async def test_a_file_that_is_added_again_replaces_what_it_said(memory: Memory) -> None:
    first = await added(memory, WARRANTY, CLEANING)
    again = await added(memory, Passage("The warranty lasts for ten months.", "page 1"), sha="2")
    assert first.id != again.id
    assert [each.id for each in await memory.documents.list("ada")] == [again.id]
    assert await found(memory, "ada", "warranty filter water months") == ["The warranty lasts for ten months."]
    assert await memory.vectors.count() == 1


async def test_a_file_that_has_not_changed_stays_as_it_is(memory: Memory) -> None:
    first = await added(memory, WARRANTY)
    assert (await added(memory, WARRANTY)).id == first.id
    assert await memory.documents.get(first.id, "ada") == ((await memory.documents.list("ada"))[0], (WARRANTY,))


async def test_the_same_source_of_another_user_is_another_document(memory: Memory) -> None:
    mine, theirs = await added(memory, WARRANTY), await added(memory, CLEANING, user="eve")
    assert await memory.documents.get(theirs.id, "ada") is None
    assert not await memory.delete_document("ada", theirs.id)
    assert await memory.delete_document("eve", theirs.id)
    assert await found(memory, "eve", "clean the filter") == []
    assert await found(memory, "ada", "the warranty") == [WARRANTY.content]
    assert await memory.delete_document(None, mine.id)


async def test_with_a_user_go_their_documents(memory: Memory, connection: asyncpg.Connection) -> None:
    await added(memory, WARRANTY)
    await added(memory, CLEANING, user="eve")
    await memory.delete_user("ada")
    assert await memory.worker.idle(60)
    assert await found(memory, "ada", "the warranty") == []
    assert await found(memory, "eve", "clean the filter") == [CLEANING.content]
    await added(memory, CLEANING)
    assert await found(memory, "ada", "clean the filter") == [CLEANING.content]


async def test_an_index_that_is_made_anew_has_the_documents(memory: Memory) -> None:
    await added(memory, WARRANTY, CLEANING)
    steps = [step async for step in memory.worker.rebuild(embeddings=True)]
    assert (steps[-1].done, steps[-1].total) == (2, 2)
    assert await found(memory, "ada", "the warranty") != []
    assert await memory.vectors.count() == 2
