"""The outgoing queue of one call: positions, fades, pauses and ducking."""

from media.values import SEND_RATE, MediaError, Pcm, PlayoutEvent

FRAME_SAMPLES = SEND_RATE // 50


class PlayoutFullError(MediaError):
    """More audio waits than the queue may hold; nothing of what was written was taken."""


class Playout:
    """Implements `media.values.Speaker`; `next_frame` is called once per 20 ms by the sender.

    Args:
        capacity_s: most audio that may wait. A write beyond it raises `PlayoutFullError` and takes nothing.
    """

    def __init__(self, capacity_s: float = 120.0) -> None: ...

    @property
    def written(self) -> int: ...

    @property
    def position(self) -> int: ...

    def write(self, pcm: Pcm) -> int: ...

    def finish(self) -> None: ...

    def flush(self) -> int: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def duck(self, gain: float) -> None: ...

    def next_frame(self, now: float) -> tuple[Pcm | None, list[PlayoutEvent]]:
        """The next 20 ms (480 samples) or None for silence, and what happened at it."""
