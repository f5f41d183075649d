"""Protocols of what the conversation needs from the outside; media's objects fit without knowing them."""

from typing import Protocol

from pipeline.audio import Pcm
from pipeline.call.memories import Memories


class Reminder(Protocol):
    """Knows what the user of one call said in earlier conversations, and what their documents say.

    Attributes:
        budget_s: within which there is an answer; more than 0.
    """

    budget_s: float

    async def remind(self, text: str) -> Memories:
        """What fits these words; nothing rather than late."""


class Speaker(Protocol):
    """The outgoing audio of one call.

    Positions count samples at 24 kHz of written audio (never silence) since the call began.
    """

    @property
    def written(self) -> int:
        """Position at which the next written sample will lie."""

    @property
    def position(self) -> int:
        """Samples that have gone out."""

    @property
    def tail(self) -> int:
        """Most samples of what waits that would still go out, fading, if it were flushed now."""

    def write(self, pcm: Pcm) -> int:
        """Queue audio; returns the position of its first sample."""

    def finish(self) -> None:
        """Say that the utterance is complete."""

    def flush(self) -> int:
        """Drop what waits; returns the position at which the sound ends."""

    def pause(self) -> None:
        """Hold the queue where it is."""

    def resume(self, at: int | None = None) -> None:
        """Go on from there, or from a position up to 2 s before it; `position` falls back to it."""

    def duck(self, gain: float) -> None:
        """Ramp the loudness to `gain`, 1 being full."""
