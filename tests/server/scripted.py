"""A whole server in this process without any model: engines that hear nothing and say what a test wrote down.

What is typed is answered aloud: with `REPLY`, in words of `WORD_S` seconds with silence between them, so that a test
can tell from what was heard whether a word was cut.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import aiohttp
import numpy as np

from pipeline.audio import SPEECH_RATE, Waveform
from pipeline.engines.protocols import ChatDelta, ChatRequest, Engines, SpeechChunk, Transcript, Voice, Word
from pipeline.scheduling.lanes import Ticket
from server.app import Server
from server.calls.call import Call
from server.client.caller import Caller
from server.settings import Settings
from tests.serving import free_port

WORD_S = 0.2
PAUSE_S = 0.1

REPLY = "One two three four five, six seven eight nine ten, eleven twelve."


class _Engine:
    name = "scripted"
    model = "script"
    kind: Literal["in-process", "remote"] = "in-process"

    async def warm_up(self) -> None: ...

    async def close(self) -> None: ...


class Ears(_Engine):
    """Hear no voice in anything."""

    def open_stream(self) -> "Ears":
        return self

    def probability(self, window: Waveform) -> float:
        return 0.0

    def reset(self) -> None: ...

    async def completeness(self, audio: Waveform, ticket: Ticket) -> float:
        return 1.0

    async def transcribe(self, audio: Waveform, ticket: Ticket, **_: Any) -> Transcript:
        return Transcript("", "en", no_speech=1.0)


class Mind(_Engine):
    """Answers everything the same.

    Attributes:
        reply: what it says.
        asked: what it was told, request by request.
        pause_s: before each word.
    """

    calls_tools = False

    def __init__(self, reply: str) -> None:
        self.reply = reply
        self.asked: list[ChatRequest] = []
        self.pause_s = 0.0

    async def stream(self, request: ChatRequest, ticket: Ticket) -> AsyncIterator[ChatDelta]:
        self.asked.append(request)
        for word in self.reply.split():
            await asyncio.sleep(self.pause_s)
            yield ChatDelta(f"{word} ")
        yield ChatDelta("", "stop")

    async def prefill(self, request: ChatRequest, ticket: Ticket) -> None: ...


class Voicebox(_Engine):
    """Says each word as a tone of `WORD_S`, and is silent for `PAUSE_S` behind it."""

    voices: Sequence[Voice] = (Voice("one", "One", "en", "scripted"),)
    default_voice = "one"

    async def synthesize(self, text: str, ticket: Ticket, **_: Any) -> AsyncIterator[SpeechChunk]:
        at, parts, words = 0.0, [], []
        tone = np.sin(np.arange(int(WORD_S * SPEECH_RATE)) * 2 * np.pi * 440 / SPEECH_RATE) * 12_000
        for word in text.split():
            words.append(Word(word, at, at + WORD_S))
            parts += [tone, np.zeros(int(PAUSE_S * SPEECH_RATE))]
            at += WORD_S + PAUSE_S
        if parts:
            yield SpeechChunk(np.concatenate(parts).astype(np.int16), tuple(words))


def scripted_engines(reply: str = REPLY) -> Engines:
    """One of each."""
    ears: Any = Ears()
    return Engines(vad=ears, turn=ears, stt=ears, llm=Mind(reply), tts=Voicebox())


@asynccontextmanager
async def scripted_server(folder: Path, reply: str = REPLY, **settings: Any) -> AsyncIterator[Server]:
    """A server that is ready for calls; stopped at once where the test has not stopped it."""
    patient = {"connect_timeout_s": 60, "lost_grace_s": 60}
    given = {"memory": "off", "max_calls": 8, "port": free_port(), "data_dir": folder, **patient, **settings}
    server = await Server.start(Settings(**given), scripted_engines(reply))
    try:
        yield server
    finally:
        await server.stop()


async def place(http: aiohttp.ClientSession, caller: Caller, **body: Any) -> dict[str, Any]:
    """Call, and wait until the call stands; what the server answered."""
    offer = {"sdp": await caller.offer(), "type": "offer", **body}
    async with http.post("/api/calls", json=offer) as response:
        opened: dict[str, Any] = await response.json()
        assert response.status == 201, opened
    await caller.accept(opened["sdp"], timeout=60)
    await caller.channel_open(60)
    return opened


def ask(caller: Caller, text: str = "Count, please.") -> None:
    """Have Morgan say its reply."""
    content = [{"type": "input_text", "text": text}]
    item = {"type": "message", "role": "user", "content": content}
    caller.send(json.dumps({"type": "conversation.item.create", "item": item}))
    caller.send(json.dumps({"type": "response.create"}))


def events(caller: Caller, kind: str) -> list[dict[str, Any]]:
    """What was told over the data channel, of one type."""
    told = [json.loads(text) for _, text in list(caller.messages)]
    return [event for event in told if event["type"] == kind]


def call_of(server: Server, opened: dict[str, Any]) -> Call:
    """The call that a server opened."""
    call = server.registry.find(opened["call_id"])
    assert call is not None
    return call
