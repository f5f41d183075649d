"""What was said once is not said again by the voice: a real voice, a real database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from uuid import uuid4

import numpy as np

from persistence.memory import Memory
from pipeline.engines.protocols import SpeechChunk
from pipeline.engines.tts.piper import Piper
from pipeline.scheduling.lanes import Ticket, Urgency
from server.speech.cache import CachedSpeech

CLAUSE = "Could you say that again?"

Open = Callable[..., Awaitable[Memory]]


def remembering(piper: Piper, memory: Memory | None) -> CachedSpeech:
    return CachedSpeech(piper, "piper test", lambda: memory.tts if memory else None)


async def say(voice: CachedSpeech, text: str = CLAUSE, urgency: Urgency = Urgency.FIRST_AUDIO) -> list[SpeechChunk]:
    return [chunk async for chunk in voice.synthesize(text, Ticket(urgency))]


def joined(chunks: list[SpeechChunk]) -> SpeechChunk:
    """The chunks of a clause as one; the first has the words of all."""
    return SpeechChunk(np.concatenate([chunk.pcm for chunk in chunks]), chunks[0].words)


async def test_the_second_time_comes_from_memory_with_the_same_sound_and_word_times(
    piper: Piper, memory: Memory
) -> None:
    voice = remembering(piper, memory)
    first = joined(await say(voice))
    done = piper.lane.load.done
    second = joined(await say(voice))
    assert piper.lane.load.done == done
    assert np.array_equal(first.pcm, second.pcm)
    assert [word.text for word in second.words] == CLAUSE.split()
    assert second.words == first.words
    assert (memory.tts.figures.hits, memory.tts.figures.misses) == (1, 1)


async def test_another_voice_speed_or_text_is_made_anew(piper: Piper, memory: Memory) -> None:
    voice = remembering(piper, memory)
    plain = joined(await say(voice))
    quick = joined([chunk async for chunk in voice.synthesize(CLAUSE, Ticket(), speed=2.0)])
    assert quick.pcm.size < 0.85 * plain.pcm.size
    done = piper.lane.load.done
    await say(voice, "Could you say that once more?")
    await say(CachedSpeech(piper, "another version", lambda: memory.tts))
    assert piper.lane.load.done == done + 2


async def test_requests_nobody_hears_live_ask_the_database_after_a_restart(piper: Piper, open_memory: Open) -> None:
    memory = await open_memory("a")
    first = joined(await say(remembering(piper, memory)))
    await memory.outbox.settle(5)
    await memory.close()
    again = remembering(piper, await open_memory("b"))
    done = piper.lane.load.done
    second = joined(await say(again, urgency=Urgency.BACKGROUND))
    assert piper.lane.load.done == done
    assert np.array_equal(first.pcm, second.pcm)
    assert second.words == first.words


async def test_what_was_used_is_in_memory_after_a_restart_before_a_call_asks(piper: Piper, open_memory: Open) -> None:
    memory = await open_memory("a")
    voice = remembering(piper, memory)
    for _ in range(2):
        await say(voice)
    await memory.outbox.settle(5)
    await memory.tts.sync()
    await memory.close()
    voice = remembering(piper, await open_memory("b"))
    await voice.prefetch(())
    done = piper.lane.load.done
    assert await say(voice)
    assert piper.lane.load.done == done


async def test_prefetched_texts_are_at_hand_clause_by_clause(piper: Piper, memory: Memory) -> None:
    voice = remembering(piper, memory)
    await voice.prefetch(("Sorry, something went wrong. " + CLAUSE, ""))
    done = piper.lane.load.done
    assert await say(voice)
    assert await say(voice, "Sorry, something went wrong.")
    assert piper.lane.load.done == done


async def test_texts_are_prefetched_in_a_voice_of_their_language(piper: Piper, memory: Memory) -> None:
    german = replace(piper.voices[0], id="german", language="de_DE")
    voice = remembering(piper, memory)
    voice.voices = (*piper.voices, german)
    asked: list[str | None] = []
    with_voice = voice.synthesize

    def noting(
        text: str, ticket: Ticket, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncIterator[SpeechChunk]:
        asked.append(voice)
        return with_voice(text, ticket)

    voice.synthesize = noting  # type: ignore[method-assign]
    await voice.prefetch(("Hello.", ("Guten Tag.", "de"), ("Bonjour.", "fr"), ("Hello again.", None)))
    assert asked == [None, "german", None, None]


async def test_a_deleted_conversation_takes_its_clauses_with_it(piper: Piper, memory: Memory) -> None:
    conversation = memory.conversation("somebody", str(uuid4()), new=True)
    voice = remembering(piper, memory).of(str(conversation.conversation_id))
    await say(voice, "Your secret is safe.")
    await memory.outbox.settle(5)
    assert await memory.delete_conversation("somebody", str(conversation.conversation_id))
    done = piper.lane.load.done
    await say(voice, "Your secret is safe.", Urgency.BACKGROUND)
    assert piper.lane.load.done == done + 1


async def test_speech_that_was_broken_off_is_not_kept(piper: Piper, memory: Memory) -> None:
    voice, ticket = remembering(piper, memory), Ticket()
    long = "This is a first sentence of some length. " * 3
    async for _ in voice.synthesize(long, ticket):
        ticket.cancel()
    assert memory.tts.figures.stored == 0


async def test_without_memory_the_voice_speaks_all_the_same(piper: Piper) -> None:
    voice = remembering(piper, None)
    done = piper.lane.load.done
    assert await say(voice)
    assert await say(voice)
    assert piper.lane.load.done == done + 2
