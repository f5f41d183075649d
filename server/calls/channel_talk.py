"""What is spoken on the data channel of a call, whichever protocol that is; the protocols are other packages'."""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from pipeline.call.events import CallEvent
from server.calls.call import Call

Json: TypeAlias = dict[str, Any]


class ChannelTalk(Protocol):
    """One side of a conversation in some protocol, as the line of a call sees it."""

    def begin(self) -> None:
        """The call has begun, and has its actor."""

    def greeting(self) -> list[Json]:
        """What a connection is told first, once its channel stands."""

    def receive(self, text: str) -> None:
        """The client said something; whatever it is, the call goes on."""

    def refuse(self, code: str, why: str) -> None:
        """What the client says is left out; it is told once for all that follows."""

    def tell(self, event: CallEvent) -> None:
        """Something happened in the call."""

    def close(self) -> None:
        """The call is over."""


MakeTalk: TypeAlias = Callable[[Call, Callable[[Json], None]], ChannelTalk]
"""Makes it, of the call and of what sends a message to the client."""
