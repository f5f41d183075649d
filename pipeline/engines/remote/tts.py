"""A voice by Morgan's own service in another process."""

import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Literal

import numpy as np

from pipeline.engines.protocols import EngineError, SpeechChunk, Voice, Word
from pipeline.engines.remote.reply import Question
from pipeline.engines.remote.service import RemoteService
from pipeline.scheduling.lane_load import LaneLoad
from pipeline.scheduling.lanes import LaneFullError, Ticket


class RemoteTextToSpeech:
    """A `TextToSpeech` over `POST /speak`: the service's engine as it is, with its word times, chunk by chunk.

    Args:
        service: the way there.
        health: what its `/health` told.
        listed: what its `/voices` told.
    """

    kind: Literal["in-process", "remote"] = "remote"

    def __init__(self, service: RemoteService, health: dict[str, Any], listed: dict[str, Any]) -> None:
        self.name = str(health.get("engine", "morgan"))
        self.model = str(health.get("model", ""))
        self.voices: Sequence[Voice] = tuple(
            Voice(each["id"], each["name"], each["language"], each["engine"]) for each in listed["voices"]
        )
        self.default_voice = str(listed["default"])
        self.service = service

    @property
    def load(self) -> LaneLoad:
        """Counters of what is asked of the service."""
        return self.service.load

    def synthesize(
        self, text: str, ticket: Ticket, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncIterator[SpeechChunk]:
        """See `TextToSpeech`.

        Raises:
            ValueError: unknown voice, or a speed that its engine cannot.
            EngineError, LaneFullError, LaneClosedError: as `RemoteService.ask`.
        """
        known = [each.id for each in self.voices]
        if voice is not None and voice not in known:
            raise ValueError(f"unknown voice {voice!r}; known are {', '.join(known)}")
        return self._chunks(text, ticket, voice or self.default_voice, speed)

    async def warm_up(self) -> None:
        """Say a word in the default voice."""
        async for _ in self.synthesize("Ready.", Ticket()):
            pass

    async def close(self) -> None:
        """Close the connections."""
        await self.service.close()

    async def _chunks(self, text: str, ticket: Ticket, voice: str, speed: float) -> AsyncIterator[SpeechChunk]:
        if ticket.cancelled or not any(character.isalnum() for character in text):
            return
        body = json.dumps({"text": text, "voice": voice, "speed": speed}).encode()
        ended = False
        async with self.service.ask(Question("/speak", body), ticket) as reply:
            if reply is None:
                return
            async with aclosing(reply.lines()) as lines:
                async for line in lines:
                    told = json.loads(line)
                    if "error" in told:
                        kind = LaneFullError if told["error"]["code"] == "busy" else EngineError
                        raise kind(f"tts: {told['error']['message']}")
                    if "audio" in told:
                        yield _speech(told)
                    ended = ended or told.get("done") is True
        if not ended and not ticket.cancelled:
            raise EngineError("tts: the speech ended before it was finished")


def _speech(told: dict[str, Any]) -> SpeechChunk:
    words = tuple(Word(str(text), float(start), float(end)) for text, start, end in told["words"])
    return SpeechChunk(np.frombuffer(base64.b64decode(told["audio"]), "<i2").astype(np.int16), words)
