"""What a Realtime session reaches beyond itself: its clients, and the audio that comes as their events."""

from typing import Protocol

from server.realtime.items import Json


class Sink(Protocol):
    """A client of a session."""

    def put(self, message: Json) -> None:
        """Tell it of an event; returns at once."""

    def over(self) -> None:
        """The call is over."""


class AudioPort(Protocol):
    """Where a session's audio goes in, when it comes as events."""

    def append(self, audio: str) -> None:
        """More of the user's audio, base64 in the input format; raises RealtimeError."""

    def settle(self) -> bool:
        """Hurry what waits to be heard; whether none of it waits any more (`RealtimeSession.settled` comes later)."""

    def clear(self) -> None:
        """Forget what waits to be heard."""

    def heard_ms(self, item_id: str) -> int | None:
        """Length of the audio of a reply that was sent; None where that is not known."""

    def at(self, item_id: str, sent_ms: int) -> int:
        """Which moment of a reply was sent as so much of its audio had been sent, ms."""
