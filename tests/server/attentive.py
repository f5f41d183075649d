"""The server of `tests.server.scripted`, that can be spoken with: what is loud is a voice, and always says `HEARD`.

Its language model asks once for the first function that it is given, and tells the result at length.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.audio import Waveform
from pipeline.engines.protocols import ChatDelta, ChatRequest, ToolCall, Transcript
from pipeline.scheduling.lanes import Ticket
from server.app import Server
from server.settings import Settings
from tests.server.scripted import Ears, Mind, scripted_engines
from tests.serving import free_port

HEARD = "How are you today?"

ARGUMENTS = '{"city": "Paris"}'

LOUD = 0.01
"""RMS above which there is a voice, full scale being 1."""

AT_LENGTH = "and one and two and three and four and five and six and seven and eight and nine and ten. " * 3


class AttentiveEars(Ears):
    """Hear a voice in whatever is loud."""

    def open_stream(self) -> "AttentiveEars":
        return self

    def probability(self, window: Waveform) -> float:
        return 1.0 if float(np.sqrt(np.mean(np.square(window)))) > LOUD else 0.0

    async def transcribe(self, audio: Waveform, ticket: Ticket, **_: Any) -> Transcript:
        return Transcript(HEARD, "en", duration=len(audio) / 16_000)


class ToolUser(Mind):
    """Asks for the first function once, and tells what came of it."""

    calls_tools = True

    async def stream(self, request: ChatRequest, ticket: Ticket) -> AsyncIterator[ChatDelta]:
        self.asked.append(request)
        results = [message.content for message in request.messages if message.role == "tool"]
        if request.tools and not results:
            call = ToolCall("call_1", request.tools[0].name, ARGUMENTS)
            yield ChatDelta("", "tool_calls", 20, 5, (call,))
            return
        for word in f"The tool says {results[-1] if results else 'nothing'}, {AT_LENGTH}".split():
            yield ChatDelta(f"{word} ")
        yield ChatDelta("", "stop", 20, 50)


@asynccontextmanager
async def attentive_server(folder: Path, **settings: Any) -> AsyncIterator[Server]:
    """A server that is ready for calls."""
    given = {"memory": "off", "max_calls": 8, "port": free_port(), "data_dir": folder, "greeting": "", **settings}
    ears: Any = AttentiveEars()
    mind: Any = ToolUser("")
    server = await Server.start(Settings(**given), replace(scripted_engines(), vad=ears, turn=ears, stt=ears, llm=mind))
    try:
        yield server
    finally:
        await server.stop()
