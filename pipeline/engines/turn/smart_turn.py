"""End of turn by Smart Turn v3 (https://github.com/pipecat-ai/smart-turn), ONNX.

A Whisper-tiny encoder with a classifier on top: it hears intonation and rhythm of the last 8 s, no words, and answers
with the probability that the speaker is done.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.audio import HEARING_RATE, Waveform
from pipeline.engines.log_mel import turn_features
from pipeline.engines.onnx_session import open_session, session_on
from pipeline.engines.protocols import EngineUnavailableError
from pipeline.scheduling.cores import slots_of
from pipeline.scheduling.lanes import Lane, Ticket

_FILE_PATTERN = "smart-turn-v3*.onnx"
_INPUT = "input_features"


class SmartTurn:
    """Smart Turn behind `pipeline.engines.protocols.TurnDetector`.

    Args:
        folder: holds `smart-turn-v3*.onnx`.
        threads: threads inside one run.
        capacity: questions that may wait in the lane.
        device: "cpu", "cuda", or "auto" for the quicker one.

    Raises:
        EngineUnavailableError: the model is missing or broken.
    """

    name = "smart-turn"
    kind: Literal["in-process", "remote"] = "in-process"

    def __init__(self, folder: Path, *, threads: int = 1, capacity: int = 256, device: str = "cpu") -> None:
        path = max(folder.glob(_FILE_PATTERN), default=folder / _FILE_PATTERN)
        self.model = folder.name
        second = {_INPUT: turn_features(np.zeros(HEARING_RATE, np.float32))[None]}
        self._session, self._placement = session_on(
            self.name, device, lambda where: open_session(path, threads=threads, device=where), second
        )
        if [tensor.name for tensor in self._session.get_inputs()] != [_INPUT]:
            raise EngineUnavailableError(f"{path} is not Smart Turn v3: run `morgan models pull`")
        slots = slots_of(self._placement.device)
        self.lane = Lane(
            self.name, capacity=capacity, threads=1 if self._placement.device != "cpu" else threads, cores=slots
        )

    @property
    def configuration(self) -> dict[str, Any]:
        """Where it computes, for health."""
        return self._placement.configuration

    async def completeness(self, audio: Waveform, ticket: Ticket) -> float:
        """Probability (0 to 1) that the turn is over.

        Args:
            audio: the turn so far at 16 kHz, shape (n,), with the silence after it; only the last 8 s are used.
            ticket: place in the lane.
        """
        if audio.size == 0:
            return 0.0
        return await self.lane.run(lambda: self._judge(audio), ticket)

    async def warm_up(self) -> None:
        """Judge a second of silence."""
        await self.completeness(np.zeros(16_000, np.float32), Ticket())

    async def close(self) -> None:
        """Stop the lane."""
        await self.lane.aclose()

    def _judge(self, audio: Waveform) -> float:
        # The output is called "logits", but the sigmoid is part of the graph.
        (output,) = self._session.run(None, {_INPUT: turn_features(audio)[None]})
        return float(output[0, 0])
