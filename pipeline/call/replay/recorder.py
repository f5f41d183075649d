"""The recorder of a call: what its machine is told, and what it wants, as JSON lines.

The first line says what the call began with, each further one is an input: when it was applied, where the playout was
if that had changed, and the effects it had. The last one says whether that is all. There is no audio of the user in it.
"""

import json
from collections.abc import Callable
from typing import Any

import structlog

from pipeline.call.effects import Effect
from pipeline.call.inputs import Input, Playhead
from pipeline.call.replay.beginning import CallBeginning
from pipeline.call.replay.codec import effect_json, input_json

FORMAT = "morgan-call-inputs"
FORMAT_VERSION = 1

log = structlog.get_logger(__name__)

Sink = Callable[[bytes], bool]
"""Takes a line; False where it has no room for it."""


class InputRecorder:
    """Writes the lines of one call.

    Args:
        sink: takes them; after the first that it does not take none is written any more.
        about: for the first line: which Morgan, which call.
        max_bytes: of the whole; a longer recording ends early.
    """

    def __init__(self, sink: Sink, about: dict[str, Any], max_bytes: int) -> None:
        self._sink = sink
        self._about = about
        self._left = max_bytes
        self._head: Playhead | None = None
        self._ended = False

    def begin(self, beginning: CallBeginning) -> None:
        """Write what the call begins with."""
        self._write({"format": FORMAT, "format_version": FORMAT_VERSION, **self._about, **beginning.to_json()})

    def note(self, message: Input, now: float, head: Playhead, effects: list[Effect]) -> None:
        """Write an input.

        Args:
            message: the input.
            now: monotonic time at which it was applied.
            head: where the playout was.
            effects: what the machine wanted then.
        """
        if self._ended:
            return
        try:
            line: dict[str, Any] = {"at": now, "input": input_json(message)}
            if head != self._head:
                self._head, line["head"] = head, list(head)
            if effects:
                line["effects"] = [effect_json(effect) for effect in effects]
            self._write(line)
        except Exception as error:  # a call does not end because it cannot be written down
            log.error("inputs are not recorded any more", input_type=type(message).__name__, exc_info=error)
            self._end("failed")

    def close(self) -> None:
        """The call is over."""
        self._end("complete")

    def _write(self, line: dict[str, Any]) -> None:
        data = _line(line)
        self._left -= len(data)
        if self._left < 0:
            self._end("too long")
        elif not self._ended and not self._sink(data):
            self._end("too slow")

    def _end(self, why: str) -> None:
        if not self._ended:
            self._ended = True
            self._sink(_line({"end": why}))


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"
