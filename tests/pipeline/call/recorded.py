"""Simulated calls that are recorded as their inputs."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.call.effect_queue import KEY_BYTES
from pipeline.call.effects import Effect
from pipeline.call.inputs import Input, Playhead
from pipeline.call.replay.beginning import CallBeginning
from pipeline.call.replay.recorder import InputRecorder
from tests.pipeline.call.stalling_call import StallingCall

ABOUT = {"version": "1.2.3", "call_id": "call_1", "began_at": "2026-11-26T14:00:00+00:00"}


@dataclass(kw_only=True)
class RecordedSimulation(StallingCall):
    """Keeps the lines of its recording.

    Attributes:
        max_bytes: of them.
        slow_after: lines that the disk takes.
    """

    max_bytes: int = 1 << 30
    slow_after: int = 1 << 30

    def __post_init__(self) -> None:
        super().__post_init__()
        self.lines: list[bytes] = []
        recall_s = 0.02 if self.memories is not None else 0.0
        default = self.voices[0].id if self.voices else ""
        beginning = CallBeginning(self.options, self.context, self.voices, default, recall_s, bytes(range(KEY_BYTES)))
        self.machine = beginning.machine()
        self.recorder = InputRecorder(self._take, ABOUT, self.max_bytes)
        self.recorder.begin(beginning)

    def _take(self, line: bytes) -> bool:
        taken = len(self.lines) < self.slow_after or b'"end"' in line
        self.lines += [line] * taken
        return taken

    def handled(self, message: Input, head: Playhead) -> list[Effect]:
        effects = super().handled(message, head)
        self.recorder.note(message, self.now, head, effects)
        return effects

    def write(self, path: Path) -> Path:
        """The recording as a file."""
        self.recorder.close()
        path.write_bytes(b"".join(self.lines))
        return path
