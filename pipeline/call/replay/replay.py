"""Replay of a recorded call: its inputs through the machine again, and what that wants now beside what it did.

call = replay(Path("report.jsonl"))
assert [event.text for event in call.all(TranscriptCompleted)] == ["What is the weather?"]
assert not call.differences
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pipeline.call.effects import Effect, Emit
from pipeline.call.events import CallEvent
from pipeline.call.inputs import Input, Playhead
from pipeline.call.machine import CallMachine
from pipeline.call.replay.beginning import CallBeginning
from pipeline.call.replay.codec import ReplayError, effect_json, input_of
from pipeline.call.replay.recorder import FORMAT, FORMAT_VERSION

Wanted = TypeVar("Wanted")


@dataclass(frozen=True, slots=True)
class Step:
    """One input, and what came of it.

    Attributes:
        line: of the recording, counted from 1.
        second: since the first input.
        message: the input.
        effects: what the machine wants now.
        recorded: what it wanted when the call was recorded, as `effect_json`.
    """

    line: int
    second: float
    message: Input
    effects: list[Effect]
    recorded: list[dict[str, Any]]

    @property
    def replayed(self) -> list[dict[str, Any]]:
        """The effects as they would be recorded now."""
        return [effect_json(effect) for effect in self.effects]

    @property
    def same(self) -> bool:
        """Whether the machine wants what it wanted then."""
        return self.replayed == self.recorded


class Recorded:
    """A recording of inputs that is read line by line.

    Args:
        lines: of the file.

    Attributes:
        header: the first line: which Morgan it was, and what the call began with.
        machine: of the call, after the steps that were taken.
        end: how the recording ended, "complete" or why it did not go on; "broken off" until that is known.

    Raises:
        ReplayError: this is no recording of inputs, or one that this version does not know.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = enumerate(lines, 1)
        _, first = next(self._lines, (0, "null"))
        self.header: dict[str, Any] = _parsed(first, 1)
        if self.header.get("format") != FORMAT:
            raise ReplayError("this is no recording of a call's inputs")
        if self.header.get("format_version") != FORMAT_VERSION:
            raise ReplayError(f"this is format {self.header.get('format_version')}, read here is {FORMAT_VERSION}")
        self.machine: CallMachine = CallBeginning.of_json(self.header).machine()
        self.end = "broken off"

    def steps(self) -> Iterator[Step]:
        """Apply one input after the other.

        Raises:
            ReplayError: a line cannot be read.
        """
        began: float | None = None
        head = Playhead()
        for number, text in self._lines:
            if not text.endswith("\n"):
                return
            line = _parsed(text, number)
            if "end" in line:
                self.end = line["end"]
                return
            now, message = line["at"], input_of(line["input"])
            head = Playhead(*line["head"]) if "head" in line else head
            began = now if began is None else began
            effects = self.machine.handle(message, now, head)
            yield Step(number, now - began, message, effects, line.get("effects", []))


@dataclass
class Replayed:
    """A recorded call after it was replayed.

    Attributes:
        header: see `Recorded`.
        end: likewise.
        events: (second since the first input, event) of everything that was told.
        differences: the steps in which the machine wanted something else than when it was recorded.
        counts: of the machine.
    """

    header: dict[str, Any]
    end: str = ""
    events: list[tuple[float, CallEvent]] = field(default_factory=list)
    differences: list[Step] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def all(self, kind: type[Wanted]) -> list[Wanted]:
        """Every event of a kind."""
        return [event for _, event in self.events if isinstance(event, kind)]


def replay(path: Path) -> Replayed:
    """Replay a whole recording.

    Raises:
        ReplayError: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            recorded = Recorded(lines)
            replayed = Replayed(recorded.header)
            for step in recorded.steps():
                replayed.events += [(step.second, each.event) for each in step.effects if isinstance(each, Emit)]
                if not step.same:
                    replayed.differences.append(step)
    except (OSError, UnicodeDecodeError) as error:
        raise ReplayError(f"{path} cannot be read: {error}") from None
    replayed.end, replayed.counts = recorded.end, dict(recorded.machine.counts)
    return replayed


def _parsed(text: str, number: int) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError as error:
        raise ReplayError(f"line {number} is no JSON: {error}") from None
    if not isinstance(line, dict):
        raise ReplayError(f"line {number} is no object")
    return line
