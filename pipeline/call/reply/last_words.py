"""Last words of a call whose own code failed: past the machine, whose state is not to be trusted any more."""

import asyncio
import time

from pipeline.call.ports import Speaker
from pipeline.call.reply.voice_choice import VoiceChoice
from pipeline.engines.protocols import TextToSpeech
from pipeline.scheduling.lanes import Ticket, Urgency
from pipeline.text.chunker import TextChunker
from pipeline.text.spoken import speak

LONGEST_S = 10.0
"""Most seconds that a call stays for its last words, made and heard."""

LOOK_S = 0.05


async def say_last_words(
    text: str, language: str | None, tts: TextToSpeech, voices: VoiceChoice, speaker: Speaker, speed: float
) -> None:
    """Say a text in place of what is being said, and return when it has gone out.

    Args:
        text: as it is written; nothing is said where it is empty.
        language: that it is in, ISO 639-1; None for that of the default voice.
        tts: the voice.
        voices: that the call can speak with.
        speaker: the outgoing audio, in whatever state it was left.
        speed: of speech, 1 is natural.

    Raises:
        TimeoutError: it took more than `LONGEST_S`.
        Exception: whatever the voice or the speaker raise.
    """
    speaker.flush()
    speaker.duck(1.0)
    voice, ticket = voices.speaking(language), Ticket(Urgency.FIRST_AUDIO, time.monotonic())
    spoken = voices.prepared_in(voice, language)
    chunker = TextChunker(spoken)
    try:
        async with asyncio.timeout(LONGEST_S):
            for clause in (*chunker.push(text), *chunker.finish()):
                said = speak(clause, spoken).text
                async for chunk in tts.synthesize(said, ticket, voice=voice, speed=speed):
                    speaker.write(chunk.pcm)
            speaker.finish()
            while speaker.position < speaker.written:  # noqa: ASYNC110 - a speaker is asked, it tells nothing
                await asyncio.sleep(LOOK_S)
    finally:
        ticket.cancel()
