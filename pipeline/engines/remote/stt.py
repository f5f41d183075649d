"""Speech to text by Morgan's own service in another process."""

from typing import Any, Literal

import numpy as np

from pipeline.audio import HEARING_RATE, Waveform
from pipeline.engines.protocols import EngineError, Transcript, Word
from pipeline.engines.remote.reply import Question
from pipeline.engines.remote.service import RemoteService
from pipeline.scheduling.lane_load import LaneLoad
from pipeline.scheduling.lanes import Ticket, Urgency

PATIENCE_S = 4.0
"""What a caller said is worth waiting so long for a service that restarts; an interim transcript is not."""


class RemoteSpeechToText:
    """A `SpeechToText` over `POST /transcribe` with `vad=false`.

    Args:
        service: the way there.
        health: what its `/health` told.
    """

    kind: Literal["in-process", "remote"] = "remote"

    def __init__(self, service: RemoteService, health: dict[str, Any]) -> None:
        self.name = str(health.get("engine", "morgan"))
        self.model = str(health.get("model", ""))
        self.service = service

    @property
    def load(self) -> LaneLoad:
        """Counters of what is asked of the service."""
        return self.service.load

    async def transcribe(
        self,
        audio: Waveform,
        ticket: Ticket,
        *,
        language: str | None = None,
        prior: str | None = None,
        prompt: str = "",
        word_timestamps: bool = False,
        retry: bool = True,
    ) -> Transcript:
        """See `SpeechToText`. Audio goes as it came from the caller, 16 bits a sample, to as many servers as it takes.

        Raises:
            ValueError: the model does not know the language.
            EngineError, LaneFullError, LaneClosedError: as `RemoteService.ask`.
        """
        query = {"vad": "false", "language": language or "auto", "word_timestamps": str(word_timestamps).lower()}
        query["retry"] = str(retry).lower()
        if prior:
            query["prior"] = prior
        if prompt:
            query["prompt"] = prompt
        question = Question(
            "/transcribe",
            np.clip(np.rint(audio * 32768), -32768, 32767).astype("<i2").tobytes(),
            f"audio/pcm;rate={HEARING_RATE}",
            query,
            patience_s=PATIENCE_S if ticket.urgency < Urgency.INTERIM else 0.0,
        )
        async with self.service.ask(question, ticket) as reply:
            told = await reply.json() if reply is not None else None
        if told is None:
            # The ticket was cancelled: the transcript is not looked at.
            return Transcript("", language or "en", no_speech=1.0, confidence=0.0, duration=audio.size / HEARING_RATE)
        try:
            return Transcript(
                str(told["text"]),
                str(told["language"]),
                float(told["no_speech"]),
                float(told["confidence"]),
                float(told["duration_s"]),
                tuple(Word(str(word["word"]), word["start"], word["end"]) for word in told["words"]),
                float(told["language_probability"]),
                bool(told["doubted"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise EngineError(f"stt: the answer lacks {error}; is the service of the same version?") from None

    async def warm_up(self) -> None:
        """Transcribe half a second of noise."""
        noise = np.random.default_rng(0).normal(0, 0.01, HEARING_RATE // 2).astype(np.float32)
        await self.transcribe(noise, Ticket())

    async def close(self) -> None:
        """Close the connections."""
        await self.service.close()
