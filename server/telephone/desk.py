"""What the telephone doors of a server share: how calls on them begin, and what follows them."""

from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from server.calls.defaults import telephone_greeting
from server.calls.registry import CallRegistry
from server.settings import Settings
from server.telephone.announced import AnnouncedCalls
from server.telephone.follow_ups import FollowUps
from server.telephone.tools import LineTools

CALLER_PREFIX = "tel:"
"""Of the user id of a caller who is known by their number (RFC 3966)."""


@dataclass(slots=True)
class TelephoneDesk:
    """Of one server.

    Attributes:
        settings: of the server.
        calls: of this process.
        follow_ups: what comes after them.
        announced: calls that come over AudioSocket.
    """

    settings: Settings
    calls: CallRegistry
    follow_ups: FollowUps = field(default_factory=FollowUps)
    announced: AnnouncedCalls = field(default_factory=AnnouncedCalls)

    def tools(self) -> LineTools:
        """The tools of a new call."""
        return LineTools(self.settings.transfer_targets)

    @property
    def greeting(self) -> dict[str, Any]:
        """What a caller hears first, as options of the call."""
        return telephone_greeting(self.settings, self.calls.defaults)

    def user_of(self, caller: str) -> str | None:
        """Who somebody is who calls from a number; None where that says nothing."""
        return CALLER_PREFIX + caller if caller and self.settings.telephone_known_callers else None


DESK: web.AppKey[TelephoneDesk] = web.AppKey("telephone desk", TelephoneDesk)
