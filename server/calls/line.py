"""What a call is on, whichever way the sound comes: WebRTC, a WebSocket, a telephone."""

from collections.abc import Collection, Mapping
from typing import Protocol

from media.peer import WebRtcPeer
from media.values import Speaker
from persistence.values import SessionKind
from pipeline.call.events import CallEvent


class Line(Protocol):
    """What a call is on: brings the caller's sound and wishes to the call, and the call's sound and events to them.

    Attributes:
        kind: of the session in memory.
    """

    kind: SessionKind

    @property
    def speaker(self) -> Speaker:
        """The outgoing audio."""

    @property
    def peers(self) -> Collection[WebRtcPeer]:
        """The WebRTC connections that it holds; none where it is on something else."""

    def tell(self, event: CallEvent) -> None:
        """Something happened; must return at once."""

    def stats(self) -> Mapping[str, float | None]:
        """Of the media, as of now."""

    async def close(self, reason: str) -> None:
        """The call is over: say goodbye and free everything."""
